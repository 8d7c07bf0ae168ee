//! The files and flags of a cluster's processes. All of them live in one folder, whose path is in the arguments of each process: so the
//! processes of a folder can be found. Nothing here may listen beyond loopback.

use crate::{
    certificates::{Authority, Pair, write_token_keys},
    node::{self, host::ADDRESS},
    programs::Programs,
};
use anyhow::Result;
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The administrator's way in.
pub(crate) const ADMIN: &str = "admin.kubeconfig";

/// Where everything of one cluster is.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) folder: PathBuf,
    pub(crate) etcd_port: u16,
    pub(crate) peer_port: u16,
    pub(crate) api_port: u16,
    pub(crate) audit: bool,
    /// Whether pods run: then the API server is where they reach it.
    pub(crate) node: bool,
}

impl Layout {
    pub(crate) fn url(&self) -> String {
        format!("https://{}:{}", self.address(), self.api_port)
    }

    /// Where the API server listens.
    pub(crate) fn address(&self) -> Ipv4Addr {
        if self.node { ADDRESS } else { Ipv4Addr::LOCALHOST }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes what the processes read.
    pub(crate) fn write(&self) -> Result<()> {
        let authority = Authority::new("outrigger-tests")?;
        fs::write(self.file("ca.crt"), authority.pem())?;
        authority.server(self.address())?.write(&self.folder, "server")?;
        // Nobody holds a certificate of this one: requests on behalf of others are switched on and out of reach.
        fs::write(
            self.file("front-proxy-ca.crt"),
            Authority::new("outrigger-tests-front-proxy")?.pem(),
        )?;
        write_token_keys(&self.folder)?;
        self.client("admin", &authority.client("admin", Some("system:masters"))?)?;
        let controller_manager = "system:kube-controller-manager";
        self.client("controller-manager", &authority.client(controller_manager, None)?)?;
        if self.node {
            node::certify(self, &authority)?;
        }
        fs::write(self.file("audit-policy.json"), audit_policy().to_string())?;
        fs::create_dir(self.file("logs"))?;
        Ok(())
    }

    pub(crate) fn client(&self, name: &str, pair: &Pair) -> Result<()> {
        pair.write(&self.folder, name)?;
        let user = json!({
            "client-certificate": self.file(&format!("{name}.crt")),
            "client-key": self.file(&format!("{name}.key")),
        });
        self.write_kubeconfig(&self.file(&format!("{name}.kubeconfig")), &user)
    }

    /// Writes a kubeconfig for a user that is known by `user`.
    pub(crate) fn write_kubeconfig(&self, place: &Path, user: &Value) -> Result<()> {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "outrigger",
            "contexts": [{ "name": "outrigger", "context": { "cluster": "outrigger", "user": "outrigger" } }],
            "clusters": [{ "name": "outrigger", "cluster": { "server": self.url(), "certificate-authority": self.file("ca.crt") } }],
            "users": [{ "name": "outrigger", "user": user }],
        });
        fs::write(place, format!("{config:#}\n"))?;
        Ok(())
    }

    pub(crate) fn etcd(&self, programs: &Programs) -> Result<Command> {
        let client = format!("http://{}:{}", Ipv4Addr::LOCALHOST, self.etcd_port);
        let peer = format!("http://{}:{}", Ipv4Addr::LOCALHOST, self.peer_port);
        let mut command = self.program(&programs.etcd, "etcd")?;
        command.arg(flag("data-dir", &self.file("etcd")));
        command.args(["--unsafe-no-fsync", "--socket-reuse-port", "--log-level=warn"]);
        command.arg(format!("--listen-client-urls={client}"));
        command.arg(format!("--advertise-client-urls={client}"));
        command.arg(format!("--listen-peer-urls={peer}"));
        command.arg(format!("--initial-advertise-peer-urls={peer}"));
        command.arg(format!("--initial-cluster=default={peer}"));
        Ok(command)
    }

    pub(crate) fn api_server(&self, programs: &Programs) -> Result<Command> {
        let mut command = self.program(&programs.api_server, "kube-apiserver")?;
        command.arg(format!("--etcd-servers=http://{}:{}", Ipv4Addr::LOCALHOST, self.etcd_port));
        command.arg(format!("--secure-port={}", self.api_port));
        let address = self.address();
        command.arg(format!("--bind-address={address}")).arg("--permit-port-sharing");
        command.arg(format!("--advertise-address={address}"));
        if self.node {
            for (name, file) in [
                ("kubelet-client-certificate", "kubelet-client.crt"),
                ("kubelet-client-key", "kubelet-client.key"),
                ("kubelet-certificate-authority", "ca.crt"),
            ] {
                command.arg(flag(name, &self.file(file)));
            }
            command.args([
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
                "--allow-privileged=true",
                // By its name nobody finds the node.
                "--kubelet-preferred-address-types=InternalIP",
                // Webhooks at the addresses of their pods: nothing here leads a service's address to them.
                "--enable-aggregator-routing=true",
            ]);
        } else {
            // Loopback is no address that could be published.
            command.args(["--authorization-mode=RBAC", "--endpoint-reconciler-type=none"]);
        }
        for (name, file) in [
            ("tls-cert-file", "server.crt"),
            ("tls-private-key-file", "server.key"),
            ("client-ca-file", "ca.crt"),
            ("service-account-key-file", "tokens.pub"),
            ("service-account-signing-key-file", "tokens.key"),
            // Without these the controller manager's log fills with complaints.
            ("requestheader-client-ca-file", "front-proxy-ca.crt"),
        ] {
            command.arg(flag(name, &self.file(file)));
        }
        command.args([
            "--requestheader-allowed-names=front-proxy",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--profiling=false",
        ]);
        if self.audit {
            command.arg(flag("audit-policy-file", &self.file("audit-policy.json")));
            command.arg(flag("audit-log-path", &self.file("audit.log")));
            // Blocking: what has been answered has been written.
            command.arg("--audit-log-mode=blocking");
        }
        Ok(command)
    }

    pub(crate) fn controller_manager(&self, programs: &Programs) -> Result<Command> {
        let mut command = self.program(&programs.controller_manager, "kube-controller-manager")?;
        command.arg(flag("kubeconfig", &self.file("controller-manager.kubeconfig")));
        command.arg(flag("root-ca-file", &self.file("ca.crt")));
        command.arg(flag("service-account-private-key-file", &self.file("tokens.key")));
        command.arg(flag("flex-volume-plugin-dir", &self.file("flex-volumes")));
        command.args(["--secure-port=0", "--leader-elect=false", "--use-service-account-credentials=true"]);
        // At its own pace it takes five seconds until a new namespace has its service account.
        command.args(["--kube-api-qps=300", "--kube-api-burst=600"]);
        Ok(command)
    }

    /// A program with both outputs in its log, to which a later start adds.
    pub(crate) fn program(&self, program: &Path, name: &str) -> Result<Command> {
        let log = File::options().create(true).append(true).open(self.log(name))?;
        let mut command = Command::new(program);
        command
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        Ok(command)
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.file(&format!("logs/{name}.log"))
    }

    /// The end of a program's log.
    pub(crate) fn last_words(&self, name: &str) -> String {
        let log = fs::read_to_string(self.log(name)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(10)..).unwrap_or_default().join("\n")
    }
}

pub(crate) fn flag(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

/// Everything with what was sent and answered, except Secrets: of those only that somebody touched them.
fn audit_policy() -> Value {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            { "level": "Metadata", "resources": [{ "group": "", "resources": ["secrets"] }] },
            { "level": "RequestResponse" },
        ],
    })
}
