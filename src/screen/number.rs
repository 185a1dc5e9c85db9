//! Numbers in few columns.

/// A count in six columns at most: `999`, `12.3k`, `4.5M`.
pub(super) fn count(number: u64) -> String {
    scaled(number, 1000, &["", "k", "M", "G", "T", "P", "E"])
}

/// Bytes in six columns at most: `999`, `1.9M`, `12.3G`.
pub(super) fn bytes(number: u64) -> String {
    scaled(number, 1024, &["", "K", "M", "G", "T", "P", "E"])
}

fn scaled(number: u64, step: u64, units: &[&str]) -> String {
    if number < 1000 {
        return number.to_string();
    }
    let mut unit = 1;
    let mut size = step;
    // 999.95 would be written as 1000.0.
    while u128::from(number) * 100 >= u128::from(size) * 99_995 && unit + 1 < units.len() {
        unit += 1;
        size = size.saturating_mul(step);
    }
    let name = units.get(unit).copied().unwrap_or_default();
    let tenths = (u128::from(number) * 10 + u128::from(size) / 2) / u128::from(size);
    format!("{}.{}{name}", tenths / 10, tenths % 10)
}

/// An offset whole, while it has room.
pub(super) fn whole(number: u64, width: usize) -> String {
    let text = number.to_string();
    if text.len() <= width {
        text
    } else {
        bytes(number)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_short() {
        for (number, counted, sized) in [
            (0, "0", "0"),
            (999, "999", "999"),
            (1000, "1.0k", "1.0K"),
            (12_345, "12.3k", "12.1K"),
            (999_949, "999.9k", "976.5K"),
            (999_950, "1.0M", "976.5K"),
            (1 << 20, "1.0M", "1.0M"),
            (u64::MAX, "18.4E", "16.0E"),
        ] {
            let number: u64 = number;
            assert_eq!(
                (count(number), bytes(number)),
                (counted.into(), sized.into()),
                "{number}"
            );
        }
        assert_eq!(whole(12_345_678, 10), "12345678");
        assert_eq!(whole(12_345_678_901, 10), "11.5G");
    }

    proptest! {
        #[test]
        fn no_number_is_long(number: u64) {
            prop_assert!(count(number).len() <= 6, "{}", count(number));
            prop_assert!(bytes(number).len() <= 6, "{}", bytes(number));
        }
    }
}
