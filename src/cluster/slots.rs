//! `CLUSTER SLOTS` and `CLUSTER SHARDS`: what clients route by.

use super::node::NodeId;
use super::reply::{ParseError, Reply};
use super::slot::SlotRange;

/// One entry of `CLUSTER SLOTS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotsEntry {
    /// The slots.
    pub slots: SlotRange,
    /// Who owns them.
    pub primary: NodeId,
    /// The replicas that the server lists: those not failing whose offset is above 0.
    pub replicas: Vec<NodeId>,
}

/// Reads the answer to `CLUSTER SLOTS`: `[first, last, [ip, port, id, …], [ip, port, id, …]…]…`.
pub fn parse_slots(reply: &Reply) -> Result<Vec<SlotsEntry>, ParseError> {
    let bad = || ParseError::new("an entry of CLUSTER SLOTS", &format!("{reply:?}"));
    reply
        .list()?
        .iter()
        .map(|entry| {
            let [first, last, nodes @ ..] = entry.list()? else {
                return Err(bad());
            };
            let slots = SlotRange::new(first.number()?, last.number()?).ok_or_else(bad)?;
            let mut ids = nodes.iter().map(|node| {
                let id = node.list()?.get(2).ok_or_else(bad)?;
                id.text()?.parse::<NodeId>()
            });
            let primary = ids.next().ok_or_else(bad)??;
            Ok(SlotsEntry {
                slots,
                primary,
                replicas: ids.collect::<Result<_, _>>()?,
            })
        })
        .collect()
}

/// One node in `CLUSTER SHARDS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardNode {
    /// Its id.
    pub id: NodeId,
    /// `health:online`; the others are `failed` and `loading`.
    pub online: bool,
    /// Which shard of the answer it stands in, from 0: those of a shard have the same number.
    pub shard: usize,
}

/// Reads the answer to `CLUSTER SHARDS` (7.0 and newer) and flattens it to its nodes.
///
/// In RESP2 every map is a list of names and values in turn.
pub fn parse_shards(reply: &Reply) -> Result<Vec<ShardNode>, ParseError> {
    let mut found = Vec::new();
    for (number, shard) in reply.list()?.iter().enumerate() {
        let nodes = field(shard, "nodes")?;
        for node in nodes.list()? {
            found.push(ShardNode {
                id: field(node, "id")?.text()?.parse()?,
                online: field(node, "health")?.text()? == "online",
                shard: number,
            });
        }
    }
    Ok(found)
}

fn field<'a>(map: &'a Reply, name: &'static str) -> Result<&'a Reply, ParseError> {
    map.list()?
        .chunks_exact(2)
        .find_map(|pair| match pair {
            [Reply::Text(key), value] if key == name => Some(value),
            _ => None,
        })
        .ok_or_else(|| ParseError::new(name, &format!("{map:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Reply {
        Reply::Text(text.into())
    }

    fn node(id: &str) -> Reply {
        // Newer servers add a list of metadata after the id.
        Reply::List(vec![
            text("127.0.0.1"),
            Reply::Int(7000),
            text(id),
            Reply::List(vec![]),
        ])
    }

    #[test]
    fn slots_list_the_primary_first() {
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        let reply = Reply::List(vec![Reply::List(vec![
            Reply::Int(0),
            Reply::Int(16383),
            node(&a),
            node(&b),
        ])]);
        let entries = parse_slots(&reply).expect("valid");
        assert_eq!(entries[0].primary.as_str(), a);
        assert_eq!(entries[0].replicas.len(), 1);
        assert_eq!(parse_slots(&Reply::List(vec![])), Ok(vec![]));
    }

    #[test]
    fn hostile_slots_are_errors() {
        for bad in [
            Reply::Nil,
            text("OK"),
            Reply::List(vec![Reply::Int(1)]),
            Reply::List(vec![Reply::List(vec![Reply::Int(0), Reply::Int(5)])]),
            Reply::List(vec![Reply::List(vec![
                Reply::Int(-1),
                Reply::Int(5),
                node(&"a".repeat(40)),
            ])]),
            Reply::List(vec![Reply::List(vec![
                Reply::Int(0),
                Reply::Int(99_999),
                node(&"a".repeat(40)),
            ])]),
            Reply::List(vec![Reply::List(vec![
                Reply::Int(0),
                Reply::Int(5),
                node("nonsense"),
            ])]),
        ] {
            assert!(parse_slots(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn shards_say_who_is_online() {
        let member = |id: &str, health: &str| {
            Reply::List(vec![
                text("id"),
                text(id),
                text("port"),
                Reply::Int(1),
                text("health"),
                text(health),
            ])
        };
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        let shard = Reply::List(vec![
            text("slots"),
            Reply::List(vec![Reply::Int(0), Reply::Int(1)]),
            text("nodes"),
            Reply::List(vec![member(&a, "online"), member(&b, "loading")]),
        ]);
        let nodes = parse_shards(&Reply::List(vec![shard])).expect("valid");
        assert_eq!(
            nodes.iter().map(|node| node.online).collect::<Vec<_>>(),
            [true, false]
        );
        assert!(parse_shards(&Reply::List(vec![Reply::Nil])).is_err());
    }
}
