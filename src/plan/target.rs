//! Which nodes of a cluster that exists are meant: `primary:2`, `slot:7056`, `30004`, `3f2a…`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use super::selector::Selector;
use crate::cluster::{NodeAddr, NodeId, SLOT_COUNT, SlotRange, printable, slot_of};

/// Nodes of a cluster as it is now: unlike a [`Selector`], roles and shards are those of the
/// moment, so that `primary:2` means another node after a failover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `all`, `primary`, `replica:2.1`, an index or a port.
    Role(Selector),
    /// `slot:7056`: the primary that owns it.
    Slot(u16),
    /// `key:wat`: the primary that owns the key's slot; hash tags count.
    Key(String),
    /// `3f2ab0`: the node whose id begins so.
    Id(String),
    /// `127.0.0.1:30004`, `[::1]:30004`, `localhost:30004`.
    Address(String, u16),
}

/// What a [`Target`] is looked for in: one node.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its number in the manifest, from 1.
    pub index: usize,
    /// Its id, once known.
    pub id: Option<NodeId>,
    /// Where it listens.
    pub addr: NodeAddr,
    /// Whether it is a primary; `None` if nobody knows.
    pub is_primary: Option<bool>,
    /// Its shard, from 1.
    pub shard: Option<usize>,
    /// The slots it owns.
    pub slots: Vec<SlotRange>,
}

impl Target {
    /// The places in `nodes` of those that are meant, in the order of `nodes`; at least one.
    /// Fails, in a sentence, if none is, or if an id's beginning is that of several.
    pub fn find(&self, nodes: &[Candidate]) -> Result<Vec<usize>, String> {
        let owner_of = |slot: u16| {
            places(nodes, |node| {
                node.slots.iter().any(|range| range.contains(slot))
            })
        };
        let found = match self {
            Self::Role(selector) => places(nodes, |node| is_meant(*selector, node, nodes)),
            Self::Slot(slot) => owner_of(*slot),
            Self::Key(key) => owner_of(slot_of(key.as_bytes())),
            Self::Id(start) => {
                let found = places(nodes, |node| {
                    node.id
                        .as_ref()
                        .is_some_and(|id| id.as_str().starts_with(start))
                });
                if found.len() > 1 {
                    return Err(format!(
                        "the ids of {} nodes begin with {start}",
                        found.len()
                    ));
                }
                found
            }
            Self::Address(host, port) => places(nodes, |node| is_at(node.addr, host, *port)),
        };
        if found.is_empty() {
            return Err(match self {
                Self::Slot(slot) => format!("no living node owns slot {slot}"),
                Self::Key(key) => format!(
                    "no living node owns slot {}, where the key {} lies",
                    slot_of(key.as_bytes()),
                    printable(key, 60)
                ),
                other => format!("{other} means none of the {} nodes", nodes.len()),
            });
        }
        Ok(found)
    }
}

fn places(nodes: &[Candidate], is_meant: impl Fn(&Candidate) -> bool) -> Vec<usize> {
    let numbered = nodes.iter().enumerate();
    let meant = numbered.filter(|(_, node)| is_meant(node));
    meant.map(|(place, _)| place).collect()
}

fn is_meant(selector: Selector, node: &Candidate, nodes: &[Candidate]) -> bool {
    let is = |wish: Option<usize>| wish.is_none() || wish == node.shard;
    match selector {
        Selector::All => true,
        Selector::Index(index) => index == node.index,
        Selector::Port(port) => port == node.addr.port || node.addr.tls_port == Some(port),
        Selector::Primary(shard) => node.is_primary == Some(true) && is(shard),
        Selector::Replica(shard, place) => {
            let is_before = |other: &&Candidate| {
                other.is_primary == Some(false)
                    && other.shard == node.shard
                    && other.index < node.index
            };
            let before = || nodes.iter().filter(is_before).count();
            node.is_primary == Some(false)
                && is(shard)
                && place.is_none_or(|place| place == before() + 1)
        }
    }
}

/// Whether `addr` is what a user calls `host:port`.
fn is_at(addr: NodeAddr, host: &str, port: u16) -> bool {
    let is_host = match host.parse::<IpAddr>() {
        Ok(ip) => ip == addr.host || (addr.host.is_unspecified() && ip.is_loopback()),
        // Names are not looked up: this one every machine has, and the servers' names are theirs.
        Err(_) => {
            host.eq_ignore_ascii_case("localhost")
                && (addr.host.is_loopback() || addr.host.is_unspecified())
        }
    };
    is_host && (addr.port == port || addr.tls_port == Some(port))
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            "expected a port, an index, the beginning of an id, HOST:PORT, primary, replica, primary:SHARD, replica:SHARD, replica:SHARD.PLACE, slot:N, key:KEY or all"
                .to_owned()
        };
        if let Some(slot) = text.strip_prefix("slot:") {
            let slot = slot.parse::<u16>().ok().filter(|slot| *slot < SLOT_COUNT);
            return slot
                .map(Self::Slot)
                .ok_or_else(|| format!("slots are 0 to {}", SLOT_COUNT - 1));
        }
        if let Some(key) = text.strip_prefix("key:") {
            return Ok(Self::Key(key.to_owned()));
        }
        if let Ok(selector) = text.parse::<Selector>() {
            return Ok(Self::Role(selector));
        }
        if let Ok(addr) = text.parse::<SocketAddr>() {
            return Ok(Self::Address(addr.ip().to_string(), addr.port()));
        }
        if let Some((host, port)) = text.rsplit_once(':') {
            let is_name = |host: &str| {
                !host.is_empty()
                    && host
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
            };
            let port = port.parse::<u16>().ok().filter(|port| *port > 0);
            return match port {
                Some(port)
                    if is_name(host)
                        && !matches!(host, "all" | "primary" | "master" | "replica" | "slave") =>
                {
                    Ok(Self::Address(host.to_owned(), port))
                }
                _ => Err(wrong()),
            };
        }
        let is_id = (4..=40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
        if is_id {
            return Ok(Self::Id(text.to_ascii_lowercase()));
        }
        Err(wrong())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role(selector) => selector.fmt(f),
            Self::Slot(slot) => write!(f, "slot:{slot}"),
            Self::Key(key) => write!(f, "key:{}", printable(key, 60)),
            Self::Id(start) => f.write_str(start),
            Self::Address(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Address(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three shards; 5 and 6 copy 1 and 2, and in shard 3 node 4 took over from 3.
    fn nodes() -> Vec<Candidate> {
        let range = |first, last| SlotRange::new(first, last).expect("a range");
        let roles = [
            (true, 1, Some(range(0, 5460))),
            (true, 2, Some(range(5461, 10922))),
            (false, 3, None),
            (true, 3, Some(range(10923, 16383))),
            (false, 1, None),
            (false, 2, None),
        ];
        let candidate = |(number, (is_primary, shard, slots)): (u16, (bool, usize, Option<_>))| {
            let mut bytes = [0; 20];
            bytes[0] = 0xab;
            bytes[19] = u8::try_from(number).expect("small");
            bytes[1] = if number < 2 { 0 } else { bytes[19] };
            Candidate {
                index: usize::from(number) + 1,
                id: Some(NodeId::from_bytes(bytes)),
                addr: NodeAddr {
                    host: "127.0.0.1".parse().expect("an address"),
                    port: 30001 + number,
                    bus_port: 31001 + number,
                    tls_port: None,
                },
                is_primary: Some(is_primary),
                shard: Some(shard),
                slots: slots.into_iter().collect(),
            }
        };
        (0..).zip(roles).map(candidate).collect()
    }

    #[test]
    fn targets_mean_the_nodes_of_the_moment() {
        for (text, wanted) in [
            ("all", &[1, 2, 3, 4, 5, 6][..]),
            ("primary", &[1, 2, 4]),
            ("master", &[1, 2, 4]),
            ("replica", &[3, 5, 6]),
            ("primary:3", &[4]),
            ("replica:3", &[3]),
            ("replica:3.1", &[3]),
            ("2", &[2]),
            ("30006", &[6]),
            ("127.0.0.1:30006", &[6]),
            ("localhost:30001", &[1]),
            ("slot:7056", &[2]),
            ("slot:16383", &[4]),
            ("key:wat", &[2]),
            ("key:{wat}:x", &[2]),
            ("AB02", &[3]),
            ("ab0505", &[]),
            ("replica:3.2", &[]),
            ("primary:4", &[]),
            ("9", &[]),
            ("30009", &[]),
            ("127.0.0.2:30001", &[]),
            ("host-a:30001", &[]),
        ] {
            let target: Target = text.parse().expect(text);
            let found = target.find(&nodes());
            let found: Vec<usize> = found.into_iter().flatten().map(|place| place + 1).collect();
            assert_eq!(found, wanted, "{text}");
        }
        let two: Target = "ab00".parse().expect("an id");
        let error = two.find(&nodes()).expect_err("two nodes");
        assert_eq!(error, "the ids of 2 nodes begin with ab00");
    }

    #[test]
    fn what_means_nothing_is_refused_and_what_means_something_is_written_as_it_is_read() {
        for bad in [
            "",
            "0",
            "primary:0",
            "replica:x",
            "slot:16384",
            "slot:-1",
            "slot:",
            "ab",
            "leader",
            ":30001",
            "host:0",
            "a b:1",
            "primary:30001.1",
            "ghij",
            "all:1",
        ] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
        for text in [
            "all",
            "replica:3.1",
            "slot:7056",
            "key:wat",
            "[::1]:7",
            "a.b:7",
            "abcdef",
        ] {
            let target: Target = text.parse().expect(text);
            assert_eq!(target.to_string(), text);
        }
    }
}
