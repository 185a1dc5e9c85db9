//! What shells are told at TAB time.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use crate::cluster::printable;

/// Writes what the shell shall do by itself (`files`, and behind how many letters of the word), and
/// the words that it may offer, each with what it is. Only words that mean nothing to any shell are
/// written, wherever they come from. That nobody reads it is no reason to fail.
pub fn complete<'a>(
    tasks: impl IntoIterator<Item = (&'a str, usize)>,
    words: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    let mut text = String::new();
    for (task, lead) in tasks {
        writeln!(text, ":{task} {lead}").ok();
    }
    for (word, about) in words.into_iter().filter(|(word, _)| is_plain(word)) {
        match printable(about, 100).as_str() {
            "" => writeln!(text, "{word}").ok(),
            about => writeln!(text, "{word}\t{about}").ok(),
        };
    }
    io::stdout().lock().write_all(text.as_bytes()).ok();
}

fn is_plain(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:=,/@+".contains(c);
    !word.is_empty() && !word.starts_with([':', '=']) && word.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_words_are_offered() {
        for word in [
            "up",
            "--tls=only",
            "primary:2",
            "replica:2.1=",
            "valkey-9.1.2",
            "-",
            "/a/b",
        ] {
            assert!(is_plain(word), "{word}");
        }
        for word in [
            "",
            ":files",
            "a b",
            "$(x)",
            "`x`",
            "a;b",
            "a\tb",
            "a\nb",
            "\u{1b}[1m",
            "ä",
            "*",
            "~",
            "a'b",
            "x|y",
            "a\\b",
        ] {
            assert!(!is_plain(word), "{word}");
        }
    }
}
