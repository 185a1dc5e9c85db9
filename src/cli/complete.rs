//! What may stand where the cursor is. It follows from clap's own description of the command line, so
//! that a new verb, option or value is completed without a line here; what only the disk knows
//! (clusters, nodes, servers) is asked for by [`Wanted`].

use std::any::TypeId;

use clap::builder::ValueHint;
use clap::{Arg, ArgAction, Args, Command, ValueEnum};

use super::help::command;
use crate::store::ClusterName;

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
            Self::Bash => include_str!("shells/rcluster.bash"),
            Self::Zsh => include_str!("shells/rcluster.zsh"),
            Self::Fish => include_str!("shells/rcluster.fish"),
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

/// How far the command line was read.
struct Cursor<'a> {
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
    fn new(root: &'a Command) -> Self {
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
    fn pass(&mut self, word: &str) {
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

    fn complete(mut self, word: &str) -> Completion {
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
                if place.is_trailing_var_arg_set() && self.escaped && first > 0 {
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
        ("CMD" | "COMMAND", _) => vec![Wanted::Commands],
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: &str) -> Completion {
        let words: Vec<String> = line.split(' ').skip(1).map(str::to_owned).collect();
        Completion::of(&words)
    }

    fn texts(line: &str) -> Vec<String> {
        let candidates = at(line).candidates.into_iter();
        candidates.map(|candidate| candidate.text).collect()
    }

    #[test]
    fn verbs_are_completed_and_those_of_verbs() {
        assert_eq!(texts("rcluster sta"), ["start", "status"]);
        assert_eq!(texts("rcluster -q --json -n x sta"), ["start", "status"]);
        assert_eq!(
            texts("rcluster server "),
            ["list", "install", "use", "remove"]
        );
        assert_eq!(texts("rcluster server -n server us"), ["use"]);
        assert_eq!(texts("rcluster man server in"), ["install"]);
        assert!(!texts("rcluster ").iter().any(|text| text.starts_with('-')));
        for line in [
            "rcluster up sta",
            "rcluster frobnicate sta",
            "rcluster -- sta",
        ] {
            assert_eq!(texts(line), Vec::<String>::new(), "{line}");
        }
    }

    #[test]
    fn options_are_completed_once_unless_they_may_be_repeated() {
        assert_eq!(texts("rcluster up --prim"), ["--primaries"]);
        assert_eq!(texts("rcluster --js"), ["--json"]);
        assert_eq!(
            texts("rcluster up --primaries 3 --prim"),
            Vec::<String>::new()
        );
        assert_eq!(texts("rcluster up --set a=b --set"), ["--set", "--set-for"]);
        assert_eq!(texts("rcluster up -y"), ["-y"]);
        assert!(texts("rcluster up -").contains(&"--replicas".to_owned()));
        assert!(texts("rcluster status ").contains(&"--json".to_owned()));
        let about = &at("rcluster up --prim").candidates[0].about;
        assert!(about.starts_with("Primaries"), "{about}");
        // It is a value.
        assert_eq!(texts("rcluster up --user --prim"), Vec::<String>::new());
    }

    #[test]
    fn values_follow_from_the_option() {
        assert_eq!(texts("rcluster --color a"), ["auto", "always"]);
        assert_eq!(texts("rcluster up --color=n"), ["--color=never"]);
        assert_eq!(
            texts("rcluster up --tls="),
            ["--tls=only", "--tls=both", "--tls=no"]
        );
        assert_eq!(
            texts("rcluster up --ephemeral="),
            ["--ephemeral=yes", "--ephemeral=no"]
        );
        assert_eq!(texts("rcluster up --port "), ["auto"]);
        assert_eq!(texts("rcluster completions "), ["bash", "zsh", "fish"]);
        // Its value must be attached: this is the next word.
        assert!(texts("rcluster up --tls --").contains(&"--port".to_owned()));
    }

    #[test]
    fn what_the_disk_knows_is_asked_for() {
        for (line, wanted, lead, value) in [
            ("rcluster -n se", vec![Wanted::Clusters], "", "se"),
            ("rcluster -nse", vec![Wanted::Clusters], "-n", "se"),
            ("rcluster -qnse", vec![Wanted::Clusters], "-qn", "se"),
            (
                "rcluster stop --name=se",
                vec![Wanted::Clusters],
                "--name=",
                "se",
            ),
            ("rcluster --home x", vec![Wanted::Directories], "", "x"),
            (
                "rcluster server use x",
                vec![Wanted::Servers, Wanted::Files],
                "",
                "x",
            ),
            ("rcluster server remove ", vec![Wanted::Servers], "", ""),
            (
                "rcluster up --server ",
                vec![Wanted::Files, Wanted::Servers],
                "",
                "",
            ),
            ("rcluster up --server-for re", vec![Wanted::Nodes], "", "re"),
            (
                "rcluster up --server-for replica=/o",
                vec![Wanted::Files],
                "replica=",
                "/o",
            ),
            ("rcluster up --set-for re", vec![Wanted::Nodes], "", "re"),
            ("rcluster up --set-for replica ma", vec![], "", "ma"),
            ("rcluster up --conf x", vec![Wanted::Files], "", "x"),
        ] {
            let found = at(line);
            assert_eq!(found.wanted, wanted, "{line}");
            assert_eq!(
                (found.lead.as_str(), found.value.as_str()),
                (lead, value),
                "{line}"
            );
        }
        let found = at("rcluster server install ");
        assert_eq!(found.wanted, [Wanted::Servers, Wanted::Packages]);
        assert_eq!(at("rcluster up --server-for ").trail, "=");
    }

    #[test]
    fn verbs_that_take_nodes_and_commands_need_nothing_here() {
        let nodes = Arg::new("node").num_args(0..).value_name("NODE");
        let nodes = nodes.action(ArgAction::Append);
        let command = Arg::new("command").num_args(1..).value_name("CMD");
        let command = command.action(ArgAction::Append);
        let last = command.clone().last(true);
        let command = command.trailing_var_arg(true);
        let mut root = Command::new("rcluster")
            .subcommand(Command::new("restart").arg(nodes.clone()))
            .subcommand(Command::new("run").arg(command))
            .subcommand(Command::new("cli").arg(nodes).arg(last));
        root.build();
        let wanted = |line: &str| {
            let mut cursor = Cursor::new(&root);
            let (last, before) = line
                .rsplit_once(' ')
                .map(|(b, l)| (l, b))
                .expect("two words");
            before.split(' ').for_each(|word| cursor.pass(word));
            cursor.complete(last).wanted
        };
        for (line, expected) in [
            ("restart ", Wanted::Nodes),
            ("restart 1 2 ", Wanted::Nodes),
            ("run ", Wanted::Commands),
            ("run -- ", Wanted::Commands),
            ("run -- ls ", Wanted::Files),
            ("run ls --a", Wanted::Files),
            ("cli ", Wanted::Nodes),
            ("cli 1 -- ", Wanted::Commands),
        ] {
            assert_eq!(wanted(line), [expected], "{line}");
        }
    }

    #[test]
    fn the_cluster_that_is_meant_is_remembered() {
        let found = at("rcluster --home /x -n a stop --config=none --timeout 5s --");
        assert_eq!(found.place, ["--home=/x", "--name=a", "--config=none"]);
    }

    #[test]
    fn words_of_bash_are_read_and_nothing_in_them_is_run() {
        for (word, text) in [
            ("up", "up"),
            ("'a b'", "a b"),
            ("\"a b", "a b"),
            ("a\\ b", "a b"),
            ("\"a\\\"b\"", "a\"b"),
            ("'a\\b'", "a\\b"),
            ("$(touch x)", "$(touch x)"),
            ("'~/x'", "'~/x'".trim_matches('\'')),
        ] {
            assert_eq!(unquoted(word), text, "{word}");
        }
    }
}
