//! Which nodes of a shape are meant: `replica:2`, `primary`, `4`, `30004`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::layout::Layout;
use super::spec::MAX_NODES;

/// Nodes of a shape. Roles and shards are those of the plan: a failover does not move a node from
/// one selector to another, so what is said of `primary` stays said of the same node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Selector {
    /// `all`.
    All,
    /// `primary`, or `primary:2`: that of shard 2, counted from 1.
    Primary(Option<usize>),
    /// `replica`, `replica:2`: those of shard 2, or `replica:2.1`: that with the lowest index.
    Replica(Option<usize>, Option<usize>),
    /// `4`: node 4, counted from 1.
    Index(usize),
    /// `30004`: the node with that client port. Numbers above the largest index are ports.
    Port(u16),
}

impl Selector {
    /// Whether node `number` (from 0) with client port `port` is meant.
    pub fn selects(self, layout: &Layout, number: usize, port: u16) -> bool {
        let shard = layout
            .shards
            .iter()
            .enumerate()
            .find(|(_, shard)| shard.primary == number || shard.replicas.contains(&number));
        let is = |wish: Option<usize>, at: usize| wish.is_none_or(|wish| wish == at + 1);
        match (self, shard) {
            (Self::All, _) => true,
            (Self::Index(index), _) => index == number + 1,
            (Self::Port(wish), _) => wish == port,
            (Self::Primary(wish), Some((at, shard))) => is(wish, at) && shard.primary == number,
            (Self::Replica(wish, which), Some((at, shard))) => {
                // By index, which is what people see; the layout has them in another order.
                let before = shard.replicas.iter().filter(|node| **node < number).count();
                is(wish, at) && shard.primary != number && is(which, before)
            }
            (_, None) => false,
        }
    }
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            "expected all, primary, replica, primary:SHARD, replica:SHARD, replica:SHARD.PLACE, an index or a port"
                .to_owned()
        };
        let number = |text: &str| match text.parse::<usize>() {
            Ok(0) | Err(_) => Err(wrong()),
            Ok(number) => Ok(number),
        };
        let (word, rest) = text
            .split_once(':')
            .map_or((text, None), |(word, rest)| (word, Some(rest)));
        match (word, rest) {
            ("all", None) => Ok(Self::All),
            ("primary" | "master", None) => Ok(Self::Primary(None)),
            ("primary" | "master", Some(shard)) => Ok(Self::Primary(Some(number(shard)?))),
            ("replica" | "slave", None) => Ok(Self::Replica(None, None)),
            ("replica" | "slave", Some(rest)) => match rest.split_once('.') {
                Some((shard, place)) => {
                    Ok(Self::Replica(Some(number(shard)?), Some(number(place)?)))
                }
                None => Ok(Self::Replica(Some(number(rest)?), None)),
            },
            (_, None) => match number(text)? {
                index if index <= MAX_NODES => Ok(Self::Index(index)),
                port => u16::try_from(port).map(Self::Port).map_err(|_| wrong()),
            },
            _ => Err(wrong()),
        }
    }
}

impl TryFrom<String> for Selector {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> Self {
        selector.to_string()
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Primary(None) => f.write_str("primary"),
            Self::Primary(Some(shard)) => write!(f, "primary:{shard}"),
            Self::Replica(None, _) => f.write_str("replica"),
            Self::Replica(Some(shard), None) => write!(f, "replica:{shard}"),
            Self::Replica(Some(shard), Some(place)) => write!(f, "replica:{shard}.{place}"),
            Self::Index(index) => index.fmt(f),
            Self::Port(port) => port.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_mean_what_the_contract_says() {
        // 5 and 6 copy 1 and 2, 4 copies 3.
        let layout = Layout::new(3, 1);
        for (text, wanted) in [
            ("all", &[1, 2, 3, 4, 5, 6][..]),
            ("primary", &[1, 2, 3]),
            ("replica", &[4, 5, 6]),
            ("primary:2", &[2]),
            ("replica:3", &[4]),
            ("replica:1.1", &[5]),
            ("replica:1.2", &[]),
            ("replica:4", &[]),
            ("6", &[6]),
            ("7", &[]),
            ("30002", &[2]),
        ] {
            let selector: Selector = text.parse().expect(text);
            let found: Vec<usize> = (0..6)
                .zip(30001..)
                .filter(|&(number, port)| selector.selects(&layout, number, port))
                .map(|(number, _)| number + 1)
                .collect();
            assert_eq!(found, wanted, "{text}");
            assert_eq!(selector.to_string(), text);
        }
        // 4 and 9 copy 3.
        let layout = Layout::new(3, 2);
        for (text, wanted) in [("replica:3.1", 3), ("replica:3.2", 8)] {
            let selector: Selector = text.parse().expect(text);
            let found: Vec<usize> = (0..9)
                .filter(|number| selector.selects(&layout, *number, 0))
                .collect();
            assert_eq!(found, [wanted], "{text}");
        }
        assert_eq!("slave:2".parse(), Ok(Selector::Replica(Some(2), None)));
        for bad in [
            "",
            "0",
            "primary:0",
            "primary:",
            "replica:1.",
            "replica:x",
            "70000",
            "all:1",
            "-1",
            "leader",
        ] {
            assert!(bad.parse::<Selector>().is_err(), "{bad}");
        }
    }
}
