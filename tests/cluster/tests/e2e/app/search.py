"""Somebody in the application's container who looks for a key with all that a container gives: files, environments, memory, what other processes
let be seen, the sidecar's own pages, and the Kubernetes API with the container's own token.

What is looked for is told in a disguise, so that it is nowhere but where it really is. Every finding is one JSON object a line, and the last line
says how much was looked at: a search that saw nothing has found nothing out.
"""

import base64
import gzip
import http.client
import json
import os
import socket
import ssl
import stat
import subprocess
import sys
import time

MASK = 0x5A
LARGEST = 64 << 20
NEEDLES = {
    name: bytes(byte ^ MASK for byte in bytes.fromhex(os.environ[variable]))
    for name, variable in (("canary", "CANARY_MASKED"), ("planted", "PLANTED_MASKED"))
}
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount/"


def shapes(needle):
    """As it is, and in base64 wherever it may begin in what was encoded."""
    yield needle
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + needle)
        yield encoded[-(-offset * 4 // 3) : len(encoded) // 4 * 4 - 4]
    yield needle[::-1]
    yield needle.hex().encode()


SHAPES = [(name, shape) for name, needle in NEEDLES.items() for shape in shapes(needle)]
seen = {"files": 0, "bytes": 0, "processes": [], "memory": 0, "closed": [], "api": {}, "pages": {}}


def say(**what):
    print(json.dumps(what), flush=True)


def look(content, where):
    seen["bytes"] += len(content)
    for name in {name for name, shape in SHAPES if shape in content}:
        say(needle=name, where=where)
    # A table that is compressed, once more in base64: what the sidecars run.
    for start in find_all(content, b"H4sI"):
        end = start
        while content[end : end + 1].isalnum() or content[end : end + 1] in (b"+", b"/", b"="):
            end += 1
        try:
            inner = gzip.decompress(base64.b64decode(content[start:end]))
        except (ValueError, EOFError, OSError):
            continue
        look(inner, where + " unpacked")


def find_all(content, what):
    at = content.find(what)
    while at >= 0:
        yield at
        at = content.find(what, at + 1)


def read(path):
    """What a file holds, if it is one that has an end."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        pieces, size = [], 0
        while size < LARGEST and (piece := os.read(descriptor, 1 << 20)):
            pieces.append(piece)
            size += len(piece)
        return b"".join(pieces)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def files(top, called, skip=()):
    for folder, folders, names in os.walk(top):
        folders[:] = [name for name in folders if os.path.join(folder, name) not in skip]
        for name in names:
            path = os.path.join(folder, name)
            content = read(path)
            if content is not None:
                seen["files"] += 1
                look(content, f"file {called}{path.removeprefix(top)}")


def processes():
    own = str(os.getpid())
    root = os.stat("/")
    for number in filter(str.isdigit, os.listdir("/proc")):
        home = f"/proc/{number}/"
        name = (read(home + "comm") or b"?").decode().strip()
        seen["processes"].append(name)
        for kind in ("environ", "cmdline"):
            content = read(home + kind)
            if content is None:
                seen["closed"].append(f"{name} {kind}")
            else:
                look(content, f"{kind} of {name}")
        for kind in ("root", "cwd", "fd"):
            try:
                if kind == "fd":
                    for open_file in os.listdir(home + kind):
                        content = read(home + kind + "/" + open_file)
                        if content is not None:
                            look(content, f"open file of {name}")
                else:
                    there = os.stat(home + kind)
                    # Its files, unless they are those that were looked through already.
                    if kind == "root" and (there.st_dev, there.st_ino) != (root.st_dev, root.st_ino):
                        files(home + kind, f"root of {name}", skip=(home + kind + "/proc", home + kind + "/sys"))
            except OSError:
                seen["closed"].append(f"{name} {kind}")
        # Whoever looks must know what to look for, so that its own memory is no finding.
        if number != own:
            memory(home, name)


def memory(home, name):
    try:
        with open(home + "maps") as lines, open(home + "mem", "rb", buffering=0) as content:
            for line in lines:
                span, rights = line.split()[:2]
                start, end = (int(part, 16) for part in span.split("-"))
                if "r" not in rights or end - start > LARGEST:
                    continue
                try:
                    content.seek(start)
                    look(content.read(end - start), f"memory of {name}")
                    seen["memory"] += 1
                except (OSError, ValueError, OverflowError):
                    continue
    except OSError:
        seen["closed"].append(f"{name} memory")


def pages():
    """What the sidecar shows on loopback, which is the application's, too."""
    for path in ("/config", "/targets", "/requests", "/metrics", "/startz", "/debug/pprof/", "/"):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", 5568, timeout=10)
            connection.request("GET", path)
            answer = connection.getresponse()
            content = answer.read()
        except OSError:
            seen["pages"][path] = 0
            continue
        seen["pages"][path] = answer.status
        look(content, f"page {path}")


def api():
    token = open(ACCOUNT + "token").read()
    namespace = open(ACCOUNT + "namespace").read()
    trust = ssl.create_default_context(cafile=ACCOUNT + "ca.crt")
    address = os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ["KUBERNETES_SERVICE_PORT"])
    pod = f"/api/v1/namespaces/{namespace}/pods/{socket.gethostname()}"
    of_namespace = f"/api/v1/namespaces/{namespace}"
    routing = f"/apis/outrigger.dev/v1alpha1/namespaces/{namespace}"
    asked = [
        *(("GET", f"{of_namespace}/{kind}", None) for kind in ("secrets", "configmaps", "pods", "events", "serviceaccounts")),
        *(("GET", f"/api/v1/{kind}", None) for kind in ("secrets", "configmaps", "pods", "namespaces", "nodes")),
        *(("GET", f"{routing}/{kind}", None) for kind in ("modelroutes", "providerkeys")),
        *(("GET", f"{of_namespace}/secrets/{name}", None) for name in ("outrigger-keys", "keys")),
        *(("GET", f"{of_namespace}/configmaps/{name}", None) for name in ("outrigger-snapshot", "planted", "kube-root-ca.crt")),
        ("GET", f"{of_namespace}/secrets?watch=true&fieldSelector=metadata.name%3Doutrigger-keys&timeoutSeconds=1", None),
        ("GET", pod, None),
        ("GET", f"{pod}/log?container=outrigger", None),
        ("GET", f"{pod}/exec?container=outrigger&command=cat&command=/etc/outrigger/keys/mac-key&stdout=true", None),
        ("POST", f"{pod}/exec?container=outrigger&command=id&stdout=true", ""),
        ("GET", f"{pod}/attach?container=outrigger&stdout=true", None),
        ("GET", f"{pod}/proxy/", None),
        ("GET", f"{pod}/portforward", None),
        ("PATCH", f"{pod}/ephemeralcontainers", '{"spec":{"ephemeralContainers":[{"name":"x","image":"x","targetContainerName":"outrigger"}]}}'),
        ("POST", f"{of_namespace}/pods", '{"metadata":{"name":"x"},"spec":{"containers":[{"name":"x","image":"x"}]}}'),
        ("POST", f"{of_namespace}/serviceaccounts/default/token", '{"spec":{}}'),
        ("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", json.dumps({"spec": {"namespace": namespace}})),
    ]
    for method, path, body in asked:
        connection = http.client.HTTPSConnection(*address, context=trust, timeout=30)
        kind = "application/strategic-merge-patch+json" if method == "PATCH" else "application/json"
        connection.request(method, path, body, {"authorization": f"Bearer {token}", "content-type": kind, "accept": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        place = path.replace(pod, "POD").replace(of_namespace, "").replace(routing, "").split("?")[0]
        seen["api"][f"{method} {place}"] = answer.status
        look(content, f"api {method} {place}")


def main():
    # Somebody whose memory holds something, so that it is known whether memory can be looked through.
    holder = "import os,time; held = bytes(b ^ 0x5A for b in bytes.fromhex(os.environ['PLANTED_MASKED'])); print('ready', flush=True); time.sleep(600)"
    other = subprocess.Popen([sys.executable, "-c", holder], stdout=subprocess.PIPE, env={**os.environ, "PLANTED": ""})
    other.stdout.readline()
    started = time.time()
    try:
        files("/", "/", skip=("/proc", "/sys"))
        files("/sys", "/sys")
        processes()
        pages()
        api()
    finally:
        other.kill()
    say(end=True, seconds=round(time.time() - started, 1), **seen)


main()
