//! The text of a node's `redis.conf`, and the values that directives have while we form.
//!
//! `redis.conf` always holds the user's values. Ours go through the command line or CONFIG SET,
//! so that a plain restart of the server is enough to be rid of them.

use std::fmt::Write as _;

use secrecy::ExposeSecret as _;

use super::binary::Capabilities;
use crate::cluster::NodeAddr;
use crate::plan::{ClusterSpec, Secrets, last_value, quoted};

/// Directives that may have a value of ours while a cluster forms, and the servers' defaults.
/// `redis.conf` spells each of them out, so that there is always a value to put back.
pub const FORMING: [(&str, &str); 5] = [
    // The end of a snapshot's transfer is noticed by `serverCron`, hz times a second. More in `ops::tick`.
    ("hz", "10"),
    // A full copy to a new replica begins at once instead of after 5 s.
    ("repl-diskless-sync-delay", "5"),
    // A node that hears of a demotion before it hears of the takeover must not fall into `fail`.
    ("cluster-require-full-coverage", "yes"),
    ("repl-diskless-load", "disabled"),
    ("cluster-node-timeout", ""),
];

/// How long a node may be silent while a cluster forms, in milliseconds, if the user's own limit is not
/// longer. A busy machine takes the processor from a server for seconds, and from us: meanwhile nobody
/// is to be elected in its place, no handshake given up, and no placeholder found dead.
const FORMING_TIMEOUT: u64 = 30_000;

/// The values we give while nodes that hold nothing are made a cluster (`fresh`), or while nodes with
/// data start again.
pub fn forming_values(
    user_timeout_ms: u64,
    capabilities: Capabilities,
    fresh: bool,
) -> Vec<(&'static str, String)> {
    let mut values = vec![
        ("hz", "500".to_owned()),
        ("repl-diskless-sync-delay", "0".to_owned()),
    ];
    if fresh {
        values.push(("cluster-require-full-coverage", "no".to_owned()));
        if capabilities.load_on_empty_db {
            values.push(("repl-diskless-load", "on-empty-db".to_owned()));
        }
        // `ops::ready` shortens it for a moment, to have nodes ping each other.
        let node_timeout = user_timeout_ms.max(FORMING_TIMEOUT);
        values.push(("cluster-node-timeout", node_timeout.to_string()));
    }
    values
}

/// The user's value of a directive that has one of ours, read from the text of `redis.conf`.
pub fn user_value(conf: &str, name: &str) -> Option<String> {
    last_value(conf, name).or_else(|| {
        let (_, default) = FORMING.into_iter().find(|(known, _)| *known == name)?;
        (!default.is_empty()).then(|| default.to_owned())
    })
}

/// Whether a node's `redis.conf` is whole enough to start it as the node at `addr`.
pub fn is_redis_conf(conf: &[u8], addr: NodeAddr) -> bool {
    let conf = String::from_utf8_lossy(conf);
    let is = |name: &str, value: &str| last_value(&conf, name).as_deref() == Some(value);
    let port = addr.port.to_string();
    (is("port", &port) || is("tls-port", &port)) && is("cluster-enabled", "yes")
}

/// One node, as its `redis.conf` is written for it.
#[derive(Clone, Copy, Debug)]
pub struct NodeConf<'a> {
    /// The cluster's shape.
    pub spec: &'a ClusterSpec,
    /// The cluster's secrets.
    pub secrets: &'a Secrets,
    /// What the node's server can do.
    pub capabilities: Capabilities,
    /// The node's number, from 0.
    pub number: usize,
    /// Where it listens.
    pub addr: NodeAddr,
    /// What `ps` shows: `rcluster:default/1`.
    pub title: &'a str,
}

/// The Unix socket in a node's directory.
pub const SOCKET: &str = "redis.sock";

/// The ACL file in a node's directory.
pub const ACL_FILE: &str = "users.acl";

impl NodeConf<'_> {
    /// The text of the node's `redis.conf`.
    pub fn text(&self) -> String {
        let Self {
            spec,
            capabilities,
            addr,
            ..
        } = *self;
        let mut conf = Text(String::from(
            "# Made by rcluster for this node. Kept over restarts; yours to edit while the node is stopped.\n",
        ));
        let binds: Vec<String> = spec.binds().map(|bind| bind.to_string()).collect();
        conf.line("bind", &binds.join(" "));
        conf.line("cluster-enabled", "yes");
        conf.line("cluster-config-file", "nodes.conf");
        conf.line("cluster-node-timeout", &spec.node_timeout_ms.to_string());
        self.ports(&mut conf);
        self.announcement(&mut conf);
        if capabilities.process_title {
            conf.line(
                "proc-title-template",
                &format!(
                    "\"{{title}} {{listen-addr}} {{server-mode}} {}\"",
                    self.title
                ),
            );
        }
        conf.line("daemonize", "no");
        conf.line("supervised", "no");
        // Standard output, which we send to server.log: start-up errors and the log are in one place.
        conf.line("logfile", "\"\"");
        conf.line("pidfile", "\"\"");
        self.security(&mut conf);
        conf.line("appendonly", if spec.ephemeral { "no" } else { "yes" });
        // The append-only file is enough; a snapshot at shutdown that fails would keep the server up.
        conf.line("save", "\"\"");
        for (name, default) in FORMING
            .into_iter()
            .filter(|(_, default)| !default.is_empty())
        {
            if name != "repl-diskless-load" || capabilities.load_on_empty_db {
                conf.line(name, default);
            }
        }
        let own = spec.directives_of(self.number, addr.port);
        if !own.is_empty() {
            conf.0
                .push_str("\n# Of --conf, --set, --set-for and --loadmodule:\n");
            for directive in own {
                conf.line(directive.name(), directive.value());
            }
        }
        conf.0
    }

    fn ports(&self, conf: &mut Text) {
        let Self { spec, addr, .. } = *self;
        match (&spec.security.tls, addr.tls_port) {
            (None, _) => conf.line("port", &addr.port.to_string()),
            (Some(_), None) => {
                conf.line("port", "0");
                conf.line("tls-port", &addr.port.to_string());
            }
            (Some(_), Some(tls_port)) => {
                conf.line("port", &addr.port.to_string());
                conf.line("tls-port", &tls_port.to_string());
            }
        }
        if self.capabilities.cluster_port {
            conf.line("cluster-port", &addr.bus_port.to_string());
        }
        if spec.unix_socket {
            // In the working directory, so that the home may move.
            conf.line("unixsocket", SOCKET);
            conf.line("unixsocketperm", "700");
        }
    }

    fn announcement(&self, conf: &mut Text) {
        let Self {
            spec, addr, number, ..
        } = *self;
        let known = spec.known_as(number, addr);
        // Without it a node that knows no other lists itself in CLUSTER SLOTS without a host.
        conf.line("cluster-announce-ip", &known.host.to_string());
        if spec.announce.port.is_some() {
            let name = if spec.security.tls.is_some() {
                "cluster-announce-tls-port"
            } else {
                "cluster-announce-port"
            };
            conf.line(name, &known.port.to_string());
        }
        if spec.announce.bus_port.is_some() {
            conf.line("cluster-announce-bus-port", &known.bus_port.to_string());
        }
        if let Some(hostname) = spec.hostname_of(number, addr.port) {
            conf.line("cluster-announce-hostname", &hostname);
        }
    }

    fn security(&self, conf: &mut Text) {
        let Self { spec, secrets, .. } = *self;
        let security = &spec.security;
        if let Some(password) = &secrets.password {
            let password = quoted(password.expose_secret());
            // With an ACL file the servers ignore it: the file says what the password is.
            if !security.acl {
                conf.line("requirepass", &password);
            }
            if secrets.replication_password.is_none() {
                conf.line("masterauth", &password);
            }
        }
        if let Some(password) = &secrets.replication_password {
            conf.line("masterauth", &quoted(password.expose_secret()));
        }
        let replication = security
            .replication_user
            .as_ref()
            .or(security.user.as_ref());
        if let Some(user) = replication {
            conf.line("masteruser", &quoted(user));
        }
        if security.acl {
            conf.line("aclfile", ACL_FILE);
        }
        if spec.is_exposed() && !security.password {
            // Asked for with --yes: protected, replicas on the same address could not come in either.
            conf.line("protected-mode", "no");
        }
        let Some(tls) = &security.tls else { return };
        conf.line("tls-cluster", "yes");
        conf.line("tls-replication", "yes");
        conf.line("tls-auth-clients", tls.clients.word());
        // Seen from the node's directory, so that the home may move.
        conf.line("tls-ca-cert-file", "../../tls/ca.crt");
        conf.line("tls-cert-file", "../../tls/node.crt");
        conf.line("tls-key-file", "../../tls/node.key");
        if tls.own {
            conf.line("tls-client-cert-file", "../../tls/client.crt");
            conf.line("tls-client-key-file", "../../tls/client.key");
        }
    }
}

/// The text of a configuration as it grows.
struct Text(String);

impl Text {
    fn line(&mut self, name: &str, value: &str) {
        writeln!(self.0, "{name} {value}").expect("writing to a string cannot fail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{ClientCertificates, Security, Tls};
    use crate::server::{Binary, Kind, Version};

    fn capabilities(accepts: &[&str]) -> Capabilities {
        Binary {
            path: "x".into(),
            kind: Kind::Redis,
            version: Version(7, 0, 15),
            accepts: accepts.iter().map(ToString::to_string).collect(),
            jemalloc: true,
        }
        .capabilities()
    }

    fn conf(
        spec: &ClusterSpec,
        secrets: &Secrets,
        accepts: &[&str],
        tls_port: Option<u16>,
    ) -> String {
        NodeConf {
            spec,
            secrets,
            capabilities: capabilities(accepts),
            number: 4,
            addr: NodeAddr {
                host: spec.dial(),
                port: 30005,
                bus_port: 31005,
                tls_port,
            },
            title: "rcluster:default/5",
        }
        .text()
    }

    fn with(directives: &[&str]) -> ClusterSpec {
        ClusterSpec {
            directives: directives
                .iter()
                .map(|line| line.parse().expect("directive"))
                .collect(),
            ..ClusterSpec::default()
        }
    }

    #[test]
    fn servers_get_only_what_they_know() {
        let none = Secrets::default();
        let old = conf(&with(&[]), &none, &[], None);
        assert!(!old.contains("cluster-port") && !old.contains("proc-title-template"));
        let new = conf(
            &with(&[]),
            &none,
            &["cluster-port", "proc-title-template"],
            None,
        );
        assert!(new.contains("cluster-port 31005\n") && new.contains("rcluster:default/5"));
    }

    #[test]
    fn there_is_always_a_value_of_the_users_to_put_back() {
        let text = conf(&with(&["hz 50"]), &Secrets::default(), &[], None);
        for (name, wanted) in [
            ("hz", "50"),
            ("repl-diskless-sync-delay", "5"),
            ("cluster-node-timeout", "2000"),
        ] {
            assert_eq!(user_value(&text, name).as_deref(), Some(wanted));
        }
        assert_eq!(user_value("", "hz").as_deref(), Some("10"));
        assert_eq!(user_value("", "port"), None);
    }

    #[test]
    fn tls_takes_the_plain_port_away_unless_both_are_wanted() {
        let mut spec = with(&[]);
        spec.security.tls = Some(Tls {
            plain_too: false,
            clients: ClientCertificates::Yes,
            own: false,
        });
        let only = conf(&spec, &Secrets::default(), &["tls-port"], None);
        for line in [
            "port 0\n",
            "tls-port 30005\n",
            "tls-cluster yes\n",
            "tls-replication yes\n",
        ] {
            assert!(only.contains(line), "{line}{only}");
        }
        let addr = NodeAddr {
            host: spec.dial(),
            port: 30005,
            bus_port: 31005,
            tls_port: None,
        };
        assert!(is_redis_conf(only.as_bytes(), addr));
        let both = conf(&spec, &Secrets::default(), &["tls-port"], Some(32005));
        assert!(both.contains("\nport 30005\n") && both.contains("tls-port 32005\n"));
        assert!(is_redis_conf(both.as_bytes(), addr));
    }

    #[test]
    fn passwords_are_quoted_and_an_acl_file_takes_the_place_of_requirepass() {
        let secrets = Secrets {
            password: Some("a \"b\"\n#".into()),
            ..Secrets::default()
        };
        let mut spec = with(&[]);
        spec.security.password = true;
        let text = conf(&spec, &secrets, &[], None);
        assert!(
            text.contains("requirepass \"a \\\"b\\\"\\x0a#\"\n"),
            "{text}"
        );
        assert!(text.contains("masterauth \"a "));
        spec.security = Security {
            acl: true,
            user: Some("tool".into()),
            replication_user: Some("copy".into()),
            ..spec.security
        };
        let secrets = Secrets {
            replication_password: Some("c".into()),
            ..secrets
        };
        let text = conf(&spec, &secrets, &[], None);
        assert!(!text.contains("requirepass") && text.contains("aclfile users.acl\n"));
        assert!(text.contains("masterauth \"c\"\n") && text.contains("masteruser \"copy\"\n"));
        assert_eq!(text.matches("masterauth").count(), 1);
    }

    #[test]
    fn what_nodes_say_of_themselves_counts_on_from_node_to_node() {
        let mut spec = with(&[]);
        spec.bind = "0.0.0.0".parse().expect("literal");
        spec.announce.ip = Some("127.0.0.9".parse().expect("literal"));
        spec.announce.port = Some(40001);
        spec.announce.bus_port = Some(50001);
        spec.announce.hostname = Some("n{index}.{port}.example".into());
        let text = conf(&spec, &Secrets::default(), &["cluster-port"], None);
        for line in [
            "bind 0.0.0.0\n",
            "cluster-announce-ip 127.0.0.9\n",
            "cluster-announce-port 40005\n",
            "cluster-announce-bus-port 50005\n",
            "cluster-announce-hostname n5.30005.example\n",
            "protected-mode no\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }
}
