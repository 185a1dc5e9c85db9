//! The only writer: answers on standard output; progress, hints and failures on standard error.

mod complete;
mod env;
mod json;
mod logs;
mod progress;
mod prompt;
mod reply;
mod servers;
mod settings;
mod status;
mod style;
mod text;
mod trouble;

use std::io::{self, Write as _};
use std::path::Path;

pub use complete::complete;
pub use env::{masks, shell_word, variables};
pub use logs::LogPrinter;
pub use progress::Progress;
pub use prompt::Prompt;
pub use reply::{formatted, raw, redirected};
pub use status::Sight;
pub use style::{Style, speaks_utf8};

use crate::error::Error;
use crate::ops::{
    Answer, Called, Cleaned, Emptied, EnvAnswer, Exported, Listed, Planned, Restarted,
    ServerAnswer, Stopped, Troubles, WaitFor,
};
use crate::plan::Finding;
use crate::settings::Overview;

/// How this run speaks.
#[derive(Clone, Debug)]
pub struct Report {
    /// The program with the options that name the cluster, for hints: `rcluster -n other`.
    pub program: String,
    /// One JSON document instead of text.
    pub json: bool,
    /// Nothing but the answer.
    pub quiet: bool,
    /// The style of standard output.
    pub out: Style,
    /// The style of standard error.
    pub err: Style,
}

/// An answer, to be shown.
#[derive(Debug)]
pub enum Shown<'a> {
    /// Of `start`.
    Started(&'a Answer),
    /// Of `create` and `up`.
    Formed(&'a Answer),
    /// Of `create --dry-run`.
    Planned(&'a Planned),
    /// Of `status`, and how it is looked at.
    Status(&'a Answer, Sight),
    /// Of `list`.
    List(&'a [Listed]),
    /// Of `env`, and the same as text.
    Env(&'a EnvAnswer, &'a str),
    /// Of `call`, and the command.
    Called(&'a [Called], &'a [Vec<u8>]),
    /// Of `stop`.
    Stopped(&'a Stopped),
    /// Of `clean` and `down`.
    Cleaned(&'a Cleaned),
    /// Of `server`.
    Server(&'a ServerAnswer),
    /// Of `doctor`.
    Checked(&'a [Finding]),
    /// Of `config show`, and whether origins are wanted.
    Settings(&'a Overview, bool),
    /// Of `completions`: the shell, and its script.
    Completions(&'a str, &'a str),
    /// Of `man`: a page's name, and its text for groff.
    Page(&'a str, &'a str),
    /// Of `man --out`: the directory, and the files' names.
    Pages(&'a Path, &'a [String]),
    /// Of `clean --logs`.
    Emptied(&'a Emptied),
    /// Of `restart`.
    Restarted(&'a Restarted),
    /// Of `wait`.
    Waited(&'a Answer, WaitFor),
    /// Of `logs --export`.
    Exported(&'a Exported),
    /// Of `logs --errors`.
    Troubles(&'a Troubles),
    /// Of `version`.
    Version,
}

impl Report {
    /// Writes an answer to standard output, and hints to standard error.
    pub fn answer(&self, shown: &Shown) -> io::Result<()> {
        let text = if self.json {
            json::answer(shown, &self.program)
        } else {
            text::answer(shown, self.out, &self.program)
        };
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()?;
        if !self.json
            && !self.quiet
            && let Some(hint) = text::next(shown, &self.program)
        {
            self.say(&hint);
        }
        Ok(())
    }

    /// An answer as a file holds it: without colours, or as JSON.
    pub fn for_file(&self, shown: &Shown, as_json: bool) -> String {
        if as_json {
            json::answer(shown, &self.program)
        } else {
            text::answer(shown, Style::new(Some(false), false), &self.program)
        }
    }

    /// Writes a failure to standard error.
    pub fn failure(&self, error: &Error) {
        let text = if self.json {
            json::failure(error, &self.program)
        } else {
            text::failure(error, self.err, &self.program)
        };
        self.say(text.trim_end());
    }

    /// Writes help or a version to standard output.
    pub fn help(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// Writes to standard output at once.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// Writes a line to standard error. That nobody reads it is no reason to fail.
    pub fn say(&self, line: &str) {
        writeln!(io::stderr().lock(), "{line}").ok();
    }

    /// Asks a question on the terminal; `false` unless the answer is yes.
    pub fn confirm(&self, question: &str) -> bool {
        let mut err = io::stderr().lock();
        write!(err, "{question} [y/N] ").ok();
        err.flush().ok();
        let mut line = String::new();
        io::stdin().read_line(&mut line).is_ok() && matches!(line.trim(), "y" | "Y" | "yes" | "Yes")
    }
}

/// An error's hint, with `program` for the program.
fn hint(error: &Error, program: &str) -> Option<String> {
    Some(with_program(&error.hint()?, program))
}

/// `text` with `program` for the program.
fn with_program(text: &str, program: &str) -> String {
    text.replace("{rcluster}", program)
}
