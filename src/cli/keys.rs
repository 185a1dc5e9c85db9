//! Keys of files of settings: the long names of options, and how a value of a file is written as
//! arguments of its option. All of it follows from what clap knows of the option.

use std::any::TypeId;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Args as _, Command};

use super::{Global, StartArgs};
use crate::plan::{Directive, PortChoice, Selector};
use crate::settings::{Entry, Value, quoted};

/// Options that are said each time and never kept: a program that reads JSON asks for it, a
/// confirmation is given once, and a file cannot say which file is read.
const NOT_KEPT: &[&str] = &["json", "config", "retain", "yes"];

/// Options that cannot stand beside each other, unless one of them says no: clap would look only at
/// whether they are given.
pub(super) const CONFLICTS: &[[&str; 2]] =
    &[["quiet", "verbose"], ["generate-password", "password-file"]];

/// Options that say which cluster is meant.
const NAMES_A_CLUSTER: [&str; 2] = ["name", "home"];

/// Names under which somebody may try to put a password into a file.
const SECRETS: &[&str] = &[
    "auth",
    "masterauth",
    "masterpassword",
    "passphrase",
    "password",
    "passwd",
    "primaryauth",
    "replication-password",
    "requirepass",
    "secret",
    "tls-key-file-pass",
];

/// A key: an option that may stand in a file.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// Its long name.
    pub(super) name: String,
    /// The id by which clap knows it.
    pub(super) id: String,
    /// The environment variable that stands for it.
    pub(super) variable: String,
    /// Whether it is an option of every verb; else it is one of those that describe a cluster.
    pub(super) is_global: bool,
    /// How many values it has.
    pub(super) form: Form,
    scalar: Scalar,
    takes_input: bool,
    /// The words that its option takes for `true`.
    yes: Vec<String>,
}

/// How many values a key has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    One,
    /// A list; one value may stand for it.
    Many,
    /// A table: `--option NAME=VALUE`.
    Table,
    /// A table of tables: `--option NODES NAME=VALUE`.
    Tables,
}

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scalar {
    Switch,
    SwitchOrWord,
    Number,
    NumberOrWord,
    Text,
    Path,
    /// A program: a path if it has a `/` in it, else a name.
    Program,
    /// A value of `redis.conf`.
    Any,
}

/// A value of a file, as arguments.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// What it is about: the option's long name, then the names in its tables.
    pub(super) what: Vec<String>,
    pub(super) arguments: Vec<OsString>,
    pub(super) line: usize,
    /// It says no.
    pub(super) is_off: bool,
}

/// What is wrong with an entry, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) line: usize,
    pub(super) message: String,
    pub(super) hint: String,
    /// It is about which cluster is meant, or may be.
    pub(super) may_name_a_cluster: bool,
}

impl Wrong {
    /// What the option of `given` says of it, in `words`.
    pub(super) fn of_option(given: &Given, words: String) -> Self {
        let option = &given.what[0];
        let is_named = words.contains(&format!("--{option}"));
        Self {
            line: given.line,
            message: if is_named {
                words
            } else {
                format!("{option}: {words}")
            },
            hint: format!("see `--{option}` in `rcluster up --help`"),
            may_name_a_cluster: NAMES_A_CLUSTER.contains(&option.as_str()),
        }
    }
}

/// Every key: the options of all verbs, then those of a cluster.
pub(super) fn keys() -> Vec<Key> {
    let [global, shape] = commands();
    let of = |command: &Command, is_global| {
        let options = command.get_arguments().filter_map(move |option| {
            let name = option.get_long().filter(|name| !NOT_KEPT.contains(name))?;
            Some(Key::new(name, option, is_global))
        });
        options.collect::<Vec<_>>()
    };
    [of(&global, true), of(&shape, false)].concat()
}

/// The options that keys are made of.
fn commands() -> [Command; 2] {
    [
        Global::augment_args(Command::new("global")),
        StartArgs::augment_args(Command::new("shape")),
    ]
}

/// What is wrong with a key that there is not.
pub(super) fn unknown(keys: &[Key], entry: &Entry) -> Wrong {
    let plain = entry.key.replace('_', "-").to_ascii_lowercase();
    let shown = crate::cluster::printable(&entry.key, 60);
    let wrong = |message: String, hint: &str| Wrong {
        line: entry.line,
        message,
        hint: hint.to_owned(),
        may_name_a_cluster: false,
    };
    if NOT_KEPT.contains(&plain.as_str()) {
        return wrong(
            format!("`{shown}` is said on the command line only"),
            &format!("leave it out, and pass --{plain} where it is wanted"),
        );
    }
    if SECRETS.contains(&plain.as_str()) {
        return wrong(
            format!("`{shown}`: no password has its place in a file of settings"),
            "put it into a file that only you can read, and name that: password-file = \"FILE\"",
        );
    }
    let others = commands();
    let aliases = others
        .iter()
        .flat_map(Command::get_arguments)
        .filter_map(|option| Some((option.get_all_aliases()?, option.get_long()?)));
    let alias = aliases
        .filter(|(aliases, _)| aliases.contains(&plain.as_str()))
        .map(|(_, name)| name)
        .next();
    let nearest = keys
        .iter()
        .map(|key| (distance(&plain, &key.name), key.name.as_str()))
        .filter(|(distance, name)| *distance <= name.len().max(plain.len()) / 3)
        .min_by_key(|(distance, _)| *distance);
    let nearest = alias.or(nearest.map(|(_, name)| name));
    let hint = nearest.map_or_else(
        || "`rcluster --config none config show` prints every key".to_owned(),
        |name| format!("did you mean `{name}`?"),
    );
    Wrong {
        may_name_a_cluster: nearest.is_some_and(|name| NAMES_A_CLUSTER.contains(&name)),
        ..wrong(format!("unknown key `{shown}`"), &hint)
    }
}

fn joined(parts: [&OsStr; 3]) -> OsString {
    parts.into_iter().collect()
}

/// How many letters have to be typed, taken away, exchanged or swapped with their neighbour to
/// make `one` of `other`.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows = vec![(0..=other.len()).collect::<Vec<usize>>()];
    for (at, a) in one.iter().enumerate() {
        let mut row = vec![at + 1];
        for (place, b) in other.iter().enumerate() {
            let exchanged = rows[at][place] + usize::from(a != b);
            let mut best = exchanged.min(row[place] + 1).min(rows[at][place + 1] + 1);
            if at > 0 && place > 0 && *a == other[place - 1] && one[at - 1] == *b {
                best = best.min(rows[at - 1][place - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

impl Key {
    fn new(name: &str, option: &Arg, is_global: bool) -> Self {
        let names = option.get_value_names().unwrap_or_default();
        let last = names.last().map_or("", clap::builder::Str::as_str);
        let form = match option.get_num_args().map_or(1, |count| count.min_values()) {
            2.. => Form::Tables,
            _ if last.contains('=') => Form::Table,
            _ if matches!(option.get_action(), ArgAction::Append) => Form::Many,
            _ => Form::One,
        };
        let of_type = option.get_value_parser().type_id();
        let is = |types: &[TypeId]| types.iter().any(|other| of_type == *other);
        let is_optional = option
            .get_num_args()
            .is_some_and(|count| count.min_values() == 0);
        let value = last.split_once('=').map_or(last, |(_, value)| value);
        let scalar = match value {
            "VALUE" => Scalar::Any,
            "PATH" | "PATH|NAME" => Scalar::Program,
            "FILE [ARGS]" => Scalar::Path,
            _ if is(&[TypeId::of::<bool>()]) => Scalar::Switch,
            _ if is_optional => Scalar::SwitchOrWord,
            _ if is(&[TypeId::of::<PortChoice>()]) => Scalar::NumberOrWord,
            _ if is(&[TypeId::of::<usize>(), TypeId::of::<u16>()]) => Scalar::Number,
            _ if is(&[TypeId::of::<PathBuf>()]) => Scalar::Path,
            _ => Scalar::Text,
        };
        let words = option.get_possible_values();
        let yes = words.iter().filter(|word| word.matches("true", true));
        let yes = yes.flat_map(|word| word.get_name_and_aliases().map(str::to_owned));
        Self {
            name: name.to_owned(),
            id: option.get_id().to_string(),
            variable: option
                .get_env()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            is_global,
            form,
            scalar,
            takes_input: value.ends_with("|-"),
            yes: yes.collect(),
        }
    }

    /// The value of `entry` as arguments. Paths are relative to `dir`.
    pub(super) fn given(&self, entry: &Entry, dir: &Path) -> Result<Vec<Given>, Wrong> {
        let option = format!("--{}", self.name);
        let attached = |text: &OsString| joined([OsStr::new(&option), OsStr::new("="), text]);
        let set = |entry: &Entry, text: &OsString| joined([entry.key.as_ref(), "=".as_ref(), text]);
        match (self.form, &entry.value) {
            (Form::One, value) => {
                let text = self.text(entry, value, dir)?;
                let mut given = self.one(&[], entry, vec![attached(&text)]);
                given.is_off = matches!(value, Value::Boolean(false));
                Ok(vec![given])
            }
            (Form::Many, value) => {
                let items = match value {
                    Value::List(items) => items.as_slice(),
                    one => std::slice::from_ref(one),
                };
                let texts = items.iter().map(|item| self.text(entry, item, dir));
                let texts: Vec<OsString> = texts.collect::<Result<_, _>>()?;
                let arguments = texts.iter().map(attached).collect();
                Ok(vec![self.one(&[], entry, arguments)])
            }
            (Form::Table, Value::Table(entries)) => entries
                .iter()
                .map(|entry| {
                    let texts = self.texts(entry, dir)?;
                    let arguments = texts.iter().map(|text| attached(&set(entry, text)));
                    let arguments = arguments.collect();
                    Ok(self.one(&[&entry.key], entry, arguments))
                })
                .collect(),
            (Form::Tables, Value::Table(tables)) => {
                let mut all = Vec::new();
                for table in tables {
                    let Value::Table(entries) = &table.value else {
                        return Err(self.wrong(table, &table.value));
                    };
                    for entry in entries {
                        let texts = self.texts(entry, dir)?;
                        let arguments = texts.iter().flat_map(|text| {
                            [
                                option.as_str().into(),
                                table.key.as_str().into(),
                                set(entry, text),
                            ]
                        });
                        all.push(self.one(&[&table.key, &entry.key], entry, arguments.collect()));
                    }
                }
                Ok(all)
            }
            (_, value) => Err(self.wrong(entry, value)),
        }
    }

    fn one(&self, path: &[&String], entry: &Entry, arguments: Vec<OsString>) -> Given {
        let path = path.iter().map(|part| part.as_str());
        Given {
            what: self.what(&path.collect::<Vec<_>>()),
            arguments,
            line: entry.line,
            is_off: false,
        }
    }

    /// What values in the tables of this key are about, under one name each: `slave` is `replica`.
    pub(super) fn what(&self, path: &[&str]) -> Vec<String> {
        let nodes = |text: &str| {
            let nodes = text.parse::<Selector>();
            nodes.map_or_else(|_| text.to_owned(), |nodes| nodes.to_string())
        };
        let directive = |text: &str| {
            let directive = format!("{} x", text.trim()).parse::<Directive>();
            directive.map_or_else(|_| text.to_owned(), |found| found.name().to_owned())
        };
        let path = path
            .iter()
            .enumerate()
            .map(|(at, part)| match (self.form, self.scalar) {
                (Form::Tables, _) if at == 0 => nodes(part),
                (_, Scalar::Program) => nodes(part),
                _ => directive(part),
            });
        [self.name.clone()].into_iter().chain(path).collect()
    }

    /// The values of an entry of a table: several of them are several lines of `redis.conf`.
    fn texts(&self, entry: &Entry, dir: &Path) -> Result<Vec<OsString>, Wrong> {
        match &entry.value {
            Value::List(items) if self.scalar == Scalar::Any => items
                .iter()
                .map(|item| self.text(entry, item, dir))
                .collect(),
            value => Ok(vec![self.text(entry, value, dir)?]),
        }
    }

    /// A value as its option has it.
    fn text(&self, entry: &Entry, value: &Value, dir: &Path) -> Result<OsString, Wrong> {
        let below = |path: &str| dir.join(path.strip_prefix("./").unwrap_or(path)).into();
        match (self.scalar, value) {
            (Scalar::Any, Value::Boolean(yes)) => Ok(if *yes { "yes" } else { "no" }.into()),
            (Scalar::Switch | Scalar::SwitchOrWord, Value::Boolean(_))
            | (Scalar::Number | Scalar::NumberOrWord | Scalar::Any, Value::Integer(_)) => {
                Ok(value.to_string().into())
            }
            (Scalar::Any, Value::Float(text)) => Ok(text.into()),
            (Scalar::NumberOrWord, Value::Text(text)) if text.parse::<i64>().is_ok() => {
                Err(self.wrong(entry, value))
            }
            (Scalar::Path, Value::Text(text)) if text == "-" && self.takes_input => Ok(text.into()),
            // An empty path is no path; joined it would be the directory.
            (Scalar::Path, Value::Text(text)) if !text.is_empty() => Ok(below(text)),
            (Scalar::Program, Value::Text(text)) if text.contains('/') => Ok(below(text)),
            (
                Scalar::SwitchOrWord
                | Scalar::NumberOrWord
                | Scalar::Text
                | Scalar::Path
                | Scalar::Program
                | Scalar::Any,
                Value::Text(text),
            ) => Ok(text.into()),
            _ => Err(self.wrong(entry, value)),
        }
    }

    /// What is wrong with a value of the wrong kind.
    fn wrong(&self, entry: &Entry, value: &Value) -> Wrong {
        let kind = match self.scalar {
            Scalar::Switch => "true or false",
            Scalar::SwitchOrWord => "true, false or a word in quotes",
            Scalar::Number => "a number without quotes",
            Scalar::NumberOrWord => "a number without quotes, or \"auto\"",
            Scalar::Text => "a string in quotes",
            Scalar::Path => "a path in quotes",
            Scalar::Program => "a path or a name in quotes",
            Scalar::Any => "a string, a number, a boolean or an array of them",
        };
        let (wanted, hint) = match (self.form, value) {
            (Form::Table | Form::Tables, Value::Table(_)) => (
                kind.to_owned(),
                "put names with dots into quotes".to_owned(),
            ),
            (Form::Table, _) if entry.key == self.name => (
                "a table".to_owned(),
                format!("write [{}], and below it a line for each", self.name),
            ),
            (Form::Tables, _) if !matches!(entry.value, Value::List(_)) => (
                "a table for each of the nodes that are meant".to_owned(),
                format!(
                    "write [{}.{}], and below it a line for each",
                    self.name,
                    quoted("replica:2")
                ),
            ),
            (Form::Many, _) => (
                format!("{kind}, or an array of them"),
                format!("see `--{}` in `rcluster up --help`", self.name),
            ),
            _ => (
                kind.to_owned(),
                format!("see `--{}` in `rcluster up --help`", self.name),
            ),
        };
        Wrong {
            line: entry.line,
            message: format!(
                "{}: expected {wanted}, found {}",
                crate::cluster::printable(&entry.key, 60),
                value.kind()
            ),
            hint,
            may_name_a_cluster: NAMES_A_CLUSTER.contains(&self.name.as_str()),
        }
    }

    /// A value of the option as a file would have it.
    pub(super) fn value(&self, text: &str) -> Value {
        let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
        let word = || Value::Text(text.to_owned());
        match self.scalar {
            Scalar::Switch | Scalar::SwitchOrWord => {
                if is(&["yes", "true", "on", "y", "t", "1"])
                    || self.yes.iter().any(|word| word == text)
                {
                    Value::Boolean(true)
                } else if is(&["no", "false", "off", "n", "f", "0"]) {
                    Value::Boolean(false)
                } else {
                    word()
                }
            }
            Scalar::Number | Scalar::NumberOrWord | Scalar::Any => match text.parse::<i64>() {
                // Written otherwise it may mean something else: 010, +1.
                Ok(number) if number.to_string() == text => Value::Integer(number),
                _ => word(),
            },
            Scalar::Text | Scalar::Path | Scalar::Program => word(),
        }
    }

    /// The value of an option that is given nowhere, if that follows from the option alone.
    pub(super) fn without(&self) -> Option<Value> {
        match (self.form, self.scalar) {
            (Form::Table | Form::Tables, _) => Some(Value::Table(Vec::new())),
            (Form::One, Scalar::Switch | Scalar::SwitchOrWord) => Some(Value::Boolean(false)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_fingers_costs_one() {
        for (one, other, wanted) in [
            ("replicas", "replicas", 0),
            ("replcas", "replicas", 1),
            ("relpicas", "replicas", 1),
            ("replicass", "replicas", 1),
            ("", "tls", 3),
            ("tls", "", 3),
        ] {
            assert_eq!(distance(one, other), wanted, "{one} {other}");
        }
    }

    #[test]
    fn what_a_value_looks_like_follows_from_the_option() {
        let keys = keys();
        let key = |name: &str| {
            let key = keys.iter().find(|key| key.name == name);
            let key = key.unwrap_or_else(|| panic!("no key {name}"));
            (key.form, key.scalar)
        };
        for (name, form, scalar) in [
            ("name", Form::One, Scalar::Text),
            ("home", Form::One, Scalar::Path),
            ("quiet", Form::One, Scalar::Switch),
            ("timeout", Form::One, Scalar::Text),
            ("primaries", Form::One, Scalar::Number),
            ("port", Form::One, Scalar::NumberOrWord),
            ("announce-port", Form::One, Scalar::Number),
            ("server", Form::One, Scalar::Program),
            ("server-for", Form::Table, Scalar::Program),
            ("bind", Form::Many, Scalar::Text),
            ("set", Form::Table, Scalar::Any),
            ("set-for", Form::Tables, Scalar::Any),
            ("conf", Form::One, Scalar::Path),
            ("loadmodule", Form::Many, Scalar::Path),
            ("tls", Form::One, Scalar::SwitchOrWord),
            ("tls-auth-clients", Form::One, Scalar::Text),
            ("ephemeral", Form::One, Scalar::Switch),
        ] {
            assert_eq!(key(name), (form, scalar), "{name}");
        }
        for name in NOT_KEPT {
            assert!(keys.iter().all(|key| key.name != *name), "{name}");
        }
    }
}
