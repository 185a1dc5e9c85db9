//! The words before the cursor, read as clap would read them, and what may follow.

use std::any::TypeId;

use clap::builder::ValueHint;
use clap::{Arg, ArgAction, Command};

use super::{Candidate, Completion, Wanted};
use crate::store::ClusterName;

/// How far the command line was read.
pub(super) struct Cursor<'a> {
    root: &'a Command,
    command: &'a Command,
    /// An option that waits for its value, and how many it has already.
    open: Option<(&'a Arg, usize)>,
    /// Words that are no options and no verbs.
    places: Vec<String>,
    /// Options cannot follow any more.
    escaped: bool,
    used: Vec<&'a str>,
    place: Vec<String>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(root: &'a Command) -> Self {
        Self {
            root,
            command: root,
            open: None,
            places: Vec::new(),
            escaped: false,
            used: Vec::new(),
            place: Vec::new(),
        }
    }

    /// Reads a word before the cursor.
    pub(super) fn pass(&mut self, word: &str) {
        if let Some((option, values)) = self.open.take() {
            self.keep(option, word);
            if values + 1 < most(option).min(least(option).max(1)) {
                self.open = Some((option, values + 1));
            }
        } else if self.escaped || word == "-" || !word.starts_with('-') {
            self.pass_place(word);
        } else if word == "--" {
            self.escaped = true;
        } else if let Some(text) = word.strip_prefix("--") {
            let (name, value) = text
                .split_once('=')
                .map_or((text, None), |(name, value)| (name, Some(value)));
            if let Some(option) = self.long(name) {
                self.pass_option(option, value);
            }
        } else if let Some((option, value)) = self.shorts(&word[1..]) {
            self.pass_option(option, (!value.is_empty()).then_some(value));
        }
    }

    fn pass_place(&mut self, word: &str) {
        let verb = self.command.find_subcommand(word);
        if let Some(verb) = verb.filter(|_| !self.escaped && self.places.is_empty()) {
            self.command = verb;
            return;
        }
        self.places.push(word.to_owned());
        // All behind the first word of CMD… is the command's own.
        if self.positional().is_some_and(Arg::is_trailing_var_arg_set) {
            self.escaped = true;
        }
    }

    fn pass_option(&mut self, option: &'a Arg, value: Option<&str>) {
        self.used.push(option.get_id().as_str());
        match value {
            Some(value) => self.keep(option, value),
            None if most(option) > 0 && !option.is_require_equals_set() => {
                self.open = Some((option, 0));
            }
            None => {}
        }
    }

    /// Remembers what says which cluster is meant.
    fn keep(&mut self, option: &Arg, value: &str) {
        if let Some(name @ ("name" | "home" | "config")) = option.get_long()
            && option.is_global_set()
        {
            self.place.push(format!("--{name}={value}"));
        }
    }

    fn long(&self, name: &str) -> Option<&'a Arg> {
        self.command.get_arguments().find(|option| {
            let is_alias = |aliases: Vec<&str>| aliases.contains(&name);
            option.get_long() == Some(name) || option.get_all_aliases().is_some_and(is_alias)
        })
    }

    /// The last option of a word like `qn`, and what is left behind it if it takes a value.
    fn shorts<'w>(&mut self, letters: &'w str) -> Option<(&'a Arg, &'w str)> {
        let mut last = None;
        for (at, letter) in letters.char_indices() {
            let mut options = self.command.get_arguments();
            let option = options.find(|option| option.get_short() == Some(letter))?;
            let rest = &letters[at + letter.len_utf8()..];
            self.used.push(option.get_id().as_str());
            if most(option) > 0 && !option.is_require_equals_set() {
                return Some((option, rest));
            }
            last = Some((option, ""));
        }
        last
    }

    /// The argument that the word at the cursor would be, if it is no option.
    fn positional(&self) -> Option<&'a Arg> {
        let mut all = self.command.get_positionals().collect::<Vec<_>>();
        all.sort_by_key(|place| place.get_index());
        let (last, plain): (Vec<&Arg>, Vec<&Arg>) =
            all.into_iter().partition(|place| place.is_last_set());
        if self.escaped && !last.is_empty() {
            return last.first().copied();
        }
        let is_many = |place: &&&Arg| most(place) > 1 || is_repeatable(place);
        let at = self.places.len();
        plain
            .get(at)
            .or_else(|| plain.last().filter(is_many))
            .copied()
    }

    pub(super) fn complete(mut self, word: &str) -> Completion {
        let mut found = Completion::default();
        let short = word.strip_prefix('-').filter(|_| !word.starts_with("--"));
        if let Some((option, values)) = self.open {
            word.clone_into(&mut found.value);
            self.values(option, values, &mut found);
        } else if self.escaped || !word.starts_with('-') {
            word.clone_into(&mut found.value);
            self.plain(&mut found);
        } else if let Some((name, value)) = word.split_once('=').filter(|_| short.is_none()) {
            found.lead = format!("{name}=");
            value.clone_into(&mut found.value);
            if let Some(option) = self.long(&name[2..]).filter(|option| most(option) > 0) {
                self.values(option, 0, &mut found);
            }
        } else if let Some(letters) = short.filter(|letters| !letters.is_empty()) {
            if let Some((option, value)) = self.shorts(letters) {
                word[..word.len() - value.len()].clone_into(&mut found.lead);
                value.clone_into(&mut found.value);
                if value.is_empty() {
                    // Complete as it is.
                    found.offer([Candidate::new("", about_of(option))]);
                } else {
                    self.values(option, 0, &mut found);
                }
            }
        } else {
            word.clone_into(&mut found.value);
            self.options(&mut found);
        }
        found.place = self.place;
        found
    }

    /// Verbs, or what else may stand where no option does.
    fn plain(&self, found: &mut Completion) {
        if !self.escaped && self.places.is_empty() {
            found.offer(verbs(self.command));
        }
        match self.positional() {
            Some(place) => {
                let first = self.places.len();
                if wanted_by_type(place) == Some(Wanted::Commands) && self.escaped && first > 0 {
                    // The words behind a program's name are its own, and most of them files.
                    found.wanted.push(Wanted::Files);
                } else {
                    self.values(place, 0, found);
                }
            }
            None if found.value.is_empty() && !self.escaped && !self.command.has_subcommands() => {
                self.options(found);
            }
            None => {}
        }
    }

    fn options(&self, found: &mut Completion) {
        let options = self.command.get_arguments().filter(|option| {
            let is_used = self.used.contains(&option.get_id().as_str());
            !option.is_hide_set() && (!is_used || is_repeatable(option))
        });
        found.offer(options.filter_map(|option| {
            let text = format!("--{}", option.get_long()?);
            Some(Candidate::new(text, about_of(option)))
        }));
    }

    /// The values of an argument that has `before` of them already.
    fn values(&self, arg: &Arg, before: usize, found: &mut Completion) {
        if let Some(delimiter) = arg.get_value_delimiter()
            && let Some((done, rest)) = found.value.rsplit_once(delimiter)
        {
            found.lead = format!("{}{done}{delimiter}", found.lead);
            found.value = rest.to_owned();
        }
        let names = arg.get_value_names().unwrap_or_default();
        let name = names.get(before).or(names.last());
        let mut name = name.map_or("", clap::builder::Str::as_str);
        let mut trail = "";
        if let Some((left, right)) = name.split_once('=') {
            if let Some((key, value)) = found.value.split_once('=') {
                found.lead = format!("{}{key}=", found.lead);
                found.value = value.to_owned();
                name = right;
            } else {
                name = left;
                trail = "=";
            }
        }
        let words = name
            .split(['|', ' '])
            .map(|word| word.trim_end_matches(['…', '.']));
        let is_literal =
            |word: &&str| *word == "-" || word.starts_with(|c: char| c.is_ascii_lowercase());
        let possible = arg.get_possible_values();
        if possible.is_empty() || arg.is_hide_possible_values_set() {
            let literals = words.clone().filter(is_literal);
            found.offer(literals.map(|word| Candidate::new(word, "")));
        } else {
            let shown = possible.iter().filter(|value| !value.is_hide_set());
            found.offer(shown.map(|value| {
                let about = value.get_help().map(ToString::to_string);
                Candidate::new(value.get_name(), first_line(&about.unwrap_or_default()))
            }));
        }
        found.trail = trail;
        if name.trim_end_matches(['…', '.']) == "VERB" {
            let verb = self
                .places
                .iter()
                .try_fold(self.root, |command, name| command.find_subcommand(name));
            found.offer(verb.map(verbs).unwrap_or_default());
        }
        let by_name = words.flat_map(|word| wanted_by_name(word, arg.get_id().as_str()));
        let by_name: Vec<Wanted> = by_name.collect();
        // clap takes every path for that of any file; the name knows better.
        let by_type = wanted_by_type(arg).filter(|_| by_name.is_empty());
        found.wanted.extend(by_name.into_iter().chain(by_type));
        let mut seen = Vec::new();
        found.wanted.retain(|wanted| {
            let is_new = !seen.contains(wanted);
            seen.push(*wanted);
            is_new
        });
    }
}

fn verbs(command: &Command) -> Vec<Candidate> {
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    let about = |verb: &Command| verb.get_about().map(ToString::to_string);
    verbs
        .map(|verb| {
            let about = about(verb).unwrap_or_default();
            Candidate::new(verb.get_name(), first_line(&about))
        })
        .collect()
}

/// What the name of a value stands for in our help.
fn wanted_by_name(name: &str, id: &str) -> Vec<Wanted> {
    match (name, id) {
        ("NODE" | "NODES" | "SELECTOR", _) => vec![Wanted::Nodes],
        ("NAME", "server") => vec![Wanted::Servers],
        ("VERSION", "server") => vec![Wanted::Packages],
        ("CLUSTER", _) => vec![Wanted::Clusters],
        ("FILE" | "PATH" | "TARBALL", _) => vec![Wanted::Files],
        ("DIR", _) => vec![Wanted::Directories],
        _ => Vec::new(),
    }
}

fn wanted_by_type(arg: &Arg) -> Option<Wanted> {
    let is_of = |id: TypeId| arg.get_value_parser().type_id() == id;
    match arg.get_value_hint() {
        ValueHint::AnyPath | ValueHint::FilePath => Some(Wanted::Files),
        ValueHint::DirPath => Some(Wanted::Directories),
        ValueHint::ExecutablePath
        | ValueHint::CommandName
        | ValueHint::CommandString
        | ValueHint::CommandWithArguments => Some(Wanted::Commands),
        _ if is_of(TypeId::of::<ClusterName>()) => Some(Wanted::Clusters),
        _ => None,
    }
}

/// How many values an argument takes at least.
fn least(arg: &Arg) -> usize {
    arg.get_num_args().map_or(1, |count| count.min_values())
}

/// How many values an argument takes at most.
fn most(arg: &Arg) -> usize {
    if arg.get_action().takes_values() {
        arg.get_num_args().map_or(1, |count| count.max_values())
    } else {
        0
    }
}

fn is_repeatable(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append | ArgAction::Count)
}

fn about_of(option: &Arg) -> String {
    let about = option.get_help().map(ToString::to_string);
    first_line(&about.unwrap_or_default())
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
