# Takes a node and all that came with it off this host. $1 is the cluster's folder, which stays. It may be run at any time and as often as one
# likes: what is gone already is no error, and what is not the node's is not touched.
case "$1" in
/?*) folder=$1 ;;
*) folder=/nowhere/outrigger ;;
esac

ours() {
  for process in /proc/[0-9]*; do
    line=$({ tr '\0' ' ' <"$process/cmdline"; } 2>/dev/null) || continue
    program=${line%% *}
    case "${program##*/}" in
    containerd | containerd-shim* | kubelet | kube-scheduler) ;;
    *) continue ;;
    esac
    case "$line" in *[=\ ]"$folder"/*) echo "${process#/proc/}" ;; esac
  done
  find /sys/fs/cgroup/outrigger-node /sys/fs/cgroup/*/outrigger-node -name cgroup.procs -exec cat {} + 2>/dev/null
  true
}

# Shims leave every process group, and what runs in a container outlives its shim: so both are looked for until there are none.
tries=0
while pids=$(ours) && test -n "$pids" && test $tries -lt 200; do
  kill -s KILL $pids 2>/dev/null
  tries=$((tries + 1))
  sleep 0.1
done

# What the network plugins remember of a sandbox, and a shim's socket, are not in our folder; the sandbox's name and the address are.
for file in "$folder"/containerd/state/io.containerd.runtime.v2.task/*/*/address; do
  test -f "$file" && socket=$(cat "$file") && rm -f "${socket#unix://}"
  sandbox=${file%/address}
  rm -f /var/lib/cni/results/*-"${sandbox##*/}"-*
done

# Deepest first: nothing that is mounted below the folder may be there when it is removed.
mounted() {
  while read -r _ _ _ _ place _; do
    case "$place" in "$folder"/*) echo "$place" ;; esac
  done </proc/self/mountinfo | sort -r
}
tries=0
while places=$(mounted) && test -n "$places" && test $tries -lt 50; do
  for place in $places; do umount "$place" 2>/dev/null || umount -l "$place" 2>/dev/null; done
  tries=$((tries + 1))
done

if test -d /sys/class/net/outrigger0; then
  for port in /sys/class/net/outrigger0/brif/*; do
    test -e "$port" && ip link delete "${port##*/}" 2>/dev/null
  done
  ip link delete outrigger0 2>/dev/null
fi
for hook in PREROUTING OUTPUT; do
  while iptables -w -t nat -D $hook -j OUTRIGGER-NODE 2>/dev/null; do :; done
done
iptables -w -t nat -F OUTRIGGER-NODE 2>/dev/null && iptables -w -t nat -X OUTRIGGER-NODE 2>/dev/null

# An ended process leaves its group a moment later than its list.
tries=0
while test $tries -lt 50; do
  find /sys/fs/cgroup/outrigger-node /sys/fs/cgroup/*/outrigger-node -depth -type d -exec rmdir {} + 2>/dev/null
  test -z "$(find /sys/fs/cgroup/outrigger-node /sys/fs/cgroup/*/outrigger-node -maxdepth 0 2>/dev/null)" && break
  tries=$((tries + 1))
  sleep 0.1
done

if test -f "$folder/sysctls"; then
  while read -r key value; do echo "$value" >"/proc/sys/$key"; done <"$folder/sysctls"
fi
for link in /var/log/containers/*; do
  case "$(readlink "$link")" in "$folder"/*) rm -f "$link" ;; esac
done
rmdir /var/lib/cni/results /var/lib/cni 2>/dev/null
if test -f "$folder/no-kubelet-before"; then
  rm -rf /var/lib/kubelet/device-plugins
  rmdir /var/lib/kubelet 2>/dev/null
fi

left=$(ours && mounted)
if test -n "$left"; then
  echo "a node that does not go away:" $left >&2
  exit 1
fi
rm -f /run/outrigger-node
