//! Lines that a user types, or that come through a pipe.

use std::io::{self, BufRead as _};

use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use rustyline::{Behavior, Config, Editor};

/// Where lines come from.
pub struct Prompt(Option<Editor<(), MemHistory>>);

impl std::fmt::Debug for Prompt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prompt")
    }
}

impl Prompt {
    /// With `terminal`, lines are typed: they can be edited, and earlier ones come back, from memory
    /// alone. Without, they come through a pipe, and nothing is asked.
    pub fn new(terminal: bool) -> io::Result<Self> {
        if !terminal {
            return Ok(Self(None));
        }
        // Answers may go to a file while questions are typed: the terminal is both.
        let config = Config::builder().behavior(Behavior::PreferTerm).build();
        let editor = Editor::with_history(config, MemHistory::new());
        editor.map(|editor| Self(Some(editor))).map_err(plain)
    }

    /// The next line; `None` at the end of them, or when the user has had enough (Ctrl-C, Ctrl-D).
    pub fn read(&mut self, prompt: &str) -> io::Result<Option<Vec<u8>>> {
        let Some(editor) = &mut self.0 else {
            let mut line = Vec::new();
            let read = io::stdin().lock().read_until(b'\n', &mut line)?;
            return Ok((read > 0).then_some(line));
        };
        match editor.readline(prompt) {
            Ok(line) => {
                if !tells_a_secret(&line) {
                    editor.add_history_entry(&line).map_err(plain)?;
                }
                Ok(Some(line.into_bytes()))
            }
            Err(ReadlineError::Interrupted | ReadlineError::Eof) => Ok(None),
            Err(error) => Err(plain(error)),
        }
    }

    /// Clears the screen.
    pub fn clear(&mut self) {
        if let Some(editor) = &mut self.0 {
            editor.clear_screen().ok();
        }
    }
}

fn plain(error: ReadlineError) -> io::Error {
    match error {
        ReadlineError::Io(error) => error,
        error => io::Error::other(error.to_string()),
    }
}

/// Whether a line is one of those that tell servers passwords: whoever comes to this terminal
/// later must not find it with the arrow keys.
fn tells_a_secret(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    let mut words = line.split_ascii_whitespace();
    let (first, second) = (words.next().unwrap_or_default(), words.next());
    let marks = ["auth", "masterauth", "primaryauth", "requirepass", "pass"];
    first == "auth"
        || first == "acl" && second == Some("setuser")
        || matches!(first, "config" | "hello" | "migrate")
            && marks.iter().any(|mark| line.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_passwords_are_not_kept() {
        for secret in [
            "AUTH hunter2",
            " auth me hunter2",
            "ACL SETUSER a on >hunter2",
            "config set requirepass hunter2",
            "CONFIG SET masterauth hunter2",
            "HELLO 3 AUTH me hunter2",
            "MIGRATE h 1 k 0 10 AUTH2 me hunter2",
        ] {
            assert!(tells_a_secret(secret), "{secret}");
        }
        for plain in ["GET auth", "CONFIG GET save", "HELLO 3", "", "ACL LIST"] {
            assert!(!tells_a_secret(plain), "{plain}");
        }
    }
}
