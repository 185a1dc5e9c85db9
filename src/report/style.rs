//! Colours, or none.

use std::env;

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
