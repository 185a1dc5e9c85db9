//! A server's answer without the client library's types, and what is wrong with one.

use std::fmt;

/// One RESP2 value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// No value.
    Nil,
    /// An integer.
    Int(i64),
    /// A simple or bulk string; bytes that are not UTF-8 are replaced.
    Text(String),
    /// An array.
    List(Vec<Reply>),
}

impl Reply {
    pub(super) fn list(&self) -> Result<&[Self], ParseError> {
        match self {
            Self::List(items) => Ok(items),
            other => Err(ParseError::new("a list", &format!("{other:?}"))),
        }
    }

    pub(super) fn text(&self) -> Result<&str, ParseError> {
        match self {
            Self::Text(text) => Ok(text),
            other => Err(ParseError::new("a string", &format!("{other:?}"))),
        }
    }

    pub(super) fn number<T: TryFrom<i64>>(&self) -> Result<T, ParseError> {
        match self {
            Self::Int(number) => T::try_from(*number).ok(),
            _ => None,
        }
        .ok_or_else(|| ParseError::new("a number in range", &format!("{self:?}")))
    }
}

/// A server's answer that is not what its documentation says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    wanted: &'static str,
    got: String,
}

impl ParseError {
    /// `got` is cut and cleaned, so that it can be printed.
    pub fn new(wanted: &'static str, got: &str) -> Self {
        Self {
            wanted,
            got: printable(got, 60),
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, got \"{}\"", self.wanted, self.got)
    }
}

impl std::error::Error for ParseError {}

/// `text` made fit for a terminal: no control characters (an answer may carry escape sequences),
/// at most `limit` characters.
pub fn printable(text: &str, limit: usize) -> String {
    let mut clean: String = text
        .chars()
        .take(limit)
        .map(|c| {
            if c.is_control() || is_invisible(c) {
                ' '
            } else {
                c
            }
        })
        .collect();
    if text.chars().nth(limit).is_some() {
        clean.push('…');
    }
    clean
}

/// Characters that turn the direction of text around, and so make it say something else.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_printable_steers_a_terminal() {
        assert_eq!(printable("a\x1b[31m\r\nb\u{202e}", 99), "a [31m  b ");
        assert_eq!(printable("abcdef", 3), "abc…");
        assert_eq!(printable("abc", 3), "abc");
    }
}
