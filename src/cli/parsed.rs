//! What comes out of the command line and the files: the command, and every value that counts with
//! its origin.

use std::env;

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::keys::{Form, Key};
use super::line::Said;
use super::{Cli, PASSWORD_VARIABLE};
use crate::settings::{Origin, Setting, Value};

/// The command, and every value that counts.
#[derive(Debug)]
pub struct Parsed {
    /// The command.
    pub cli: Cli,
    /// The values, with their origins.
    pub settings: Vec<Setting>,
    /// What is odd in the files, and of no consequence for this verb.
    pub notes: Vec<String>,
    /// The options that the command line or the environment gives.
    pub(super) given: Vec<String>,
}

impl Parsed {
    /// Who gave the option that `text` speaks of, if it was a file.
    pub fn file_behind(&self, text: &str) -> Option<&Origin> {
        let by_file = self.settings.iter().filter(|setting| {
            matches!(setting.origin, Origin::File { .. }) && mentions(text, &setting.key[0])
        });
        // Of a table, the line whose names are in the text, if any are.
        let named = |setting: &&Setting| {
            let mut inner = setting.key.iter().skip(1);
            inner.all(|name| stands_in(text, name))
        };
        let best = by_file.clone().find(named);
        // One that is not named may as well be one of those that were given otherwise.
        let rest = by_file
            .clone()
            .find(|setting| !self.given.contains(&setting.key[0]));
        best.or(rest).map(|setting| &setting.origin)
    }

    /// Who gave the server program that `text` speaks of, if it was a file.
    pub fn file_behind_program(&self, text: &str) -> Option<&Origin> {
        let by_file = self.settings.iter().find(|setting| {
            let names =
                matches!(&setting.value, Some(Value::Text(program)) if text.contains(program));
            names
                && ["server", "server-for"].contains(&setting.key[0].as_str())
                && matches!(setting.origin, Origin::File { .. })
        });
        by_file.map(|setting| &setting.origin)
    }
}

/// Whether `text` speaks of `--option`, and not of a longer one.
pub(super) fn mentions(text: &str, option: &str) -> bool {
    stands_in(text, &format!("--{option}"))
}

/// Whether `word` stands alone in `text`.
fn stands_in(text: &str, word: &str) -> bool {
    let inner = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(inner) && !text[at + word.len()..].starts_with(inner))
}

/// Where the option's value comes from; `None` if it has none, or is none of the verb's.
pub(super) fn source(key: &Key, matches: &ArgMatches) -> Option<ValueSource> {
    matches.try_contains_id(&key.id).ok()?;
    matches.value_source(&key.id)
}

/// The values of an option, each with what it is about.
pub(super) fn values(key: &Key, matches: &ArgMatches) -> Vec<(Vec<String>, Value)> {
    let occurrences = matches.try_get_raw_occurrences(&key.id).ok().flatten();
    let occurrences = occurrences.into_iter().flatten().map(|words| {
        let texts = words.map(|word| word.to_string_lossy().into_owned());
        texts.collect::<Vec<String>>()
    });
    let mut found: Vec<(Vec<String>, Vec<Value>)> = Vec::new();
    for words in occurrences {
        let (what, texts) = match (key.form, words.as_slice()) {
            (Form::Table, [text]) => match text.split_once('=') {
                Some((name, text)) => (key.what(&[name]), vec![text]),
                // Whoever gives it its meaning refuses it.
                None => continue,
            },
            (Form::Tables, [nodes, text]) => match text.split_once('=') {
                Some((name, text)) => (key.what(&[nodes, name]), vec![text]),
                None => continue,
            },
            (_, words) => (key.what(&[]), words.iter().map(String::as_str).collect()),
        };
        let values = texts.into_iter().map(|text| key.value(text));
        match found.iter_mut().find(|(other, _)| *other == what) {
            Some((_, all)) => all.extend(values),
            None => found.push((what, values.collect())),
        }
    }
    let is_list = key.form == Form::Many;
    found
        .into_iter()
        .map(|(what, mut values)| match values.len() {
            1 if !is_list => (what, values.remove(0)),
            _ => (what, Value::List(values)),
        })
        .collect()
}

/// Every value that counts, with its origin.
pub(super) fn settings(keys: &[Key], matches: &ArgMatches, said: &[Said]) -> Vec<Setting> {
    let mut settings = Vec::new();
    for key in keys {
        let source = source(key, matches);
        let by_files: Vec<&Said> = said
            .iter()
            .filter(|said| said.given.what[0] == key.name)
            .collect();
        let origin = |what: &[String]| match (
            by_files.iter().find(|said| said.given.what == what),
            source,
        ) {
            (Some(said), _) => Origin::File {
                path: said.file.path.clone(),
                line: said.given.line,
            },
            (None, Some(ValueSource::CommandLine)) => Origin::Flag,
            (None, Some(ValueSource::EnvVariable)) => Origin::Environment(key.variable.clone()),
            (None, _) => Origin::Default,
        };
        let mut found = values(key, matches);
        // Empty arrays leave no arguments.
        for Said { given, .. } in &by_files {
            if given.arguments.is_empty() {
                found.push((given.what.clone(), Value::List(Vec::new())));
            }
        }
        if found.is_empty() {
            settings.push(Setting {
                key: key.what(&[]),
                value: key.without(),
                origin: Origin::Default,
            });
        }
        settings.extend(found.into_iter().map(|(what, value)| Setting {
            origin: origin(&what),
            key: what,
            value: Some(value),
        }));
    }
    let generates = settings.iter().any(|setting| {
        setting.key == ["generate-password"] && setting.value == Some(Value::Boolean(true))
    });
    for setting in &mut settings {
        let is_open = setting.key == ["password-file"] && setting.value.is_none() && !generates;
        if is_open && env::var_os(PASSWORD_VARIABLE).is_some() {
            setting.origin = Origin::Environment(PASSWORD_VARIABLE.into());
        }
    }
    settings
}
