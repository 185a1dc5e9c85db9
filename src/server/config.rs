//! The text of a node's `redis.conf`, and the values that directives have while we form.
//!
//! `redis.conf` always holds the user's values. Ours go through the command line or CONFIG SET,
//! so that a plain restart of the server is enough to be rid of them.

use std::fmt::Write as _;

use super::binary::Capabilities;
use crate::cluster::NodeAddr;
use crate::plan::{ClusterSpec, last_value};

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

/// From this many nodes on they start so slowly on a small machine that silence is no failure yet.
const MANY: usize = 20;

/// The values we give while `nodes` nodes that hold nothing are made a cluster (`fresh`), or while
/// nodes with data start again.
pub fn forming_values(
    nodes: usize,
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
        let node_timeout = if nodes >= MANY {
            30_000
        } else {
            user_timeout_ms.max(2000)
        };
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
    is("port", &addr.port.to_string()) && is("cluster-enabled", "yes")
}

/// Whether a node with the text `conf` of a `redis.conf` keeps its data over a restart.
pub fn persists(conf: &str) -> bool {
    let value = |name| last_value(conf, name).unwrap_or_default();
    value("appendonly").eq_ignore_ascii_case("yes")
        || !value("save").trim_matches(['"', '\'']).is_empty()
}

/// The `redis.conf` of one node. `title` is what `ps` shows: `rcluster:default/1`.
pub fn redis_conf(
    spec: &ClusterSpec,
    addr: NodeAddr,
    capabilities: Capabilities,
    title: &str,
) -> String {
    let mut text = String::from(
        "# Made by rcluster for this node. Kept over restarts; yours to edit while the node is stopped.\n",
    );
    let mut line = |name: &str, value: &str| {
        writeln!(text, "{name} {value}").expect("writing to a string cannot fail");
    };
    line("bind", &addr.host.to_string());
    line("port", &addr.port.to_string());
    line("cluster-enabled", "yes");
    line("cluster-config-file", "nodes.conf");
    line("cluster-node-timeout", &spec.node_timeout_ms.to_string());
    // Without it a node that knows no other lists itself in CLUSTER SLOTS without a host.
    line("cluster-announce-ip", &addr.host.to_string());
    if capabilities.cluster_port {
        line("cluster-port", &addr.bus_port.to_string());
    }
    if capabilities.process_title {
        line(
            "proc-title-template",
            &format!("\"{{title}} {{listen-addr}} {{server-mode}} {title}\""),
        );
    }
    line("daemonize", "no");
    line("supervised", "no");
    // Standard output, which we send to server.log: start-up errors and the log are in one place.
    line("logfile", "\"\"");
    line("pidfile", "\"\"");
    line("appendonly", if spec.ephemeral { "no" } else { "yes" });
    // The append-only file is enough; a snapshot at shutdown that fails would keep the server up.
    line("save", "\"\"");
    for (name, default) in FORMING
        .into_iter()
        .filter(|(_, default)| !default.is_empty())
    {
        if name != "repl-diskless-load" || capabilities.load_on_empty_db {
            line(name, default);
        }
    }
    if !spec.directives.is_empty() {
        text.push_str("\n# Of --conf and --set:\n");
        for directive in &spec.directives {
            writeln!(text, "{directive}").expect("writing to a string cannot fail");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::{Binary, Kind, Version};

    fn conf(version: Version, directives: &[&str]) -> String {
        let binary = Binary {
            path: "x".into(),
            kind: Kind::Redis,
            version,
            jemalloc: true,
        };
        let directives = directives
            .iter()
            .map(|line| line.parse().expect("directive"))
            .collect();
        let spec = ClusterSpec {
            directives,
            ..ClusterSpec::default()
        };
        let addr = NodeAddr {
            host: spec.bind,
            port: 30001,
            bus_port: 31001,
        };
        redis_conf(&spec, addr, binary.capabilities(), "rcluster:default/1")
    }

    #[test]
    fn old_servers_get_only_what_they_know() {
        let old = conf(Version(6, 2, 14), &[]);
        assert!(!old.contains("cluster-port") && !old.contains("proc-title-template"));
        let new = conf(Version(7, 0, 15), &[]);
        assert!(new.contains("cluster-port 31001\n") && new.contains("rcluster:default/1"));
    }

    #[test]
    fn there_is_always_a_value_of_the_users_to_put_back() {
        let text = conf(Version(7, 0, 15), &["hz 50"]);
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
}
