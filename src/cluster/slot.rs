//! The 16384 hash slots: ranges of them, and which one a key falls into.

use std::fmt;

/// How many hash slots a cluster has (`CLUSTER_SLOTS` in the servers' `cluster.h`).
pub const SLOT_COUNT: u16 = 16384;

/// Slots `first..=last`, both ends owned, as `CLUSTER ADDSLOTSRANGE` takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotRange {
    first: u16,
    last: u16,
}

impl SlotRange {
    /// `None` unless `first <= last < 16384`.
    pub fn new(first: u16, last: u16) -> Option<Self> {
        (first <= last && last < SLOT_COUNT).then_some(Self { first, last })
    }

    /// The lowest slot of the range.
    pub fn first(self) -> u16 {
        self.first
    }

    /// The highest slot of the range.
    pub fn last(self) -> u16 {
        self.last
    }

    /// How many slots the range has: 1 to 16384.
    #[expect(clippy::len_without_is_empty, reason = "a range always has a slot")]
    pub fn len(self) -> u16 {
        self.last - self.first + 1
    }

    /// Whether `slot` lies in the range.
    pub fn contains(self, slot: u16) -> bool {
        (self.first..=self.last).contains(&slot)
    }
}

impl fmt::Display for SlotRange {
    /// Writes `0-5460`, and `7` for a single slot, as `CLUSTER NODES` does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// The ranges as `CLUSTER NODES` writes them, with spaces between; empty for none.
pub fn slot_text(ranges: &[SlotRange]) -> String {
    ranges
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The hash slot of `key`: CRC16 of the key, or of its hash tag, modulo 16384.
///
/// The tag is what stands between the first `{` and the first `}` after it, if that is not
/// empty (`keyHashSlot` in `cluster.c`; "Hash tags" in the cluster specification).
pub fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|&byte| byte == b'{').and_then(|open| {
        let rest = key.get(open + 1..)?;
        let close = rest.iter().position(|&byte| byte == b'}')?;
        rest.get(..close).filter(|tag| !tag.is_empty())
    });
    crc16(tag.unwrap_or(key)) % SLOT_COUNT
}

/// CRC16-XMODEM, the variant of the cluster specification, appendix A.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| {
        let [high, low] = crc.to_be_bytes();
        (u16::from(low) << 8) ^ CRC16_TABLE[usize::from(high ^ byte)]
    })
}

const CRC16_TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < table.len() {
        #[expect(clippy::cast_possible_truncation, reason = "index < 256")]
        let mut crc = (index as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

/// A hash tag (without its braces) whose slot lies in `ranges`; `None` only if `ranges` is empty.
///
/// Tags are decimal numbers counted up from `from`. CRC16 spreads them evenly, so a range of `n`
/// slots is hit after about 16384/`n` tries.
pub fn tag_in(ranges: &[SlotRange], from: u64) -> Option<String> {
    if ranges.is_empty() {
        return None;
    }
    (from..=u64::MAX)
        .map(|number| number.to_string())
        .find(|tag| {
            let slot = slot_of(tag.as_bytes());
            ranges.iter().any(|range| range.contains(slot))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values as `CLUSTER KEYSLOT` of redis-server 7.0.15 gives them.
    #[test]
    fn keys_fall_into_the_slots_that_servers_put_them_in() {
        for (key, slot) in [
            ("wat", 7056),
            ("123456789", 12739),
            ("one", 9084),
            ("two", 2127),
            ("{first}one", 11149),
            ("{first}two", 11149),
            ("foo{}{bar}", 8363),
            ("foo{{bar}}zap", 4015),
            ("foo{bar}{zap}", 5061),
            ("bar", 5061),
            ("", 0),
        ] {
            assert_eq!(slot_of(key.as_bytes()), slot, "{key}");
        }
    }

    #[test]
    fn a_single_slot_has_a_tag() {
        for slot in (0..SLOT_COUNT).step_by(331).chain([SLOT_COUNT - 1]) {
            let range = SlotRange::new(slot, slot).expect("slot is in range");
            let tag = tag_in(&[range], 7).expect("a range was given");
            assert_eq!(slot_of(format!("{{{tag}}}rest").as_bytes()), slot);
        }
        assert_eq!(tag_in(&[], 0), None);
    }

    #[test]
    fn a_range_cannot_be_empty_or_leave_the_slots() {
        assert_eq!(SlotRange::new(2, 1), None);
        assert_eq!(SlotRange::new(0, 16384), None);
        assert_eq!(SlotRange::new(0, 16383).map(SlotRange::len), Some(16384));
    }
}
