//! Lines of commands as redis-cli takes them: words, and words in quotes.

/// The words of `line`; `None` if quotes do not fit. In double quotes `\n`, `\r`, `\t`, `\a`, `\b`
/// and `\xHH` mean bytes, and a backslash makes any other character itself; in single quotes only
/// `\'` means something.
pub fn split_words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        while let [first, tail @ ..] = rest
            && is_space(*first)
        {
            rest = tail;
        }
        if rest.is_empty() {
            return Some(words);
        }
        let mut word = Vec::new();
        while let [first, tail @ ..] = rest
            && !is_space(*first)
        {
            rest = match first {
                b'"' => double_quoted(tail, &mut word)?,
                b'\'' => single_quoted(tail, &mut word)?,
                byte => {
                    word.push(*byte);
                    tail
                }
            };
        }
        words.push(word);
    }
}

/// Whether the word at that place is `name`, in whatever case.
pub fn is_word(words: &[Vec<u8>], at: usize, name: &str) -> bool {
    let word = words.get(at);
    word.is_some_and(|word| word.eq_ignore_ascii_case(name.as_bytes()))
}

fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0 || byte == 0x0b
}

/// What follows a closing quote, which must end the word.
fn after(rest: &[u8]) -> Option<&[u8]> {
    let ends = rest.first().is_none_or(|byte| is_space(*byte));
    ends.then_some(rest)
}

fn double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    loop {
        rest = match rest {
            [b'"', tail @ ..] => return after(tail),
            [b'\\', b'x', high, low, tail @ ..]
                if digit(*high).is_some() && digit(*low).is_some() =>
            {
                word.push(digit(*high)? * 16 + digit(*low)?);
                tail
            }
            [b'\\', escaped, tail @ ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'a' => 7,
                    b'b' => 8,
                    other => *other,
                });
                tail
            }
            [byte, tail @ ..] => {
                word.push(*byte);
                tail
            }
            [] => return None,
        };
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [b'\'', tail @ ..] => return after(tail),
            [b'\\', b'\'', tail @ ..] => {
                word.push(b'\'');
                tail
            }
            [byte, tail @ ..] => {
                word.push(*byte);
                tail
            }
            [] => return None,
        };
    }
}

/// `bytes` in double quotes, of printable ASCII only, as redis-cli shows a string.
pub fn quoted(bytes: &[u8]) -> String {
    let mut text = "\"".to_owned();
    for byte in bytes {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b'"' => text.push_str("\\\""),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            7 => text.push_str("\\a"),
            8 => text.push_str("\\b"),
            b' '..=b'~' => text.push(char::from(*byte)),
            other => {
                let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble & 15)]);
                text.extend(['\\', 'x', digit(other >> 4), digit(*other)]);
            }
        }
    }
    text.push('"');
    text
}

/// `1 replica`, `2 replicas`.
pub fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(line: &str) -> Option<Vec<String>> {
        let text = |word: Vec<u8>| String::from_utf8(word).expect("UTF-8");
        Some(
            split_words(line.as_bytes())?
                .into_iter()
                .map(text)
                .collect(),
        )
    }

    #[test]
    fn words_are_split_as_redis_cli_splits_them() {
        for (line, wanted) in [
            ("", &[][..]),
            ("  \t ", &[]),
            ("SET wat 2", &["SET", "wat", "2"]),
            ("\0 \u{b}", &[]),
            ("\u{b}GET\0a", &["GET", "a"]),
            (" GET  a\r\n", &["GET", "a"]),
            (r#"SET a "x\n\x41y""#, &["SET", "a", "x\nAy"]),
            (r#""\q\xzz\"" ''"#, &["qxzz\"", ""]),
            (r"'a\'b' 'c\n'", &["a'b", "c\\n"]),
            ("a'b'", &["ab"]),
            ("é \"é\"", &["é", "é"]),
        ] {
            let wanted: Vec<String> = wanted.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(words(line), Some(wanted), "{line}");
        }
        for bad in ["\"a", "'a", "\"a\"b", "'a'b", "\"a\\", "'a\\'"] {
            assert_eq!(words(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_in_quotes_is_read_back(all: Vec<Vec<u8>>) {
            let line: Vec<String> = all.iter().map(|word| quoted(word)).collect();
            let line = line.join(" ");
            prop_assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            prop_assert_eq!(split_words(line.as_bytes()), Some(all));
        }

        #[test]
        fn nothing_makes_it_stumble(line: Vec<u8>) {
            split_words(&line);
        }
    }
}
