//! The command line and the files of settings, read as one: flag > environment > project > user >
//! default.
//!
//! Values of files become arguments that stand before those of the user, so that clap reads, and
//! refuses, them as it does flags; what is said more strongly elsewhere is left out.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, FromArgMatches as _};

use super::Cli;
use super::help::command;
use super::keys::{CONFLICTS, Given, Key, Wrong, keys, unknown};
use super::parsed::{Parsed, mentions, settings, source, values};
use super::refusal::{Refusal, advise, is_help, refusal, words};
use super::wants_json;
use crate::error::Error;
use crate::settings::{Level, Origin, Setting, SettingsFile, Value};

/// Where a password may come from if no option names a file: the environment's `--password-file`.
pub const PASSWORD_VARIABLE: &str = "RCLUSTER_PASSWORD";

/// What files say of the project's own cluster and not of those of `run`: of these there may be many
/// at once, and none is kept.
const NOT_OF_RUN: [&str; 6] = [
    "port",
    "bus-port",
    "tls-port",
    "announce-port",
    "announce-bus-port",
    "ephemeral",
];

/// Why the command line and the files make no command.
#[derive(Debug)]
pub enum Refused {
    /// The command line's fault.
    Arguments(Refusal),
    /// A file's fault.
    Settings(Error),
}

/// A command line that can be read, before files are.
#[derive(Debug)]
pub struct CommandLine {
    arguments: Vec<OsString>,
    matches: ArgMatches,
    /// An option without another that it needs; a file may give that.
    incomplete: Option<clap::Error>,
}

/// A value of a file.
#[derive(Debug)]
pub(super) struct Said<'a> {
    pub(super) file: &'a SettingsFile,
    pub(super) given: Given,
}

impl CommandLine {
    /// Reads `arguments`, the program's name first. `paints` says whether colours are wanted on
    /// standard output (`true`) or standard error.
    pub fn read(arguments: &[OsString], paints: impl Fn(bool) -> bool) -> Result<Self, Refusal> {
        let mut line = Self {
            arguments: arguments.to_vec(),
            matches: ArgMatches::default(),
            incomplete: None,
        };
        match command().try_get_matches_from(arguments) {
            Ok(matches) => line.matches = matches,
            Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => {
                let lenient = command().ignore_errors(true);
                let matches = lenient.try_get_matches_from(arguments);
                line.matches = matches.map_err(|error| refusal(&error, arguments, &paints))?;
                line.incomplete = Some(error);
            }
            Err(error) => return Err(Self::refused(arguments, error, &paints)),
        }
        Ok(line)
    }

    /// What is said of a command line that is none: `rcluster` alone, and `rcluster help VERB`, ask for
    /// help, the latter with success.
    fn refused(
        arguments: &[OsString],
        mut error: clap::Error,
        paints: impl Fn(bool) -> bool,
    ) -> Refusal {
        let help = |arguments: Vec<&OsString>| {
            let asking = OsString::from("--help");
            let arguments = arguments.into_iter().chain([&asking]);
            let shown = command().try_get_matches_from(arguments).err()?;
            (shown.kind() == ErrorKind::DisplayHelp).then_some(shown)
        };
        match error.kind() {
            ErrorKind::MissingSubcommand if !wants_json(arguments) => {
                if let Some(help) = help(arguments.iter().collect()) {
                    return Refusal {
                        is_answer: false,
                        exit_code: 2,
                        ..refusal(&help, arguments, |_| paints(false))
                    };
                }
            }
            ErrorKind::InvalidSubcommand if is_help(&error) => {
                // The first is the verb, unless it is what an option is about.
                let place = (1..arguments.len()).filter(|place| arguments[*place] == "help");
                let without = |place: usize| {
                    let others = arguments.iter().enumerate();
                    others.filter_map(move |(at, word)| (at != place).then_some(word))
                };
                if let Some(help) = place
                    .clone()
                    .find_map(|place| help(without(place).collect()))
                {
                    return refusal(&help, arguments, &paints);
                }
                // There is no such verb to help with.
                let rest = place.take(1).flat_map(without);
                if let Err(about) = command().try_get_matches_from(rest)
                    && about.use_stderr()
                {
                    error = about;
                }
            }
            _ => {}
        }
        advise(&mut error, arguments);
        refusal(&error, arguments, &paints)
    }

    /// What `--config` says.
    pub fn config(&self) -> Option<&Path> {
        let config = self.verb().0.get_one::<PathBuf>("config");
        config.map(PathBuf::as_path)
    }

    /// Whether a command of the user's is to be run, whose exit code is ours.
    pub fn runs_a_command(&self) -> bool {
        self.verb().1.first().is_some_and(|verb| verb == "run")
    }

    /// Whether files have anything to say to this verb.
    pub fn wants_files(&self) -> bool {
        !matches!(
            self.verb().1.first().map(String::as_str),
            Some("completions" | "man" | "version")
        )
    }

    /// Whether the verb takes all options that describe a cluster: it makes one.
    pub fn takes_shape(&self) -> bool {
        let left_out = match self.verb().1.as_slice() {
            [verb] if verb == "run" => NOT_OF_RUN.len(),
            _ => 0,
        };
        self.heeded().len() + left_out == keys().len()
    }

    /// The keys that the verb heeds: of the options that it takes.
    fn heeded(&self) -> Vec<Key> {
        let (mut inner, verb) = (command(), self.verb().1);
        inner.build();
        for name in &verb {
            inner = inner.find_subcommand(name).cloned().unwrap_or_default();
        }
        // `create` is told what was started, and not what is to be.
        let is_create = verb == ["create"];
        let is_run = verb == ["run"];
        let takes = |key: &Key| {
            let mut options = inner.get_arguments();
            options.any(|option| option.get_long() == Some(&key.name))
        };
        let mut heeded = keys();
        heeded.retain(|key| key.is_global || (!is_create && takes(key)));
        heeded.retain(|key| !is_run || !NOT_OF_RUN.contains(&key.name.as_str()));
        heeded
    }

    /// Whether it says by itself which cluster is meant, so that no file can.
    pub fn names_its_cluster(&self) -> bool {
        let matches = self.verb().0;
        let said = |id| is_said(matches.value_source(id));
        said("name") && said("home")
    }

    /// The arguments of the innermost verb, and its names from the outermost on.
    fn verb(&self) -> (&ArgMatches, Vec<String>) {
        innermost(&self.matches)
    }

    /// Reads the files with it, the stronger first.
    pub fn with(
        &self,
        files: &[SettingsFile],
        paints: impl Fn(bool) -> bool,
    ) -> Result<Parsed, Refused> {
        let keys = self.heeded();
        let takes_shape = self.takes_shape();
        let mut notes = Vec::new();
        let mut said: Vec<Said> = Vec::new();
        for file in files {
            let given = self.given(&keys, file, takes_shape, &mut notes)?;
            if takes_shape {
                // What is said more strongly elsewhere must make sense all the same.
                self.check(&given)?;
            }
            let stronger = self.stronger(&keys, &said);
            said.extend(
                given
                    .into_iter()
                    .filter(|weaker| !is_overruled(weaker, &stronger)),
            );
        }
        let matches = match (said.is_empty(), &self.incomplete) {
            (true, None) => Ok(self.matches.clone()),
            _ => command().try_get_matches_from(self.completed(&said)),
        };
        let matches = matches.map_err(|error| match self.culprit(&said, &error) {
            Some(error) => Refused::Settings(error),
            None => Refused::Arguments(refusal(&error, &self.arguments, &paints)),
        })?;
        let settings = settings(&keys, innermost(&matches).0, &said);
        contradiction(&settings, &self.arguments, &paints)?;
        let mut cli = Cli::from_arg_matches(&matches).map_err(|error| {
            Refused::Arguments(refusal(
                &error.format(&mut command()),
                &self.arguments,
                &paints,
            ))
        })?;
        // A file speaks of the everyday wait, and not of a download that somebody sits beside.
        cli.timeout_given = self.verb().0.value_source("timeout") == Some(ValueSource::CommandLine);
        let given = keys.iter().filter(|key| self.gives(key));
        Ok(Parsed {
            cli,
            settings,
            notes,
            given: given.map(|key| key.name.clone()).collect(),
        })
    }

    /// What `file` says to this verb. Whatever is wrong with it stops a verb that makes a cluster;
    /// others only if the cluster that is meant may be another one than it seems.
    fn given<'a>(
        &self,
        heeded: &[Key],
        file: &'a SettingsFile,
        takes_shape: bool,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Said<'a>>, Refused> {
        let dir = file.path.parent().unwrap_or(Path::new("/"));
        let all = keys();
        let mut said = Vec::new();
        for entry in &file.entries {
            let key = heeded.iter().find(|key| key.name == entry.key);
            if key.is_none() && all.iter().any(|key| key.name == entry.key) {
                continue;
            }
            let read = key.map_or_else(|| Err(unknown(&all, entry)), |key| key.given(entry, dir));
            let read = read.and_then(|given| {
                let bad = || given.iter().find_map(|given| self.refused_alone(given));
                match if takes_shape { None } else { bad() } {
                    Some(wrong) => Err(wrong),
                    None => Ok(given),
                }
            });
            match read {
                Ok(given) => said.extend(given.into_iter().map(|given| Said { file, given })),
                Err(wrong)
                    if takes_shape || (wrong.may_name_a_cluster && !self.names_its_cluster()) =>
                {
                    return Err(refused(file, &wrong));
                }
                Err(Wrong {
                    line,
                    message,
                    hint,
                    ..
                }) => {
                    notes.push(format!("{}:{line}: {message}; {hint}", file.path.display()));
                }
            }
        }
        Ok(said)
    }

    /// Why the option refuses a value, whatever is said beside it.
    fn refused_alone(&self, given: &Given) -> Option<Wrong> {
        let error = self.alone(given.arguments.clone()).err()?;
        let is_alone = error.kind() == ErrorKind::MissingRequiredArgument;
        (!is_alone).then(|| Wrong::of_option(given, words(&error)))
    }

    /// Whether the command line or the environment gives the option.
    fn gives(&self, key: &Key) -> bool {
        is_said(source(key, self.verb().0))
    }

    /// What the command line, the environment and `said` say.
    fn stronger(&self, keys: &[Key], said: &[Said]) -> Vec<Given> {
        let matches = self.verb().0;
        let mut stronger: Vec<Given> = said.iter().map(|said| said.given.clone()).collect();
        let mut say = |what, is_off| {
            stronger.push(Given {
                what,
                arguments: Vec::new(),
                line: 0,
                is_off,
            });
        };
        for key in keys {
            if !self.gives(key) {
                continue;
            }
            for (what, value) in values(key, matches) {
                say(what, value == Value::Boolean(false));
            }
        }
        let names_password = |given: &Given| {
            ["password-file", "generate-password"].contains(&given.what[0].as_str())
        };
        let is_named = stronger
            .iter()
            .any(|given| !given.is_off && names_password(given));
        if env::var_os(PASSWORD_VARIABLE).is_some() && !is_named {
            stronger.push(Given {
                what: vec!["password-file".into()],
                arguments: Vec::new(),
                line: 0,
                is_off: false,
            });
        }
        stronger
    }

    /// Refuses what the option itself would refuse of a file's values.
    fn check(&self, said: &[Said]) -> Result<(), Refused> {
        let words = said.iter().flat_map(|said| said.given.arguments.clone());
        match self.alone(words) {
            Err(error) if error.kind() != ErrorKind::MissingRequiredArgument => {
                Err(match self.culprit(said, &error) {
                    Some(error) => Refused::Settings(error),
                    None => Refused::Arguments(refusal(&error, &self.arguments, |_| false)),
                })
            }
            _ => Ok(()),
        }
    }

    /// Reads `words` as the only arguments of the verb.
    fn alone(&self, words: impl IntoIterator<Item = OsString>) -> Result<ArgMatches, clap::Error> {
        let verb = self.verb().1.into_iter().map(OsString::from);
        let line = ["rcluster".into()].into_iter().chain(verb).chain(words);
        command().try_get_matches_from(line)
    }

    /// The arguments with those of `said` before the verb's own, the strongest last, as they would
    /// be written: of what may be said twice the last counts.
    fn completed(&self, said: &[Said]) -> Vec<OsString> {
        let (before, after) = self.arguments.split_at(self.end_of_verb());
        let of = |level| {
            let own = said.iter().filter(move |said| said.file.level == level);
            own.flat_map(|said| said.given.arguments.clone())
        };
        let mut line = before.to_vec();
        line.extend(of(Level::User));
        line.extend(of(Level::Project));
        line.extend_from_slice(after);
        line
    }

    /// How many arguments there are up to the innermost verb.
    fn end_of_verb(&self) -> usize {
        let mut inner = command();
        inner.build();
        let mut end = 1;
        for name in self.verb().1 {
            let options = inner
                .get_arguments()
                .filter(|option| !matches!(option.get_long(), Some("help" | "version")));
            // To a command without verbs of its own the first word that is no option is foreign,
            // and all that follows belongs to it.
            let mut plain = Command::new("rcluster")
                .disable_help_flag(true)
                .disable_version_flag(true)
                .allow_external_subcommands(true)
                .external_subcommand_value_parser(clap::value_parser!(OsString))
                .args(options.cloned());
            let rest = self.arguments.get(end..).unwrap_or_default();
            let line = [OsStr::new("rcluster")]
                .into_iter()
                .chain(rest.iter().map(OsString::as_os_str));
            let after = plain
                .try_get_matches_from_mut(line)
                .ok()
                .map_or(0, |matches| {
                    let inner = matches.subcommand().map(|(_, inner)| inner);
                    inner
                        .and_then(|inner| inner.get_raw(""))
                        .map_or(0, Iterator::count)
                });
            end = self.arguments.len() - after;
            inner = inner.find_subcommand(&name).cloned().unwrap_or_default();
        }
        end
    }

    /// The file's fault that made clap say `error`, if it is a file's.
    fn culprit(&self, said: &[Said], error: &clap::Error) -> Option<Error> {
        let by_itself = said.iter().find_map(|said| {
            let wrong = self.refused_alone(&said.given)?;
            Some(complaint(said.file, &wrong))
        });
        if by_itself.is_some() {
            return by_itself;
        }
        if error.kind() == ErrorKind::MissingRequiredArgument {
            let lacks = |said: &&Said| self.alone(said.given.arguments.clone()).is_err();
            return said.iter().find(lacks).map(|said| at_fault(said, error));
        }
        let words = words(error);
        let is_named = |said: &&Said| mentions(&words, &said.given.what[0]);
        said.iter().find(is_named).map(|said| at_fault(said, error))
    }
}

fn at_fault(said: &Said, error: &clap::Error) -> Error {
    complaint(said.file, &Wrong::of_option(&said.given, words(error)))
}

fn complaint(file: &SettingsFile, wrong: &Wrong) -> Error {
    let Wrong {
        line,
        message,
        hint,
        ..
    } = wrong;
    let path = file.path.display();
    Error::usage(format!("{path}:{line}: {message}"), hint)
}

fn refused(file: &SettingsFile, wrong: &Wrong) -> Refused {
    Refused::Settings(complaint(file, wrong))
}

/// The arguments of the innermost verb, and its names from the outermost on.
pub(super) fn innermost(matches: &ArgMatches) -> (&ArgMatches, Vec<String>) {
    let (mut matches, mut names) = (matches, Vec::new());
    while let Some((name, inner)) = matches.subcommand() {
        names.push(name.to_owned());
        matches = inner;
    }
    (matches, names)
}

fn is_said(source: Option<ValueSource>) -> bool {
    matches!(
        source,
        Some(ValueSource::CommandLine | ValueSource::EnvVariable)
    )
}

/// Whether what a file says does not count beside what is said more strongly.
fn is_overruled(weaker: &Said, stronger: &[Given]) -> bool {
    let Given { what, is_off, .. } = &weaker.given;
    let conflicts = |other: &Given| {
        let pair = [what[0].as_str(), other.what[0].as_str()];
        let [one, two] = pair;
        !is_off && !other.is_off && (CONFLICTS.contains(&pair) || CONFLICTS.contains(&[two, one]))
    };
    let without_tls = |other: &Given| other.is_off && other.what == ["tls"];
    stronger.iter().any(|other| {
        other.what == *what
            || conflicts(other)
            || (what[0].starts_with("tls-") && without_tls(other))
    })
}

/// Refuses two options that cannot stand beside each other.
fn contradiction(
    settings: &[Setting],
    arguments: &[OsString],
    paints: impl Fn(bool) -> bool,
) -> Result<(), Refused> {
    let is_on = |name: &str| {
        settings.iter().find(|setting| {
            let is_off = matches!(setting.value, None | Some(Value::Boolean(false)));
            setting.key == [name] && setting.origin != Origin::Default && !is_off
        })
    };
    for [one, other] in CONFLICTS {
        let (Some(first), Some(_)) = (is_on(one), is_on(other)) else {
            continue;
        };
        let why = format!("the argument '--{one}' cannot be used with '--{other}'");
        return Err(if let Origin::File { .. } = first.origin {
            Refused::Settings(Error::usage(
                format!("{}: {why}", first.origin),
                "leave one of them out",
            ))
        } else {
            let error = command().error(ErrorKind::ArgumentConflict, why);
            Refused::Arguments(refusal(&error, arguments, &paints))
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::settings::Entry;

    fn read(line: &str) -> CommandLine {
        let arguments: Vec<OsString> = line.split(' ').map(Into::into).collect();
        CommandLine::read(&arguments, |_| false).expect(line)
    }

    #[test]
    fn the_verb_ends_where_its_own_arguments_begin() {
        for (before, after) in [
            ("rcluster up", ""),
            ("rcluster up", " --primaries 3"),
            ("rcluster -n up up", " --user up"),
            ("rcluster --name=up --json -q up", " -n up"),
            ("rcluster -qn up up", ""),
            ("rcluster --quiet=no -v up", " --set up=up"),
            ("rcluster config show", " --origin"),
            ("rcluster config -n show show", " --user show"),
            ("rcluster -n config --home config config --json show", " -y"),
            (
                "rcluster server install",
                " valkey --from server --make-arg=install",
            ),
            ("rcluster server use", " --none"),
            ("rcluster version", ""),
        ] {
            let line = read(&format!("{before}{after}"));
            assert_eq!(
                line.end_of_verb(),
                before.split(' ').count(),
                "{before}{after}"
            );
        }
    }

    #[test]
    fn a_files_timeout_is_that_of_everyday_waits() {
        let file = SettingsFile {
            path: "/x/rcluster.toml".into(),
            level: Level::Project,
            entries: vec![Entry {
                key: "timeout".into(),
                value: Value::Text("5s".into()),
                line: 1,
            }],
        };
        for (line, seconds, is_given) in [
            ("rcluster server install valkey", 5, false),
            ("rcluster --timeout 7s server install valkey", 7, true),
            ("rcluster up", 5, false),
        ] {
            let parsed = read(line).with(std::slice::from_ref(&file), |_| false);
            let cli = parsed.expect(line).cli;
            assert_eq!(cli.global.timeout, Duration::from_secs(seconds), "{line}");
            assert_eq!(cli.timeout_given, is_given, "{line}");
        }
    }

    #[test]
    fn only_verbs_that_make_a_cluster_heed_all_keys() {
        for (line, all, primaries) in [
            ("rcluster up", true, true),
            ("rcluster start", true, true),
            ("rcluster config show", true, true),
            ("rcluster run -- true", true, true),
            ("rcluster doctor", false, true),
            ("rcluster create", false, false),
            ("rcluster status", false, false),
            // Its `server` is another.
            ("rcluster server use x", false, false),
        ] {
            let line_read = read(line);
            assert_eq!(line_read.takes_shape(), all, "{line}");
            let heeded = line_read.heeded();
            let heeds = |name: &str| heeded.iter().any(|key| key.name == name);
            assert_eq!(heeds("primaries"), primaries, "{line}");
            assert_eq!(heeds("server"), primaries, "{line}");
            assert!(heeds("name") && heeds("timeout"), "{line}");
        }
    }
}
