//! What the user wants: shape, addresses, configuration.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::directive::Directive;
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
    /// The address all nodes listen on and announce.
    pub bind: IpAddr,
    /// `cluster-node-timeout`, in milliseconds.
    pub node_timeout_ms: u64,
    /// Directives of `--conf` (first) and `--set` (after it, so that they win).
    pub directives: Vec<Directive>,
    /// Nothing is persisted: a restart comes back formed and empty.
    pub ephemeral: bool,
}

impl Default for ClusterSpec {
    fn default() -> Self {
        Self {
            primaries: 3,
            replicas: 1,
            bind: Ipv4Addr::LOCALHOST.into(),
            node_timeout_ms: 2000,
            directives: Vec::new(),
            ephemeral: false,
        }
    }
}

impl ClusterSpec {
    /// How many nodes the shape has.
    pub fn node_count(&self) -> usize {
        self.primaries * (self.replicas + 1)
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
                    "{} primaries with {} replicas each are more than {MAX_NODES} nodes",
                    self.primaries, self.replicas
                ),
                "pass smaller --primaries or --replicas",
            ));
        }
        if !self.bind.is_loopback() {
            return Err(Error::usage(
                format!("--bind {} is not a loopback address", self.bind),
                "pass 127.0.0.1, another 127.x.y.z, or ::1",
            ));
        }
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
            if let Some(directive) = self.directives.iter().find(persists) {
                return Err(Error::usage(
                    format!("--ephemeral and {directive} contradict each other"),
                    "leave one of them out",
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
        refused(|spec| spec.bind = "0.0.0.0".parse().expect("literal"));
        refused(|spec| spec.bind = "192.168.1.1".parse().expect("literal"));
        refused(|spec| spec.node_timeout_ms = 0);
        refused(|spec| {
            spec.ephemeral = true;
            spec.directives = vec!["appendonly yes".parse().expect("directive")];
        });
    }
}
