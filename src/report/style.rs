//! Colours, or none.

use std::env;
use std::ffi::OsStr;

/// Whether to paint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    paints: bool,
}

impl Style {
    /// `wish`: what `--color` says, `None` for auto; then `NO_COLOR` and `TERM=dumb` are honoured.
    pub fn new(wish: Option<bool>, is_terminal: bool) -> Self {
        let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            paints: wish.unwrap_or(is_terminal && !no_color && !dumb),
        }
    }

    /// Whether colours are used.
    pub fn paints(self) -> bool {
        self.paints
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.paints {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// What is well.
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// What needs a look.
    pub fn warn(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// What is wrong.
    pub fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// What node `index` says: each in another colour, none of them one that means good or bad.
    pub fn node(self, index: usize, text: &str) -> String {
        const CODES: [&str; 8] = ["36", "35", "34", "33", "96", "95", "94", "93"];
        self.paint(CODES[index % CODES.len()], text)
    }

    /// What is secondary.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }
}

/// Whether the locale is one of UTF-8; where it says nothing, ASCII is all that is certain.
pub fn speaks_utf8() -> bool {
    let values = ["LC_ALL", "LC_CTYPE", "LANG"].map(env::var_os);
    is_utf8(values.iter().map(Option::as_deref))
}

/// The same by the values of `LC_ALL`, `LC_CTYPE` and `LANG`: the first that is not empty counts.
fn is_utf8<'a>(values: impl IntoIterator<Item = Option<&'a OsStr>>) -> bool {
    let mut values = values.into_iter().flatten();
    values.find(|value| !value.is_empty()).is_some_and(|value| {
        let value = value.to_string_lossy().to_lowercase();
        value.contains("utf-8") || value.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_about_the_locale_counts() {
        let utf8 = |values: [&str; 3]| is_utf8(values.iter().map(|value| Some(OsStr::new(*value))));
        assert!(utf8(["", "", "C.UTF-8"]));
        assert!(utf8(["de_DE.utf8", "C", "C"]));
        assert!(utf8(["", "en_US.UTF-8", "C"]));
        assert!(!utf8(["C", "en_US.UTF-8", "en_US.UTF-8"]));
        assert!(!utf8(["POSIX", "", ""]) && !utf8(["", "", "de_DE"]));
        assert!(!is_utf8([None, None, None]));
    }
}
