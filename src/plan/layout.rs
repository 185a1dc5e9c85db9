//! Which node gets which slots, and who replicates whom.

use crate::cluster::{SLOT_COUNT, SlotRange};

/// The cluster we intend. Nodes are numbered from 0 in the order of their ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The shards, in slot order.
    pub shards: Vec<Shard>,
}

/// A primary, its slots and its replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The primary's number.
    pub primary: usize,
    /// The replicas' numbers.
    pub replicas: Vec<usize>,
    /// What the primary owns.
    pub slots: SlotRange,
}

impl Layout {
    /// The balanced layout of `primaries` (1 to 1000) with `replicas` each, all on one host.
    ///
    /// The first nodes are the primaries. The rest, rotated by one, replicate them in turn: that
    /// is what `redis-cli --cluster create` does before its random optimiser, so that with 3 + 3
    /// nodes 5 copies 1, 6 copies 2 and 4 copies 3.
    pub fn new(primaries: usize, replicas: usize) -> Self {
        let mut rest: Vec<usize> = (primaries..primaries * (replicas + 1)).collect();
        if !rest.is_empty() {
            rest.rotate_left(1);
        }
        let mut rest = rest.into_iter();
        let shards = split_slots(primaries)
            .enumerate()
            .map(|(primary, slots)| Shard {
                primary,
                replicas: rest.by_ref().take(replicas).collect(),
                slots,
            })
            .collect();
        Self { shards }
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| 1 + shard.replicas.len())
            .sum()
    }

    /// The number of the shard that `node` belongs to, from 0.
    pub fn shard_of(&self, node: usize) -> Option<usize> {
        self.shards
            .iter()
            .position(|shard| shard.primary == node || shard.replicas.contains(&node))
    }
}

/// Splits all slots into `parts` ranges whose sizes differ by at most one.
fn split_slots(parts: usize) -> impl Iterator<Item = SlotRange> {
    // The boundary `i * SLOT_COUNT / parts`, rounded to nearest rather than down: rounding down
    // would move boundaries off redis-cli's by one.
    let boundary = move |i: usize| {
        let slots = usize::from(SLOT_COUNT);
        u16::try_from((2 * i * slots + parts) / (2 * parts))
            .expect("a boundary is at most SLOT_COUNT")
    };
    (0..parts).map(move |i| {
        SlotRange::new(boundary(i), boundary(i + 1) - 1)
            .expect("boundaries rise while parts <= SLOT_COUNT")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole domain is small: check all of it instead of sampling.
    #[test]
    fn every_slot_and_every_node_has_its_place_in_every_shape() {
        for primaries in 1..=1000 {
            for replicas in 0..=5 {
                let layout = Layout::new(primaries, replicas);
                assert_eq!(layout.shards.len(), primaries);
                let mut next = 0;
                let mut seen = vec![false; primaries * (replicas + 1)];
                for shard in &layout.shards {
                    assert_eq!(
                        shard.slots.first(),
                        next,
                        "gap or overlap with {primaries} primaries"
                    );
                    let even = usize::from(SLOT_COUNT) / primaries;
                    assert!(
                        usize::from(shard.slots.len()).abs_diff(even) <= 1,
                        "uneven with {primaries} primaries"
                    );
                    next = shard.slots.last() + 1;
                    assert_eq!(shard.replicas.len(), replicas);
                    for &node in shard.replicas.iter().chain([&shard.primary]) {
                        assert!(
                            !std::mem::replace(&mut seen[node], true),
                            "node {node} twice"
                        );
                    }
                }
                assert_eq!(
                    next, SLOT_COUNT,
                    "slots left over with {primaries} primaries"
                );
                assert!(seen.into_iter().all(|seen| seen), "a node without a place");
            }
        }
    }

    /// redis-cli adds up 32-bit floats (`clusterManagerCommandCreate`); it drifts from 78 on.
    #[test]
    fn boundaries_are_those_of_redis_cli_up_to_77_primaries() {
        for primaries in 1..=77_u16 {
            let (mut cursor, mut first) = (0f32, 0u16);
            let each = f32::from(SLOT_COUNT) / f32::from(primaries);
            for (i, shard) in Layout::new(primaries.into(), 0).shards.iter().enumerate() {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "as lround in C"
                )]
                let last = if i + 1 == usize::from(primaries) {
                    SLOT_COUNT - 1
                } else {
                    (cursor + each - 1.0).round() as u16
                };
                assert_eq!(
                    (shard.slots.first(), shard.slots.last()),
                    (first, last),
                    "{primaries} primaries"
                );
                first = last + 1;
                cursor += each;
            }
        }
    }

    #[test]
    fn the_pairing_of_one_host_is_redis_clis() {
        let pairs = |primaries, replicas| -> Vec<(usize, Vec<usize>)> {
            Layout::new(primaries, replicas)
                .shards
                .into_iter()
                .map(|s| (s.primary, s.replicas))
                .collect()
        };
        assert_eq!(pairs(3, 1), [(0, vec![4]), (1, vec![5]), (2, vec![3])]);
        assert_eq!(
            pairs(3, 2),
            [(0, vec![4, 5]), (1, vec![6, 7]), (2, vec![8, 3])]
        );
        assert_eq!(pairs(1, 1), [(0, vec![1])]);
    }

    #[test]
    fn three_primaries_split_where_everybody_knows() {
        let slots: Vec<_> = Layout::new(3, 0)
            .shards
            .iter()
            .map(|s| s.slots.to_string())
            .collect();
        assert_eq!(slots, ["0-5460", "5461-10922", "10923-16383"]);
    }
}
