//! What the user wants: shape, addresses, configuration.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::directive::Directive;
use super::layout::Layout;
use super::security::Security;
use super::selector::Selector;
use crate::cluster::{NodeAddr, counted};
use crate::error::{Error, Result};

/// The most nodes a cluster may have: what the cluster specification calls practical.
pub const MAX_NODES: usize = 1000;

/// Where a block of ports begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortChoice {
    /// At this port; node 1 gets it, node 2 the next.
    Base(u16),
    /// Wherever a whole block is free.
    Auto,
}

impl FromStr for PortChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => match text.parse() {
                Ok(0) | Err(_) => Err("expected `auto` or a port from 1 to 65535".into()),
                Ok(port) => Ok(Self::Base(port)),
            },
        }
    }
}

impl fmt::Display for PortChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base(port) => port.fmt(f),
            Self::Auto => f.write_str("auto"),
        }
    }
}

/// The shape of a cluster, as recorded in its manifest. Ports are recorded node by node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSpec {
    /// Primaries, 1 and up.
    pub primaries: usize,
    /// Replicas of each primary, 0 and up.
    pub replicas: usize,
    /// The first address all nodes listen on.
    pub bind: IpAddr,
    /// Further addresses they listen on.
    #[serde(default)]
    pub also_bind: Vec<IpAddr>,
    /// What nodes say of themselves instead of where they listen.
    #[serde(default)]
    pub announce: Announce,
    /// Each node listens on a Unix socket in its directory too.
    #[serde(default)]
    pub unix_socket: bool,
    /// `cluster-node-timeout`, in milliseconds.
    pub node_timeout_ms: u64,
    /// Directives of `--conf` (first) and `--set` (after it, so that they win).
    pub directives: Vec<Directive>,
    /// Directives of `--set-for`, after all others in a node's `redis.conf`.
    #[serde(default)]
    pub settings: Vec<NodeSetting>,
    /// Who may come in, and how.
    #[serde(default)]
    pub security: Security,
    /// Nothing is persisted: a restart comes back formed and empty.
    pub ephemeral: bool,
}

/// A directive for some nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSetting {
    /// For which.
    pub nodes: Selector,
    /// What.
    pub directive: Directive,
}

impl fmt::Display for NodeSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.nodes, self.directive)
    }
}

/// What nodes say of themselves instead of where they listen: for addresses that others see
/// differently. The nodes too reach each other there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announce {
    /// `cluster-announce-ip`.
    pub ip: Option<IpAddr>,
    /// `cluster-announce-port` of node 1 (of its TLS port, if there is TLS); the others count on.
    pub port: Option<u16>,
    /// `cluster-announce-bus-port` of node 1; the others count on.
    pub bus_port: Option<u16>,
    /// `cluster-announce-hostname`, with `{index}` for the node's index and `{port}` for its port.
    pub hostname: Option<String>,
}

impl Default for ClusterSpec {
    fn default() -> Self {
        Self {
            primaries: 3,
            replicas: 1,
            bind: Ipv4Addr::LOCALHOST.into(),
            also_bind: Vec::new(),
            announce: Announce::default(),
            unix_socket: false,
            node_timeout_ms: 2000,
            directives: Vec::new(),
            settings: Vec::new(),
            security: Security::default(),
            ephemeral: false,
        }
    }
}

impl ClusterSpec {
    /// How many nodes the shape has.
    pub fn node_count(&self) -> usize {
        self.primaries * (self.replicas + 1)
    }

    /// The addresses all nodes listen on, the first first.
    pub fn binds(&self) -> impl Iterator<Item = IpAddr> {
        [self.bind]
            .into_iter()
            .chain(self.also_bind.iter().copied())
    }

    /// Where we reach the nodes: the first address, or the loopback address of its family if it
    /// stands for all.
    pub fn dial(&self) -> IpAddr {
        match self.bind {
            IpAddr::V4(bind) if bind.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(bind) if bind.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            bind => bind,
        }
    }

    /// Whether a machine on the network may reach the nodes.
    pub fn is_exposed(&self) -> bool {
        self.binds().any(|bind| !bind.is_loopback())
    }

    /// How node `number` (from 0), which listens at `addr`, is known to its peers: the port is the
    /// one that the bus gossips about, of TLS if there is TLS.
    pub fn known_as(&self, number: usize, addr: NodeAddr) -> NodeAddr {
        let count = |base: u16| base.saturating_add(u16::try_from(number).unwrap_or(u16::MAX));
        NodeAddr {
            host: self.announce.ip.unwrap_or(addr.host),
            port: self.announce.port.map_or(addr.peer_port(), count),
            bus_port: self.announce.bus_port.map_or(addr.bus_port, count),
            tls_port: None,
        }
    }

    /// The host name that node `number` (from 0) on `port` gives to clients, if it gives one.
    pub fn hostname_of(&self, number: usize, port: u16) -> Option<String> {
        let name = self.announce.hostname.as_ref()?;
        let name = name.replace("{index}", &(number + 1).to_string());
        Some(name.replace("{port}", &port.to_string()))
    }

    /// The directives of node `number` (from 0) on `port`, in the order of `redis.conf`: the last
    /// one wins.
    pub fn directives_of(&self, number: usize, port: u16) -> Vec<Directive> {
        let layout = Layout::new(self.primaries, self.replicas);
        let own = self
            .settings
            .iter()
            .filter(|setting| setting.nodes.selects(&layout, number, port))
            .map(|setting| &setting.directive);
        self.directives.iter().chain(own).cloned().collect()
    }

    /// Every directive that any node has.
    pub fn all_directives(&self) -> impl Iterator<Item = &Directive> {
        let own = self.settings.iter().map(|setting| &setting.directive);
        self.directives.iter().chain(own)
    }

    /// Refuses shapes that cannot work, before anything is touched.
    pub fn check(&self) -> Result<()> {
        if self.primaries == 0 {
            return Err(Error::usage(
                "a cluster needs at least 1 primary",
                "pass --primaries 3",
            ));
        }
        let nodes = self
            .primaries
            .saturating_mul(self.replicas.saturating_add(1));
        if nodes > MAX_NODES {
            return Err(Error::usage(
                format!(
                    "{} with {} each would be more than {MAX_NODES} nodes",
                    counted(self.primaries, "primary", "primaries"),
                    counted(self.replicas, "replica", "replicas")
                ),
                "pass smaller --primaries or --replicas",
            ));
        }
        self.check_addresses(nodes)?;
        self.security.check()?;
        if !(100..=3_600_000).contains(&self.node_timeout_ms) {
            return Err(Error::usage(
                format!(
                    "--node-timeout of {} ms is out of range",
                    self.node_timeout_ms
                ),
                "pass a duration from 100ms to 1h, such as 2s",
            ));
        }
        if self.ephemeral {
            let persists = |d: &&Directive| match d.name() {
                "appendonly" => !d.value().eq_ignore_ascii_case("no"),
                "save" => !matches!(d.value(), "" | "\"\"" | "''"),
                _ => false,
            };
            if let Some(directive) = self.all_directives().find(persists) {
                return Err(Error::usage(
                    format!("--ephemeral and {directive} contradict each other"),
                    "leave one of them out",
                ));
            }
        }
        Ok(())
    }

    fn check_addresses(&self, nodes: usize) -> Result<()> {
        let binds: Vec<IpAddr> = self.binds().collect();
        let wildcard = |bind: &IpAddr| {
            bind.is_unspecified()
                && binds
                    .iter()
                    .any(|other| other != bind && other.is_ipv4() == bind.is_ipv4())
        };
        if let Some(bind) = binds.iter().copied().find(wildcard) {
            return Err(Error::usage(
                format!("--bind {bind} is every address of its kind already"),
                "leave the other addresses of that kind out",
            ));
        }
        let mut seen = BTreeSet::new();
        for bind in binds {
            if !seen.insert(bind) {
                return Err(Error::usage(
                    format!("--bind {bind} is given twice"),
                    "leave one of them out",
                ));
            }
            if bind.is_multicast() || bind == IpAddr::V4(Ipv4Addr::BROADCAST) {
                return Err(Error::usage(
                    format!("--bind {bind} is no address of one machine"),
                    "pass an address of this machine, such as 127.0.0.1",
                ));
            }
        }
        let Announce {
            ip,
            port,
            bus_port,
            hostname,
        } = &self.announce;
        if ip.is_some_and(|ip| ip.is_unspecified() || ip.is_multicast()) {
            return Err(Error::usage(
                "--announce-ip is no address that anybody could reach",
                "pass the address under which clients and nodes reach this machine",
            ));
        }
        for (option, base) in [("--announce-port", port), ("--announce-bus-port", bus_port)] {
            if base.is_some_and(|base| usize::from(base) + nodes > 65536 || base == 0) {
                return Err(Error::usage(
                    format!("{nodes} ports from {option} on go beyond 65535"),
                    format!("pass a smaller {option}"),
                ));
            }
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        if let Some(name) = hostname {
            let example = name.replace("{index}", "1").replace("{port}", "1");
            if example.is_empty() || example.len() > 250 || !example.chars().all(plain) {
                return Err(Error::usage(
                    "--announce-hostname is no host name",
                    "use letters, digits, dots and hyphens; {index} and {port} stand for the node's own",
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_auto_or_a_number_that_can_be_bound() {
        assert_eq!("auto".parse(), Ok(PortChoice::Auto));
        assert_eq!("30001".parse(), Ok(PortChoice::Base(30001)));
        for bad in ["0", "65536", "-1", "", "AUTO", "30001-30006", "1e3"] {
            assert!(bad.parse::<PortChoice>().is_err(), "{bad}");
        }
    }

    #[test]
    fn shapes_that_cannot_work_are_refused() {
        let ok = ClusterSpec::default();
        assert!(ok.check().is_ok());
        let refused = |change: fn(&mut ClusterSpec)| {
            let mut spec = ok.clone();
            change(&mut spec);
            assert_eq!(spec.check().expect_err("refused").exit_code(), 2);
        };
        refused(|spec| spec.primaries = 0);
        refused(|spec| spec.primaries = 1001);
        refused(|spec| spec.replicas = usize::MAX);
        refused(|spec| spec.bind = "224.0.0.1".parse().expect("literal"));
        refused(|spec| spec.also_bind = vec![spec.bind]);
        refused(|spec| spec.also_bind = vec!["0.0.0.0".parse().expect("literal")]);
        refused(|spec| spec.announce.ip = Some("::".parse().expect("literal")));
        refused(|spec| spec.announce.port = Some(65531));
        refused(|spec| spec.announce.hostname = Some("a b".into()));
        refused(|spec| spec.node_timeout_ms = 0);
        refused(|spec| {
            spec.ephemeral = true;
            spec.directives = vec!["appendonly yes".parse().expect("directive")];
        });
    }
}
