//! What may stand where the cursor is. It follows from clap's own description of the command line, so
//! that a new verb, option or value is completed without a line here; what only the disk knows
//! (clusters, nodes, servers) is asked for by [`Wanted`].

mod cursor;
#[cfg(test)]
mod tests;

use clap::{Args, ValueEnum};

use crate::cli::help::command;
use cursor::Cursor;

/// Arguments of `completions`.
#[derive(Args, Clone, Debug)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Option<Shell>,
}

/// A shell that can complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// From 4.4 on; bash-completion is not needed.
    Bash,
    /// From 5.1 on.
    Zsh,
    /// From 3.1 on.
    Fish,
}

impl Shell {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
        }
    }

    /// What it has to read so that it completes.
    pub fn script(self) -> &'static str {
        match self {
            Self::Bash => include_str!("../shells/rcluster.bash"),
            Self::Zsh => include_str!("../shells/rcluster.zsh"),
            Self::Fish => include_str!("../shells/rcluster.fish"),
        }
    }
}

/// The first argument by which the shells' scripts ask. It is looked for before clap reads the
/// command line: whatever is wrong with that, or with the environment, nothing may be said.
const ASKED: &str = "__complete";

/// Something that may stand where the cursor is: the whole word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The word.
    pub text: String,
    /// What it does or is, if that is known.
    pub about: String,
}

/// What only the disk knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Names of clusters.
    Clusters,
    /// Nodes of the cluster: ports and selectors.
    Nodes,
    /// Installed servers.
    Servers,
    /// Servers that can be installed.
    Packages,
    /// Files. The shell finds them.
    Files,
    /// Directories. The shell finds them.
    Directories,
    /// Programs. The shell finds them.
    Commands,
}

/// What may stand where the cursor is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completion {
    /// What follows from the command line alone.
    pub candidates: Vec<Candidate>,
    /// What has to be looked up.
    pub wanted: Vec<Wanted>,
    /// What stands before the value in its word: `--name=`, `-n`.
    pub lead: String,
    /// What is typed of the value.
    pub value: String,
    /// What has to stand behind what is looked up: `=`.
    pub trail: &'static str,
    /// The options, among those that were typed, that say which cluster is meant.
    pub place: Vec<String>,
}

impl Completion {
    /// What is asked for by `arguments` (the program's name first), if they ask at all.
    pub fn asked(arguments: &[std::ffi::OsString]) -> Option<Self> {
        let (first, rest) = arguments.get(1..)?.split_first()?;
        let (shell, words) = rest.split_first()?;
        if first != ASKED {
            return None;
        }
        let is_bash = shell == "bash";
        let words: Vec<String> = words
            .iter()
            .map(|word| word.to_string_lossy())
            .map(|word| {
                if is_bash {
                    unquoted(&word)
                } else {
                    word.into_owned()
                }
            })
            .collect();
        Some(Self::of(words.get(1..).unwrap_or_default()))
    }

    /// What may be the last of `words`, which stand behind the program's name.
    fn of(words: &[String]) -> Self {
        let Some((last, before)) = words.split_last() else {
            return Self::default();
        };
        let mut root = command();
        root.build();
        let mut cursor = Cursor::new(&root);
        for word in before {
            cursor.pass(word);
        }
        cursor.complete(last)
    }

    /// Adds `candidates`, with what stands around them, if they go on from what is typed.
    pub fn offer(&mut self, candidates: impl IntoIterator<Item = Candidate>) {
        let (lead, trail) = (&self.lead, self.trail);
        for Candidate { text, about } in candidates {
            let text = format!("{text}{trail}");
            if text.starts_with(&self.value) {
                let text = format!("{lead}{text}");
                self.candidates.push(Candidate { text, about });
            }
        }
    }
}

impl Candidate {
    /// One with a description.
    pub fn new(text: impl Into<String>, about: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            about: about.into(),
        }
    }
}

/// A word of bash as bash would read it, but that nothing in it is expanded; bash hands words on as
/// they are typed.
fn unquoted(word: &str) -> String {
    let mut text = String::new();
    let mut quote = None;
    let mut chars = word.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None | Some('"'), '\\') => text.extend(chars.next()),
            _ => text.push(c),
        }
    }
    if let Some(rest) = text.strip_prefix("~/").filter(|_| word.starts_with('~'))
        && let Ok(home) = std::env::var("HOME")
    {
        return format!("{home}/{rest}");
    }
    text
}
