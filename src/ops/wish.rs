//! What options say about the shape of a cluster, and how that fits one that exists.

use std::net::IpAddr;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use crate::cluster::counted;
use crate::error::{Error, Result};
use crate::plan::{
    Announce, Certificates, ClientCertificates, ClusterSpec, Directive, Layout, NodeSetting,
    PortChoice, Secrets, Security, Selector, Tls,
};
use crate::server::{self, PortsError};
use crate::store::Manifest;

/// The port that node 1 gets if nobody says otherwise: create-cluster's.
pub const DEFAULT_PORT: u16 = 30001;

/// Which dead nodes may be started while replicas may have what they forgot, by their numbers: the
/// others may not, since their replicas would copy that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgetting {
    /// It was confirmed that what their replicas have may be lost.
    pub allowed: Vec<usize>,
    /// They ended by themselves when we told them to, and wrote what they write then.
    pub clean: Vec<usize>,
}

/// What options say about the shape; `None`, or nothing, where they say nothing.
#[derive(Clone, Debug, Default)]
pub struct StartWish {
    /// `--primaries`.
    pub primaries: Option<usize>,
    /// `--replicas`.
    pub replicas: Option<usize>,
    /// `--port`.
    pub port: Option<PortChoice>,
    /// `--bus-port`.
    pub bus_port: Option<PortChoice>,
    /// `--tls-port`.
    pub tls_port: Option<PortChoice>,
    /// `--bind`, the first first.
    pub bind: Vec<IpAddr>,
    /// `--announce-…`.
    pub announce: Announce,
    /// `--unix-socket`.
    pub unix_socket: Option<bool>,
    /// `--server`: a path, or a name on `PATH`.
    pub server: Option<String>,
    /// `--server-for`: the same for some nodes. The last that selects a node counts.
    pub servers: Vec<(Selector, String)>,
    /// `--node-timeout`.
    pub node_timeout: Option<Duration>,
    /// `--conf`, `--set` and `--loadmodule`.
    pub directives: Option<Vec<Directive>>,
    /// `--set-for`.
    pub settings: Vec<NodeSetting>,
    /// `--ephemeral`.
    pub ephemeral: Option<bool>,
    /// `--password-file`, or `RCLUSTER_PASSWORD`.
    pub password: Option<SecretString>,
    /// `--generate-password`.
    pub generate_password: bool,
    /// The text of `--aclfile`.
    pub acl: Option<SecretString>,
    /// `--user`.
    pub user: Option<String>,
    /// `--replication-user`.
    pub replication_user: Option<String>,
    /// `--replication-password-file`.
    pub replication_password: Option<SecretString>,
    /// `--tls`: which client ports there are.
    pub tls: Option<TlsWish>,
    /// `--tls-auth-clients`.
    pub tls_clients: Option<ClientCertificates>,
    /// `--tls-ca`, `--tls-cert`, `--tls-key` …: the user's own, with no key of the CA.
    pub certificates: Option<Certificates>,
    /// `--yes`: older servers, and those of the other kind, may be given the data; an unprotected
    /// cluster may be opened to the network.
    pub yes: bool,
    /// Whose replicas may forget what their primary forgot.
    pub forgetting: Forgetting,
    /// `--retain`: what a failed first start made is kept.
    pub retain: bool,
}

/// Which client ports are wished for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsWish {
    /// Those of TLS.
    Only,
    /// Plain ones beside them.
    Both,
    /// No TLS.
    No,
}

impl TlsWish {
    fn word(self) -> &'static str {
        match self {
            Self::Only => "only",
            Self::Both => "both",
            Self::No => "no",
        }
    }
}

impl StartWish {
    /// The shape of a new cluster.
    pub(super) fn spec(&self) -> Result<ClusterSpec> {
        let default = ClusterSpec::default();
        let timeout = self
            .node_timeout
            .map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        let spec = ClusterSpec {
            primaries: self.primaries.unwrap_or(default.primaries),
            replicas: self.replicas.unwrap_or(default.replicas),
            bind: self.bind.first().copied().unwrap_or(default.bind),
            also_bind: self.bind.iter().skip(1).copied().collect(),
            announce: self.announce.clone(),
            unix_socket: self.unix_socket.unwrap_or(default.unix_socket),
            node_timeout_ms: timeout.unwrap_or(default.node_timeout_ms),
            directives: self.directives.clone().unwrap_or_default(),
            settings: self.settings.clone(),
            security: self.security()?,
            ephemeral: self.ephemeral.unwrap_or(default.ephemeral),
        };
        spec.check()?;
        Ok(spec)
    }

    fn security(&self) -> Result<Security> {
        let wants_tls = match self.tls {
            Some(wish) => wish != TlsWish::No,
            None => self.certificates.is_some(),
        };
        if !wants_tls {
            let needless = [
                ("--tls-auth-clients", self.tls_clients.is_some()),
                ("--tls-port", self.tls_port.is_some()),
                ("--tls-cert", self.certificates.is_some()),
            ];
            if let Some((option, _)) = needless.into_iter().find(|(_, given)| *given) {
                return Err(Error::usage(
                    format!("{option} says something about TLS, and there is none"),
                    "pass --tls too",
                ));
            }
        }
        if self.tls_port.is_some() && self.tls != Some(TlsWish::Both) {
            return Err(Error::usage(
                "--tls-port is for TLS ports beside plain ones",
                "pass --tls=both too; or choose the only ports with --port",
            ));
        }
        if self.user.is_some() && self.password.is_none() {
            return Err(Error::usage(
                "--user has no password",
                "pass --password-file FILE too",
            ));
        }
        if self.replication_user.is_some()
            && self.replication_password.is_none()
            && self.password.is_none()
        {
            return Err(Error::usage(
                "--replication-user has no password",
                "pass --replication-password-file FILE too",
            ));
        }
        if self.generate_password && self.acl.is_some() {
            return Err(Error::usage(
                "--generate-password makes a password that the ACL file does not know",
                "pass --password-file FILE with the one of the ACL file",
            ));
        }
        Ok(Security {
            password: self.password.is_some() || self.generate_password,
            user: self.user.clone(),
            replication_user: self.replication_user.clone(),
            acl: self.acl.is_some(),
            tls: wants_tls.then(|| Tls {
                plain_too: self.tls == Some(TlsWish::Both),
                clients: self.tls_clients.unwrap_or(ClientCertificates::Optional),
                own: self.certificates.is_some(),
            }),
        })
    }

    /// The secrets of a new cluster. `generated` makes up a password.
    pub(super) fn secrets(
        &self,
        generated: impl FnOnce() -> Result<SecretString>,
    ) -> Result<Secrets> {
        let password = match &self.password {
            Some(password) => Some(password.clone()),
            None if self.generate_password => Some(generated()?),
            None => None,
        };
        Ok(Secrets {
            password,
            replication_password: self.replication_password.clone(),
            acl: self.acl.clone(),
        })
    }

    /// Refuses what no machine can do, before anything is touched.
    pub(super) fn check(&self) -> Result<()> {
        let spec = self.spec()?;
        let [client, bus] = self.ports();
        server::check_ports(client, bus, spec.node_count()).map_err(ports_error)
    }

    /// Refuses selectors that mean none of the nodes on `ports`.
    pub(super) fn check_selectors(&self, spec: &ClusterSpec, ports: &[u16]) -> Result<()> {
        let layout = Layout::new(spec.primaries, spec.replicas);
        let means_nobody = |nodes: Selector| {
            let mut numbered = ports.iter().enumerate();
            !numbered.any(|(number, port)| nodes.selects(&layout, number, *port))
        };
        let settings = self.settings.iter();
        let settings = settings.map(|setting| ("--set-for", setting.nodes));
        let servers = self
            .servers
            .iter()
            .map(|(nodes, _)| ("--server-for", *nodes));
        match settings
            .chain(servers)
            .find(|(_, nodes)| means_nobody(*nodes))
        {
            Some((option, nodes)) => Err(no_such_nodes(option, nodes, spec)),
            None => Ok(()),
        }
    }

    /// Whether `--server-for` speaks of node `number` on `port`.
    pub(super) fn names_server_of(&self, spec: &ClusterSpec, number: usize, port: u16) -> bool {
        let layout = Layout::new(spec.primaries, spec.replicas);
        let selects = |(nodes, _): &(Selector, String)| nodes.selects(&layout, number, port);
        self.servers.iter().any(selects)
    }

    /// The ports that were asked for: of clients, and of the bus.
    pub(super) fn ports(&self) -> [PortChoice; 2] {
        let client = self.port.unwrap_or(PortChoice::Base(DEFAULT_PORT));
        [client, self.bus_port.unwrap_or(PortChoice::Auto)]
    }

    /// Where the options that were given differ from a cluster that exists, whose secrets and
    /// certificates are `secrets` and `certificates`. Secrets are not repeated.
    pub(super) fn differences(
        &self,
        manifest: &Manifest,
        secrets: &Secrets,
        certificates: Option<&Certificates>,
    ) -> Vec<String> {
        let mut found = Differences(Vec::new());
        let base = |choice: Option<PortChoice>| match choice {
            Some(PortChoice::Base(port)) => Some(port),
            Some(PortChoice::Auto) | None => None,
        };
        let spec = &manifest.spec;
        let first = manifest.nodes.first().map(|node| node.addr);
        let millis = |ms: u64| humantime::format_duration(Duration::from_millis(ms)).to_string();
        found.of("--primaries", self.primaries, Some(spec.primaries));
        found.of("--replicas", self.replicas, Some(spec.replicas));
        found.of("--port", base(self.port), first.map(|addr| addr.port));
        found.of(
            "--bus-port",
            base(self.bus_port),
            first.map(|addr| addr.bus_port),
        );
        let tls_port = first.and_then(|addr| addr.tls_port);
        found.of("--tls-port", base(self.tls_port), tls_port);
        let bind = (!self.bind.is_empty()).then(|| joined(&self.bind));
        found.of(
            "--bind",
            bind,
            Some(joined(&spec.binds().collect::<Vec<_>>())),
        );
        let (wish, is) = (&self.announce, &spec.announce);
        found.of("--announce-ip", wish.ip, is.ip);
        found.of("--announce-port", wish.port, is.port);
        found.of("--announce-bus-port", wish.bus_port, is.bus_port);
        found.of(
            "--announce-hostname",
            wish.hostname.clone(),
            is.hostname.clone(),
        );
        let timeout = self
            .node_timeout
            .map(|timeout| humantime::format_duration(timeout).to_string());
        found.of(
            "--node-timeout",
            timeout,
            Some(millis(spec.node_timeout_ms)),
        );
        found.flag("--ephemeral", self.ephemeral, spec.ephemeral);
        found.flag("--unix-socket", self.unix_socket, spec.unix_socket);
        if self
            .directives
            .as_ref()
            .is_some_and(|wish| *wish != spec.directives)
        {
            found.0.push(format!(
                "--set and --conf gave {}",
                listed(&spec.directives)
            ));
        }
        if !self.settings.is_empty() && self.settings != spec.settings {
            found
                .0
                .push(format!("--set-for gave {}", listed(&spec.settings)));
        }
        self.security_differences(&mut found, &spec.security, secrets, certificates);
        found.0
    }

    fn security_differences(
        &self,
        found: &mut Differences,
        is: &Security,
        secrets: &Secrets,
        certificates: Option<&Certificates>,
    ) {
        let mut secret = |what: &str, wish: &Option<SecretString>, is: &Option<SecretString>| {
            let Some(wish) = wish else { return };
            match is {
                None => found.0.push(format!("it has no {what}")),
                Some(is) if is.expose_secret() != wish.expose_secret() => {
                    found.0.push(format!("it has another {what}"));
                }
                Some(_) => {}
            }
        };
        secret("password", &self.password, &secrets.password);
        secret(
            "replication password",
            &self.replication_password,
            &secrets.replication_password,
        );
        secret("ACL file", &self.acl, &secrets.acl);
        let generate = self.generate_password.then_some(true);
        found.flag("--generate-password", generate, is.password);
        found.of("--user", self.user.clone(), is.user.clone());
        found.of(
            "--replication-user",
            self.replication_user.clone(),
            is.replication_user.clone(),
        );
        let tls = is.tls.as_ref();
        let is_tls = match tls {
            Some(tls) if tls.plain_too => TlsWish::Both,
            Some(_) => TlsWish::Only,
            None => TlsWish::No,
        };
        found.of("--tls", self.tls.map(TlsWish::word), Some(is_tls.word()));
        found.of(
            "--tls-auth-clients",
            self.tls_clients.map(ClientCertificates::word),
            tls.map(|tls| tls.clients.word()),
        );
        if let Some(wish) = &self.certificates
            && certificates.is_none_or(|is| !is.same_files(wish))
        {
            found
                .0
                .push("--tls-ca and --tls-cert: it has others".into());
        }
    }
}

/// What differs, in sentences.
struct Differences(Vec<String>);

impl Differences {
    /// An option that was given (`wish`), beside what is.
    fn of<T: ToString>(&mut self, what: &str, wish: Option<T>, is: Option<T>) {
        let Some(wish) = wish.map(|wish| wish.to_string()) else {
            return;
        };
        match is.map(|is| is.to_string()) {
            Some(is) if is == wish => {}
            Some(is) => self.0.push(format!("{what} {is}, not {wish}")),
            None => self.0.push(format!("no {what}, not {wish}")),
        }
    }

    fn flag(&mut self, what: &str, wish: Option<bool>, is: bool) {
        match wish {
            Some(true) if !is => self.0.push(format!("it was not made with {what}")),
            Some(false) if is => self.0.push(format!("it was made with {what}")),
            _ => {}
        }
    }
}

fn joined(items: &[impl ToString]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    items.join(", ")
}

fn listed(items: &[impl ToString]) -> String {
    if items.is_empty() {
        "nothing".into()
    } else {
        joined(items)
    }
}

fn no_such_nodes(option: &str, nodes: Selector, spec: &ClusterSpec) -> Error {
    Error::usage(
        format!(
            "{option} {nodes} means none of the {} nodes",
            spec.node_count()
        ),
        format!(
            "there {} {}, with {} each",
            if spec.primaries == 1 { "is" } else { "are" },
            counted(spec.primaries, "shard", "shards"),
            counted(spec.replicas, "replica", "replicas")
        ),
    )
}

/// An error about ports, as a verb reports it.
pub(super) fn ports_error(error: PortsError) -> Error {
    match error {
        PortsError::Impossible(message, hint) => Error::usage(message, hint),
        PortsError::InUse(conflicts) => Error::PortsInUse {
            conflicts,
            settled: false,
        },
    }
}
