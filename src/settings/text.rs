//! The one door to the `toml` crate: text → entries with their lines.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::value::{Entry, Value};
use crate::cluster::printable;

/// Why a text is no TOML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The line, from 1.
    pub(super) line: usize,
    /// What is wrong there. Nothing of the text is repeated but its keys: it may be a password.
    pub(super) message: String,
}

/// The entries of `text`, in its order.
pub(super) fn parse(text: &str) -> Result<Vec<Entry>, Fault> {
    let table = DeTable::parse(text).map_err(|error| Fault {
        line: line_of(text, error.span().as_ref()),
        message: printable(error.message(), 200),
    })?;
    entries(text, table.get_ref())
}

fn entries(text: &str, table: &DeTable) -> Result<Vec<Entry>, Fault> {
    // The table is sorted by name; order matters where a later line wins.
    let mut sorted: Vec<_> = table.iter().collect();
    sorted.sort_by_key(|(key, _)| key.span().start);
    let entry = |(key, item): (&Spanned<_>, &Spanned<DeValue>)| {
        Ok(Entry {
            key: AsRef::<str>::as_ref(key.get_ref()).to_owned(),
            value: value(text, item)?,
            line: line_of(text, Some(&key.span())),
        })
    };
    sorted.into_iter().map(entry).collect()
}

fn value(text: &str, item: &Spanned<DeValue>) -> Result<Value, Fault> {
    Ok(match item.get_ref() {
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Integer(number) => {
            let number = i64::from_str_radix(number.as_str(), number.radix());
            Value::Integer(number.map_err(|_| Fault {
                line: line_of(text, Some(&item.span())),
                message: "the number is too large".into(),
            })?)
        }
        DeValue::Float(number) => Value::Float(number.as_str().to_owned()),
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Datetime(time) => Value::Time(time.to_string()),
        DeValue::Array(items) => {
            let items: Result<_, Fault> = items.iter().map(|item| value(text, item)).collect();
            Value::List(items?)
        }
        DeValue::Table(table) => Value::Table(entries(text, table)?),
    })
}

fn line_of(text: &str, span: Option<&Range<usize>>) -> usize {
    let start = span.map_or(0, |span| span.start).min(text.len());
    1 + text
        .char_indices()
        .take_while(|(at, _)| *at < start)
        .filter(|(_, c)| *c == '\n')
        .count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::settings::quoted;

    #[test]
    fn entries_keep_their_order_and_know_their_lines() {
        let text = "# mine\nreplicas = 2\nprimaries = 0x10\n\n[set]\nz = 1.50\na = [\"x\",\n true]\n\
                    [set-for.\"replica:2\"]\nb = 2026-11-22\n";
        let found = parse(text).expect("TOML");
        let keys: Vec<(&str, usize)> = found
            .iter()
            .map(|entry| (entry.key.as_str(), entry.line))
            .collect();
        assert_eq!(
            keys,
            [
                ("replicas", 2),
                ("primaries", 3),
                ("set", 5),
                ("set-for", 9)
            ]
        );
        assert_eq!(found[1].value, Value::Integer(16));
        let Value::Table(set) = &found[2].value else {
            panic!("{found:?}")
        };
        assert_eq!((set[0].key.as_str(), set[0].line), ("z", 6));
        assert_eq!(set[0].value, Value::Float("1.50".into()));
        assert_eq!((set[1].key.as_str(), set[1].line), ("a", 7));
        assert_eq!(
            set[1].value,
            Value::List(vec![Value::Text("x".into()), Value::Boolean(true)])
        );
    }

    #[test]
    fn what_is_no_toml_is_told_with_its_line_and_without_its_values() {
        for (text, line) in [
            ("a = 1\nb = hunter2\n", 2),
            ("a = 1\n\nb = \"hunter2\n", 3),
            ("a = 1\na = \"hunter2\"\n", 2),
            ("[set]\nhunter2\n", 2),
            ("a = 99999999999999999999\n", 1),
            ("a = [1,\n 99999999999999999999]\n", 2),
            ("= \"hunter2\"\n", 1),
            ("a = \"hunter2\" \"hunter2\"\n", 1),
        ] {
            let fault = parse(text).expect_err(text);
            assert_eq!(fault.line, line, "{text:?}: {fault:?}");
            assert!(!fault.message.contains("hunter2"), "{text:?}: {fault:?}");
            assert!(!fault.message.contains('\n'), "{text:?}: {fault:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(key in ".*", text in ".*", number: i64, yes: bool) {
            let value = Value::List(vec![
                Value::Text(text),
                Value::Integer(number),
                Value::Boolean(yes),
            ]);
            let line = format!("{} = {value}", crate::settings::key(&key));
            let found = parse(&line).expect("TOML");
            prop_assert_eq!(found, vec![Entry { key, value, line: 1 }]);
        }

        #[test]
        fn no_text_is_too_odd(text in ".*") {
            parse(&text).ok();
            prop_assert_eq!(
                parse(&format!("a = {}", quoted(&text))).expect("TOML").len(),
                1
            );
        }
    }
}
