//! A picture of the 16384 slots in one line: which of them are owned.

use super::slot::{SLOT_COUNT, SlotRange};

/// One place of the picture: what is true of the slots that it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// None is owned.
    Free,
    /// Some are.
    Part,
    /// All are.
    Full,
    /// One of them at least is on the move.
    Moving,
}

impl Cell {
    /// Its sign; `ascii` where nothing else can be shown.
    pub fn sign(self, ascii: bool) -> char {
        match (self, ascii) {
            (Self::Free, true) => '.',
            (Self::Free, false) => '·',
            (Self::Part, true) => '+',
            (Self::Part, false) => '▒',
            (Self::Full, true) => '#',
            (Self::Full, false) => '█',
            (Self::Moving, true) => '>',
            (Self::Moving, false) => '»',
        }
    }
}

/// The picture of slots 0 to 16383 in `width` places of equal size, as near as they can be.
/// `owned` and `moving` need not be in order.
pub fn strip(owned: &[SlotRange], moving: &[SlotRange], width: usize) -> Vec<Cell> {
    let (owned, moving) = (in_order(owned), in_order(moving));
    (0..width)
        .map(|place| {
            let (first, last) = bounds(place, width);
            let wanted = usize::from(last - first) + 1;
            match (overlap(&owned, first, last), overlap(&moving, first, last)) {
                (_, 1..) => Cell::Moving,
                (0, 0) => Cell::Free,
                (count, 0) if count == wanted => Cell::Full,
                (_, 0) => Cell::Part,
            }
        })
        .collect()
}

/// `slots`, which are in order, as ranges.
pub fn ranges_of(slots: impl IntoIterator<Item = u16>) -> Vec<SlotRange> {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for slot in slots {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(slot) => *last = slot,
            _ => ranges.push((slot, slot)),
        }
    }
    let ranges = ranges.into_iter();
    ranges
        .filter_map(|(first, last)| SlotRange::new(first, last))
        .collect()
}

/// The first and the last slot of a place. In a picture of more places than slots some stand for
/// the same one.
fn bounds(place: usize, width: usize) -> (u16, u16) {
    let start = |place: usize| place * usize::from(SLOT_COUNT) / width;
    let (first, end) = (start(place), start(place + 1));
    let slot = |slot: usize| u16::try_from(slot).unwrap_or(SLOT_COUNT - 1);
    (slot(first), slot(end.max(first + 1) - 1))
}

fn in_order(ranges: &[SlotRange]) -> Vec<SlotRange> {
    let mut ranges = ranges.to_vec();
    ranges.sort_unstable();
    ranges
}

/// How many of the slots `first..=last` lie in `ranges`, which are in order and apart.
fn overlap(ranges: &[SlotRange], first: u16, last: u16) -> usize {
    let from = ranges.partition_point(|range| range.last() < first);
    let near = ranges.get(from..).unwrap_or_default().iter();
    near.take_while(|range| range.first() <= last)
        .map(|range| usize::from(range.last().min(last) - range.first().max(first)) + 1)
        .sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(first: u16, last: u16) -> SlotRange {
        SlotRange::new(first, last).expect("in order")
    }

    fn strip_text(owned: &[SlotRange], width: usize, ascii: bool) -> String {
        let cells = strip(owned, &[], width).into_iter();
        cells.map(|cell| cell.sign(ascii)).collect()
    }

    #[test]
    fn three_shards_share_the_line() {
        let text = |first, last| strip_text(&[range(first, last)], 12, true);
        assert_eq!(text(0, 5460), "####........");
        assert_eq!(text(5461, 10922), "....####+...");
        assert_eq!(text(10923, 16383), "........+###");
        assert_eq!(strip_text(&[], 5, false), "·····");
        assert_eq!(strip_text(&[range(0, 16383)], 0, false), "");
        // A single slot is seen at any width, and so is a single gap.
        assert_eq!(strip_text(&[range(16383, 16383)], 4, true), "...+");
        let gap = [range(101, 16383), range(0, 99)];
        assert_eq!(strip_text(&gap, 4, false), "▒███");
    }

    #[test]
    fn slots_on_the_move_are_seen() {
        let cells = strip(&[range(0, 8191)], &[range(42, 42), range(9000, 9000)], 4);
        assert_eq!(cells, [Cell::Moving, Cell::Full, Cell::Moving, Cell::Free]);
    }

    #[test]
    fn ranges_are_made_of_slots() {
        assert_eq!(
            ranges_of([0, 1, 2, 7, 16382, 16383]),
            [range(0, 2), range(7, 7), range(16382, 16383)]
        );
        assert!(ranges_of([]).is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn no_picture_lies(slots in prop::collection::btree_set(0..SLOT_COUNT, 0..60), invert: bool, width in prop_oneof![0usize..300, 16_380usize..16_390, 0usize..40_000]) {
            let owns = |slot: u16| slots.contains(&slot) != invert;
            let ranges = ranges_of((0..SLOT_COUNT).filter(|slot| owns(*slot)));
            prop_assert_eq!(ranges.iter().map(|range| usize::from(range.len())).sum::<usize>(), if invert { 16384 - slots.len() } else { slots.len() });
            let cells = strip(&ranges, &[], width);
            prop_assert_eq!(cells.len(), width);
            let mut covered = vec![false; usize::from(SLOT_COUNT)];
            for (place, cell) in cells.iter().enumerate() {
                let (first, last) = bounds(place, width);
                let all = (first..=last).all(owns);
                let any = (first..=last).any(owns);
                let right = match cell { Cell::Full => all, Cell::Part => any && !all, Cell::Free => !any, Cell::Moving => false };
                prop_assert!(right, "place {} of {}: {:?}", place, width, cell);
                for slot in first..=last { covered[usize::from(slot)] = true; }
            }
            prop_assert!(width == 0 || covered.into_iter().all(|covered| covered));
        }
    }
}
