//! `CLUSTER NODES`, and `nodes.conf`, which has the same lines.
//!
//! `<id> <ip:port@cport[,hostname[,aux=val…]]> <flags> <primary-id|-> <ping> <pong> <epoch> <link> <slot> …`
//! (`clusterGenNodeDescription`). Read leniently where versions differ, strictly where a wrong
//! reading would change what we do: ids, flags, slots.

use super::node::{NodeId, Role};
use super::reply::ParseError;
use super::slot::SlotRange;

/// What one node says about one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeLine {
    /// The node's id.
    pub id: NodeId,
    /// Its IP address as text; empty while nobody knows it.
    pub host: String,
    /// Its client port; 0 while nobody knows it.
    pub port: u16,
    /// Its bus port; 0 while nobody knows it.
    pub bus_port: u16,
    /// Its flags.
    pub flags: Flags,
    /// Its role.
    pub role: Role,
    /// The config epoch the speaker knows of it.
    pub config_epoch: u64,
    /// Whether the speaker's own link to it stands; always true of the speaker itself.
    pub connected: bool,
    /// The slots it owns, in order.
    pub slots: Vec<SlotRange>,
    /// Slots on the move; only a node's own line has them.
    pub open: Vec<OpenSlot>,
}

/// The flags that matter to us; others are ignored, as new versions add some.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent flags in the protocol too"
)]
pub struct Flags {
    /// The line is the speaker's own.
    pub myself: bool,
    /// `fail?`: the speaker alone thinks so.
    pub pfail: bool,
    /// `fail`: a majority agreed.
    pub fail: bool,
    /// Met, but its id is not known yet.
    pub handshake: bool,
    /// Its address is not known.
    pub noaddr: bool,
}

/// A slot that is being moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSlot {
    /// The slot.
    pub slot: u16,
    /// True on the side that gives it away (`[s->-id]`), false on the other (`[s-<-id]`).
    pub migrating: bool,
    /// The other side.
    pub peer: NodeId,
}

/// Reads the answer to `CLUSTER NODES`, or a `nodes.conf` (whose `vars` line is skipped).
pub fn parse_nodes(text: &str) -> Result<Vec<NodeLine>, ParseError> {
    text.lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty() && !line.starts_with("vars "))
        .map(parse_line)
        .collect()
}

fn parse_line(line: &str) -> Result<NodeLine, ParseError> {
    let bad = |wanted| ParseError::new(wanted, line);
    let mut fields = line.split(' ').filter(|field| !field.is_empty());
    let mut next = |wanted| fields.next().ok_or_else(|| bad(wanted));

    let id: NodeId = next("a node id")?.parse()?;
    let address = next("an address")?;
    let flags_text = next("flags")?;
    let primary = next("a primary's id or -")?;
    next("a ping time")?;
    next("a pong time")?;
    let config_epoch = next("a config epoch")?
        .parse()
        .map_err(|_| bad("a config epoch"))?;
    let connected = match next("a link state")? {
        "connected" => true,
        "disconnected" => false,
        _ => return Err(bad("connected or disconnected")),
    };

    let (mut slots, mut open) = (Vec::new(), Vec::new());
    for token in fields {
        if token.starts_with('[') {
            open.push(parse_open_slot(token)?);
        } else {
            slots.push(parse_range(token)?);
        }
    }
    let (host, port, bus_port) = parse_address(address)?;
    let mut flags = Flags::default();
    let mut replica = false;
    for flag in flags_text.split(',') {
        match flag {
            "myself" => flags.myself = true,
            "fail?" => flags.pfail = true,
            "fail" => flags.fail = true,
            "handshake" => flags.handshake = true,
            "noaddr" => flags.noaddr = true,
            "slave" | "replica" => replica = true,
            _ => {}
        }
    }
    let role = match (replica, primary) {
        (true, "-") | (false, _) => Role::Primary,
        (true, of) => Role::Replica { of: of.parse()? },
    };
    // A node's own line always says "connected"; one that has no link to itself says so too.
    let connected = connected || flags.myself;
    Ok(NodeLine {
        id,
        host,
        port,
        bus_port,
        flags,
        role,
        config_epoch,
        connected,
        slots,
        open,
    })
}

/// `ip:port@cport[,…]`; the IP may be IPv6 without brackets, or empty.
fn parse_address(text: &str) -> Result<(String, u16, u16), ParseError> {
    let bad = || ParseError::new("ip:port@cport", text);
    let endpoint = text.split(',').next().unwrap_or(text);
    let (client, bus) = endpoint.split_once('@').ok_or_else(bad)?;
    let (host, port) = client.rsplit_once(':').ok_or_else(bad)?;
    let number = |text: &str| text.parse().map_err(|_| bad());
    Ok((host.to_owned(), number(port)?, number(bus)?))
}

fn parse_range(token: &str) -> Result<SlotRange, ParseError> {
    let (first, last) = token.split_once('-').unwrap_or((token, token));
    first
        .parse()
        .ok()
        .zip(last.parse().ok())
        .and_then(|(first, last)| SlotRange::new(first, last))
        .ok_or_else(|| ParseError::new("a slot or slot range", token))
}

/// `[93->-<id>]` or `[77-<-<id>]`.
fn parse_open_slot(token: &str) -> Result<OpenSlot, ParseError> {
    let bad = || ParseError::new("an open slot", token);
    let inner = token
        .strip_prefix('[')
        .and_then(|t| t.strip_suffix(']'))
        .ok_or_else(bad)?;
    let (slot, migrating, peer) = inner
        .split_once("->-")
        .map(|(slot, peer)| (slot, true, peer))
        .or_else(|| {
            inner
                .split_once("-<-")
                .map(|(slot, peer)| (slot, false, peer))
        })
        .ok_or_else(bad)?;
    let slot = parse_range(slot)?.first();
    Ok(OpenSlot {
        slot,
        migrating,
        peer: peer.parse()?,
    })
}

/// The text of a `nodes.conf` with a shard id on every line, if it was written by a server that
/// knows none (before 7.2); `None` if there is nothing to add.
///
/// A newer server that finds none invents one for each node it knows, and then leaves itself out of
/// its own `CLUSTER SHARDS` until it is started again, when the others have told it theirs. The
/// id of the primary serves as that of its shard: so all nodes of a cluster, started one after the
/// other or at once, agree.
pub fn with_shard_ids(text: &str) -> Option<String> {
    if text.contains("shard-id=") {
        return None;
    }
    let line = |line: &str| {
        let fields: Vec<&str> = line.split(' ').collect();
        let [id, address, flags, primary, rest @ ..] = fields.as_slice() else {
            return line.to_owned();
        };
        if *id == "vars" {
            return line.to_owned();
        }
        let shard = if *primary == "-" { id } else { primary };
        // Between the commas is the host name, which may be empty.
        let comma = if address.contains(',') { "" } else { "," };
        let mut line = format!("{id} {address}{comma},shard-id={shard} {flags} {primary}");
        for field in rest {
            line.push(' ');
            line.push_str(field);
        }
        line
    };
    let mut new: String = text.lines().map(line).collect::<Vec<_>>().join("\n");
    new.push('\n');
    Some(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: &str = "07c37dfeb235213a872192d90877d0cd55635b91";
    const B: &str = "e7d1eecce10fd6bb5eb35b9f99a514335d9ba9ca";

    fn one(line: &str) -> NodeLine {
        parse_nodes(line).expect("valid").remove(0)
    }

    #[test]
    fn lines_of_every_server_version_are_read() {
        for address in [
            "127.0.0.1:30001@31001",
            "127.0.0.1:30001@31001,",
            "127.0.0.1:30001@31001,host.example",
            "127.0.0.1:30001@31001,,tls-port=0,shard-id=d0b5a3c6e3e8a7bba0a5ac2f39d0b5b3c6e3e8a7",
            "127.0.0.1:30001@31001,h,nodename,shard-id=d0b5a3c6e3e8a7bba0a5ac2f39d0b5b3c6e3e8a7",
        ] {
            let node = one(&format!(
                "{A} {address} myself,master - 0 1426238316232 2 connected 0-5460 7"
            ));
            assert_eq!(
                (node.host.as_str(), node.port, node.bus_port),
                ("127.0.0.1", 30001, 31001)
            );
            assert!(node.flags.myself && node.connected && node.role == Role::Primary);
            assert_eq!(crate::cluster::slot_text(&node.slots), "0-5460 7");
        }
    }

    #[test]
    fn replicas_failures_and_unknown_addresses_are_read() {
        let node = one(&format!(
            "{A} :0@0 slave,fail?,noaddr,brand-new {B} 0 0 3 disconnected"
        ));
        assert_eq!(
            node.role,
            Role::Replica {
                of: B.parse().expect("id")
            }
        );
        assert!(node.flags.pfail && node.flags.noaddr && !node.flags.fail && !node.connected);
        assert_eq!((node.host.as_str(), node.port), ("", 0));
        let node = one(&format!(
            "{A} ::1:7000@17000 replica,nofailover {B} 0 0 3 connected"
        ));
        assert_eq!((node.host.as_str(), node.port), ("::1", 7000));
        assert!(matches!(node.role, Role::Replica { .. }));
        // A replica whose primary nobody knows is, for every decision, not a replica of anybody.
        assert_eq!(
            one(&format!("{A} h:1@2 slave - 0 0 3 connected")).role,
            Role::Primary
        );
    }

    #[test]
    fn open_slots_are_read_in_both_directions() {
        let node = one(&format!(
            "{A} h:1@2 myself,master - 0 0 3 connected 5 [93->-{B}] [77-<-{B}]"
        ));
        assert_eq!(node.open.len(), 2);
        assert!(node.open[0].migrating && node.open[0].slot == 93);
        assert!(!node.open[1].migrating && node.open[1].slot == 77);
    }

    #[test]
    fn vars_and_blank_lines_of_nodes_conf_are_skipped() {
        let text = format!(
            "{A} h:1@2 myself,master - 0 0 3 connected 5\n\n\nvars currentEpoch 6 lastVoteEpoch 0\n"
        );
        assert_eq!(parse_nodes(&text).expect("valid").len(), 1);
    }

    #[test]
    fn hostile_lines_are_errors() {
        for line in [
            "x",
            "<html>",
            &format!("{A} h:1@2 master - 0 0 3 connected 5-4"),
            &format!("{A} h:1@2 master - 0 0 3 connected 16384"),
            &format!("{A} h:1@2 master - 0 0 3 maybe"),
            &format!("{A} h:1 master - 0 0 3 connected"),
            &format!("{A} h:99999@2 master - 0 0 3 connected"),
            &format!("{A} h:1@2 master - 0 0 -3 connected"),
            &format!("{A} h:1@2 slave xx 0 0 3 connected"),
            &format!("{A} h:1@2 master - 0 0 3 connected [93-{B}]"),
            &format!("{A} h:1@2 master - 0 0"),
        ] {
            assert!(parse_nodes(line).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_parser_panic(text in ".{0,300}") {
            parse_nodes(&text).ok();
        }

        #[test]
        fn no_damage_to_a_real_line_makes_the_parser_panic(at in 0usize..120, byte in any::<char>()) {
            let mut line: Vec<char> =
                format!("{A} 127.0.0.1:1@2,h,shard-id={B} myself,slave {B} 0 0 3 connected 0-5 [93->-{B}]").chars().collect();
            line[at] = byte;
            parse_nodes(&line.into_iter().collect::<String>()).ok();
        }
    }

    #[test]
    fn shard_ids_are_added_where_an_old_server_knew_none() {
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        let old = format!(
            "{a} 127.0.0.1:1@2 myself,master - 0 0 1 connected 0-16383\n{b} 127.0.0.1:3@4,host slave {a} 0 0 1 connected\nvars currentEpoch 1 lastVoteEpoch 0\n"
        );
        let new = with_shard_ids(&old).expect("added");
        assert_eq!(
            new,
            format!(
                "{a} 127.0.0.1:1@2,,shard-id={a} myself,master - 0 0 1 connected 0-16383\n{b} 127.0.0.1:3@4,host,shard-id={a} slave {a} 0 0 1 connected\nvars currentEpoch 1 lastVoteEpoch 0\n"
            )
        );
        assert_eq!(
            parse_nodes(&new).expect("readable"),
            parse_nodes(&old).expect("readable")
        );
        assert_eq!(with_shard_ids(&new), None);
    }
}
