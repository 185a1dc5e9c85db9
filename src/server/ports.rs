//! Which ports the nodes of a new cluster get.
//!
//! All of them, client and bus, are tested together before anything is spawned, by binding and
//! listening with `SO_REUSEADDR` as the servers do: a connection in `TIME_WAIT` is no conflict, a
//! listener on `0.0.0.0` is.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;

use crate::error::NodeProblem;
use crate::plan::PortChoice;
use crate::sys::sockets;

/// The bus port of a server that cannot choose it: client port + this (`CLUSTER_PORT_INCR`).
const BUS_OFFSET: u16 = 10_000;

/// What `auto` proposes for the bus: client port + this, when it is free and fit.
const NEAR_OFFSET: u16 = 1_000;

/// The lowest port that `auto` takes.
const LOWEST: u16 = 10_000;

/// The lowest port that `auto` takes where the kernel's range leaves no room: the first that needs
/// no privilege.
const LOWEST_INSIDE: u16 = 1024;

/// How many places `auto` looks at.
const TRIES: u16 = 300;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct PortsWish {
    /// The addresses to bind.
    pub hosts: Vec<IpAddr>,
    /// How many nodes.
    pub nodes: usize,
    /// Client ports.
    pub client: PortChoice,
    /// TLS ports, where the client ports are plain ones beside them.
    pub tls: Option<PortChoice>,
    /// Bus ports.
    pub bus: PortChoice,
    /// Whether the server can choose its bus port.
    pub cluster_port: bool,
    /// The kernel's range for outgoing connections.
    pub ephemeral: RangeInclusive<u16>,
    /// Ports of other clusters of the home, running or not: `auto` leaves them alone.
    pub taken: BTreeSet<u16>,
    /// Where `auto` begins to look: random, so that two homes rarely collide.
    pub random: u64,
}

/// Ports that were all free a moment ago.
#[derive(Debug)]
pub struct Ports {
    /// The first client port.
    pub client: u16,
    /// The first TLS port, where there are plain ones beside them.
    pub tls: Option<u16>,
    /// The first bus port.
    pub bus: u16,
    /// What the user should know.
    pub note: Option<String>,
}

/// Why there are no ports.
#[derive(Debug)]
pub enum PortsError {
    /// The wish cannot be met on any machine: what is wrong, and what to do.
    Impossible(String, String),
    /// Somebody holds them.
    InUse(Vec<NodeProblem>),
}

/// A block of ports: its first, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    first: u16,
    count: u16,
}

impl Block {
    fn new(first: u16, count: u16) -> Option<Self> {
        (first > 0 && first.checked_add(count - 1).is_some()).then_some(Self { first, count })
    }

    fn ports(self) -> RangeInclusive<u16> {
        self.first..=self.first + (self.count - 1)
    }

    fn overlaps(self, other: &RangeInclusive<u16>) -> bool {
        self.ports().start() <= other.end() && other.start() <= self.ports().end()
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ports().start(), self.ports().end())
    }
}

/// Finds ports for all nodes and tests them. The caller holds the home's port lock until the
/// servers listen.
pub fn reserve(wish: &PortsWish) -> Result<Ports, PortsError> {
    let Some(tls) = wish.tls else {
        return reserve_pair(wish);
    };
    // The plain ports first; then those of TLS and of the bus, as for a cluster without plain ones.
    let count = u16::try_from(wish.nodes).expect("a cluster has at most 1000 nodes");
    let plain = match wish.client {
        PortChoice::Base(base) => explicit(base, count, "--port")?,
        PortChoice::Auto => places(wish, count, count)
            .chain(places_inside(wish, count))
            .find(|block| is_free(wish, *block))
            .ok_or_else(nothing_free)?,
    };
    let mut taken = wish.taken.clone();
    taken.extend(plain.ports());
    let ports = reserve_pair(&PortsWish {
        client: tls,
        tls: None,
        taken,
        ..wish.clone()
    })?;
    for (first, option) in [(ports.client, "--tls-port"), (ports.bus, "--bus-port")] {
        if plain.overlaps(&explicit(first, count, option)?.ports()) {
            return Err(PortsError::Impossible(
                format!("the plain ports {plain} overlap with those from {first} on"),
                format!("pass another {option}, or leave it out"),
            ));
        }
    }
    let conflicts = conflicts(&wish.hosts, plain.ports().map(|port| (port, "client port")));
    if !conflicts.is_empty() {
        return Err(PortsError::InUse(conflicts));
    }
    Ok(Ports {
        client: plain.first,
        tls: Some(ports.client),
        ..ports
    })
}

fn reserve_pair(wish: &PortsWish) -> Result<Ports, PortsError> {
    let count = u16::try_from(wish.nodes).expect("a cluster has at most 1000 nodes");
    let (client, bus) = match (wish.client, wish.bus) {
        (PortChoice::Base(base), bus) => {
            let client = explicit(base, count, "--port")?;
            let bus = match bus {
                PortChoice::Base(bus) => explicit_bus(wish, client, bus)?,
                PortChoice::Auto => auto_bus(wish, client)?,
            };
            (client, bus)
        }
        (PortChoice::Auto, PortChoice::Base(bus)) if wish.cluster_port => {
            let bus = explicit(bus, count, "--bus-port")?;
            let client = places(wish, count, count)
                .find(|client| !client.overlaps(&bus.ports()) && is_free(wish, *client))
                .ok_or_else(nothing_free)?;
            (client, bus)
        }
        (PortChoice::Auto, bus) => auto_both(wish, count, bus)?,
    };
    let named = |block: Block, what| block.ports().map(move |port| (port, what));
    let all = named(client, "client port").chain(named(bus, "bus port"));
    let conflicts = conflicts(&wish.hosts, all);
    if !conflicts.is_empty() {
        return Err(PortsError::InUse(conflicts));
    }
    let in_range = [client, bus]
        .into_iter()
        .find(|block| block.overlaps(&wish.ephemeral));
    let note = in_range.map(|block| {
        format!(
            "ports {block} lie in the range {}-{} from which the kernel serves outgoing connections: now and then one will be taken",
            wish.ephemeral.start(),
            wish.ephemeral.end()
        )
    });
    Ok(Ports {
        client: client.first,
        tls: None,
        bus: bus.first,
        note,
    })
}

/// Refuses explicit ports that fit no machine: beyond the last port, or overlapping.
pub fn check(client: PortChoice, bus: PortChoice, nodes: usize) -> Result<(), PortsError> {
    let count = u16::try_from(nodes).expect("a cluster has at most 1000 nodes");
    let block = |choice, option| match choice {
        PortChoice::Base(base) => explicit(base, count, option).map(Some),
        PortChoice::Auto => Ok(None),
    };
    match (block(client, "--port")?, block(bus, "--bus-port")?) {
        (Some(client), Some(bus)) => refuse_overlap(client, bus),
        _ => Ok(()),
    }
}

/// Refuses addresses that this machine does not have.
pub fn check_hosts(hosts: &[IpAddr]) -> Result<(), PortsError> {
    for host in hosts {
        if let Err(error) = TcpListener::bind((*host, 0)) {
            return Err(PortsError::Impossible(
                format!("--bind {host} cannot be listened on: {error}"),
                "pass an address of this machine (`ip address` shows them), such as 127.0.0.1"
                    .into(),
            ));
        }
    }
    Ok(())
}

fn refuse_overlap(client: Block, bus: Block) -> Result<(), PortsError> {
    if bus.overlaps(&client.ports()) {
        return Err(PortsError::Impossible(
            format!("bus ports {bus} and client ports {client} overlap"),
            "pass another --bus-port, or leave it out".into(),
        ));
    }
    Ok(())
}

fn nothing_free() -> PortsError {
    PortsError::InUse(vec![NodeProblem::new(
        "auto",
        "found no block of free ports for so many nodes",
    )])
}

fn explicit(base: u16, count: u16, option: &str) -> Result<Block, PortsError> {
    Block::new(base, count).ok_or_else(|| {
        PortsError::Impossible(
            format!("{count} ports from {base} on go beyond 65535"),
            format!("pass a smaller {option}, at most {}", 65535 - (count - 1)),
        )
    })
}

fn explicit_bus(wish: &PortsWish, client: Block, base: u16) -> Result<Block, PortsError> {
    let bus = explicit(base, client.count, "--bus-port")?;
    if !wish.cluster_port && client.first.checked_add(BUS_OFFSET) != Some(base) {
        return Err(PortsError::Impossible(
            "this server's bus port is always the client port + 10000".into(),
            "leave --bus-port out, or take a server from 7.0 on".into(),
        ));
    }
    refuse_overlap(client, bus)?;
    Ok(bus)
}

/// Bus ports for client ports that are given.
fn auto_bus(wish: &PortsWish, client: Block) -> Result<Block, PortsError> {
    if !wish.cluster_port {
        let last = client.ports().end().checked_add(BUS_OFFSET);
        let first = last.and(client.first.checked_add(BUS_OFFSET));
        return first
            .and_then(|first| Block::new(first, client.count))
            .ok_or_else(|| {
                PortsError::Impossible(
                    format!(
                        "client ports {client} leave no room for the bus ports 10000 above them"
                    ),
                    "pass a --port below 55536, or take a server from 7.0 on".into(),
                )
            });
    }
    let near = client
        .first
        .checked_add(NEAR_OFFSET)
        .and_then(|first| Block::new(first, client.count));
    let fit = |block: &Block| !block.overlaps(&client.ports()) && is_free(wish, *block);
    let outside = |block: &Block| !block.overlaps(&wish.ephemeral);
    near.into_iter()
        .chain(places(wish, client.count, client.count))
        .filter(outside)
        .find(fit)
        // No place outside the kernel's range: the best inside it.
        .or_else(|| {
            near.into_iter()
                .chain(places_inside(wish, client.count))
                .find(fit)
        })
        .ok_or_else(nothing_free)
}

/// Client and bus ports together.
fn auto_both(wish: &PortsWish, count: u16, bus: PortChoice) -> Result<(Block, Block), PortsError> {
    if !wish.cluster_port {
        if let PortChoice::Base(base) = bus {
            let client = base
                .checked_sub(BUS_OFFSET)
                .and_then(|first| Block::new(first, count));
            let client = client.ok_or_else(|| {
                PortsError::Impossible(
                    format!("bus port {base} leaves no client port 10000 below it"),
                    "leave --bus-port out".into(),
                )
            })?;
            return Ok((client, explicit_bus(wish, client, base)?));
        }
        let both = |client: Block| {
            Some((
                client,
                Block::new(client.first.checked_add(BUS_OFFSET)?, count)?,
            ))
        };
        // Only where the bus has room too: a look at a place without it would be a try for nothing.
        let with_room_for_bus = |low: u16, end: u16| {
            let end = end.saturating_sub(BUS_OFFSET);
            spread(low, end, count, count, wish.random).filter_map(both)
        };
        // The bus must stay below the kernel's range: with the usual one, client ports up to 22767.
        return with_room_for_bus(LOWEST, *wish.ephemeral.start())
            .chain(with_room_for_bus(LOWEST_INSIDE, u16::MAX))
            .find(|(client, bus)| is_free(wish, *client) && is_free(wish, *bus))
            .ok_or_else(nothing_free);
    }
    // One stretch, client ports first: it is easier to find, and to see in `ss`.
    let halves = |block: Block| {
        let bus = Block {
            first: block.first + count,
            count,
        };
        (
            Block {
                first: block.first,
                count,
            },
            bus,
        )
    };
    places(wish, 2 * count, 2 * count)
        .chain(places_inside(wish, 2 * count))
        .find(|block| is_free(wish, *block))
        .map(halves)
        .ok_or_else(nothing_free)
}

/// Blocks below the kernel's range, from a random one on, `step` apart.
fn places(wish: &PortsWish, count: u16, step: u16) -> impl Iterator<Item = Block> + use<> {
    let end = LOWEST.max(*wish.ephemeral.start());
    spread(LOWEST, end, count, step, wish.random)
}

/// Blocks anywhere, for machines whose kernel takes everything.
fn places_inside(wish: &PortsWish, count: u16) -> impl Iterator<Item = Block> + use<> {
    spread(LOWEST_INSIDE, u16::MAX, count, count, wish.random)
}

fn spread(
    low: u16,
    end: u16,
    count: u16,
    step: u16,
    random: u64,
) -> impl Iterator<Item = Block> + use<> {
    let room = end.saturating_sub(low) / step.max(1);
    let start = u16::try_from(random % u64::from(room.max(1))).unwrap_or_default();
    (0..room.min(TRIES)).filter_map(move |i| {
        let place = u32::from(start) + u32::from(i);
        let place = u16::try_from(place % u32::from(room)).ok()?;
        Block::new(low + place * step, count).filter(|block| *block.ports().end() <= end)
    })
}

fn is_free(wish: &PortsWish, block: Block) -> bool {
    if block.ports().any(|port| wish.taken.contains(&port)) {
        return false;
    }
    // All held until the last is tested: the servers will hold them all at once too.
    let is_free_on = |host: &IpAddr| {
        block
            .ports()
            .map(|port| TcpListener::bind((*host, port)))
            .collect::<Result<Vec<_>, _>>()
            .is_ok()
    };
    wish.hosts.iter().all(is_free_on)
}

/// Each of `ports`, with what it is for, that cannot be bound on one of `hosts`; with its holder
/// where that can be seen.
pub fn conflicts(
    hosts: &[IpAddr],
    ports: impl IntoIterator<Item = (u16, &'static str)>,
) -> Vec<NodeProblem> {
    let ports: Vec<_> = ports.into_iter().collect();
    let mut problems = Vec::new();
    // One address after the other: a listener on `::` takes IPv4 along here, and not in the servers.
    for &host in hosts {
        // All held until the last is tested: the servers will hold them all at once too.
        let mut held = Vec::new();
        for &(port, what) in &ports {
            match TcpListener::bind((host, port)) {
                Ok(listener) => held.push(listener),
                Err(error) => {
                    let why = match (error.kind(), sockets::holder(port)) {
                        (std::io::ErrorKind::AddrInUse, Some(holder)) => {
                            format!("{what} is held by {holder}")
                        }
                        (std::io::ErrorKind::AddrInUse, None) => format!("{what} is in use"),
                        _ => format!("{what} cannot be bound: {error}"),
                    };
                    problems.push(NodeProblem::new(SocketAddr::new(host, port), why));
                }
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn wish(client: &str, bus: &str) -> PortsWish {
        PortsWish {
            hosts: vec![Ipv4Addr::LOCALHOST.into()],
            nodes: 6,
            tls: None,
            client: client.parse().expect("choice"),
            bus: bus.parse().expect("choice"),
            cluster_port: true,
            ephemeral: 32768..=60999,
            taken: BTreeSet::new(),
            random: 7,
        }
    }

    /// A block that is surely taken: its middle port is held here.
    fn taken() -> (TcpListener, u16) {
        loop {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
            let port = listener.local_addr().expect("addr").port();
            if port < 64000 {
                return (listener, port);
            }
        }
    }

    #[test]
    fn auto_stays_below_the_kernels_range_for_every_server() {
        for (cluster_port, random) in [(true, 0), (true, u64::MAX), (false, 0), (false, 12345)] {
            let ports = reserve(&PortsWish {
                cluster_port,
                random,
                ..wish("auto", "auto")
            })
            .expect("free");
            assert!(
                ports.bus + 5 < 32768 && ports.client + 5 < 32768 && ports.note.is_none(),
                "{ports:?}"
            );
            if !cluster_port {
                assert_eq!(ports.bus, ports.client + 10000);
            }
        }
    }

    #[test]
    fn a_server_with_a_fixed_bus_port_finds_room_wherever_the_look_begins() {
        for nodes in [1, 6, 60] {
            for random in (0..30_000).step_by(997) {
                let ports = reserve(&PortsWish {
                    nodes,
                    cluster_port: false,
                    random,
                    ..wish("auto", "auto")
                })
                .unwrap_or_else(|error| panic!("{nodes} nodes, from {random} on: {error:?}"));
                assert_eq!(ports.bus, ports.client + 10000);
                assert!(ports.note.is_none(), "{nodes} nodes, {random}: {ports:?}");
            }
        }
    }

    #[test]
    fn tls_ports_beside_plain_ones_overlap_with_nothing() {
        for cluster_port in [true, false] {
            let ports = reserve(&PortsWish {
                tls: Some(PortChoice::Auto),
                cluster_port,
                ..wish("auto", "auto")
            })
            .expect("free");
            let tls = ports.tls.expect("asked for");
            let mut firsts = [ports.client, tls, ports.bus];
            firsts.sort_unstable();
            assert!(
                firsts.windows(2).all(|pair| pair[0] + 6 <= pair[1]),
                "{ports:?}"
            );
            if !cluster_port {
                assert_eq!(ports.bus, tls + 10000);
            }
        }
        let error = reserve(&PortsWish {
            tls: Some(PortChoice::Base(20003)),
            ..wish("20001", "auto")
        })
        .expect_err("overlap");
        assert!(matches!(error, PortsError::Impossible(..)), "{error:?}");
    }

    #[test]
    fn a_kernel_that_takes_everything_gets_a_note() {
        let ports = reserve(&PortsWish {
            ephemeral: 1024..=65535,
            ..wish("auto", "auto")
        })
        .expect("free");
        assert!(ports.note.expect("note").contains("1024-65535"));
    }

    #[test]
    fn every_conflict_is_reported_at_once_with_its_holder() {
        let (_one, port) = taken();
        let bus = if port < 40000 { 60001 } else { 20001 };
        let error = reserve(&wish(&(port - 2).to_string(), &bus.to_string())).expect_err("taken");
        let PortsError::InUse(conflicts) = error else {
            panic!("{error:?}")
        };
        assert!(conflicts.iter().any(|conflict| {
            conflict.node == format!("127.0.0.1:{port}")
                && conflict
                    .message
                    .contains(&format!("pid {}", std::process::id()))
        }));
    }

    #[test]
    fn impossible_blocks_are_refused() {
        for (client, bus, cluster_port) in [
            ("65531", "auto", true),
            ("55531", "auto", false),
            ("30001", "30003", true),
            ("30001", "65533", true),
            ("30001", "31001", false),
        ] {
            let error = reserve(&PortsWish {
                cluster_port,
                ..wish(client, bus)
            })
            .expect_err(client);
            assert!(
                matches!(error, PortsError::Impossible(..)),
                "{client} {bus}: {error:?}"
            );
        }
    }
}
