//! What is said instead of doing anything: help, the version, or what is wrong with the arguments.

use std::env;
use std::ffi::OsString;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use clap::{Arg, Command};

use super::help::command;
use super::line::innermost;
use super::other_words::what_it_is_here;

/// What is said instead of doing anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The text, with colours if they are wanted.
    pub text: String,
    /// What is wrong, in one line.
    pub sentence: String,
    /// What to do about it, in one line; nothing for answers.
    pub hint: String,
    /// Whether it is an answer (help, version) and not an error.
    pub is_answer: bool,
    /// 0 for answers, 2 for errors.
    pub exit_code: u8,
}

/// What is said of `error` in `arguments`. `paints` says whether colours are wanted on standard output
/// (`true`) or standard error.
pub(super) fn refusal(
    error: &Error,
    arguments: &[OsString],
    paints: impl Fn(bool) -> bool,
) -> Refusal {
    let text = error.render();
    let is_answer = !error.use_stderr();
    let plain = text.to_string();
    Refusal {
        text: if paints(is_answer) {
            text.ansi().to_string()
        } else {
            plain.clone()
        },
        sentence: words(error),
        hint: if is_answer {
            String::new()
        } else {
            hint(&plain, arguments)
        },
        is_answer,
        exit_code: u8::try_from(error.exit_code()).unwrap_or(2),
    }
}

/// What clap says is wrong, on one line.
pub(super) fn words(error: &Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let lines = text.lines().map(str::trim);
    let lines: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
    lines.join(" ")
}

/// What clap advises in `text`, on one line; else the help of the verb that `arguments` name.
fn hint(text: &str, arguments: &[OsString]) -> String {
    let lines = text.lines().map(str::trim);
    let tips: Vec<&str> = lines
        .filter_map(|line| line.strip_prefix("tip: "))
        .collect();
    if !tips.is_empty() {
        return tips.join("; ");
    }
    let lenient = command().ignore_errors(true);
    let matches = lenient.try_get_matches_from(arguments).unwrap_or_default();
    let mut verb = vec!["rcluster".to_owned()];
    verb.extend(innermost(&matches).1);
    format!("see `{} --help`", verb.join(" "))
}

/// Whether the verb that there is not is `help`.
pub(super) fn is_help(error: &Error) -> bool {
    let verb = error.get(ContextKind::InvalidSubcommand);
    matches!(verb, Some(ContextValue::String(verb)) if verb == "help")
}

/// Has an error about `arguments` say what to do: which verb of ours is meant by another tool's, and
/// that a value was not typed. Takes back what clap advises where it leads astray.
pub(super) fn advise(error: &mut Error, arguments: &[OsString]) {
    let tip = match error.kind() {
        ErrorKind::InvalidSubcommand => what_it_is_here(error),
        ErrorKind::UnknownArgument => {
            leave_out_astray(error, arguments);
            None
        }
        _ => not_typed(error, arguments),
    };
    if let Some(tip) = tip {
        error.remove(ContextKind::SuggestedSubcommand);
        let tip = StyledStr::from(tip);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    }
}

/// Takes back that what follows `--` would be a value: it would be a node, or a program. Only `cli` takes
/// options there, those of redis-cli.
fn leave_out_astray(error: &mut Error, arguments: &[OsString]) {
    if arguments.iter().any(|word| word == "cli") {
        return;
    }
    let Some(ContextValue::StyledStrs(mut tips)) = error.remove(ContextKind::Suggested) else {
        return;
    };
    tips.retain(|tip| !tip.to_string().starts_with("to pass '"));
    if !tips.is_empty() {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
}

/// That the value which `error` is about comes from the environment.
fn not_typed(error: &Error, arguments: &[OsString]) -> Option<String> {
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let long = shown.split([' ', '=']).next()?.strip_prefix("--")?;
    let program = command();
    let options = program.get_arguments();
    let of_verbs = program.get_subcommands().flat_map(Command::get_arguments);
    let is_meant = |option: &&Arg| option.get_long() == Some(long) && option.get_env().is_some();
    let option = options.chain(of_verbs).find(is_meant)?;
    let variable = option.get_env()?;
    env::var_os(variable)?;
    let typed = arguments.iter().take_while(|argument| *argument != "--");
    let typed = typed.map(|argument| argument.to_string_lossy());
    let is_it = |argument: &str| match (argument.strip_prefix("--"), argument.strip_prefix('-')) {
        (Some(name), _) => name.split('=').next() == Some(long),
        (None, Some(letters)) => option
            .get_short()
            .is_some_and(|short| letters.contains(short)),
        (None, None) => false,
    };
    let is_typed = typed.into_iter().any(|argument| is_it(&argument));
    (!is_typed).then(|| {
        format!(
            "correct or unset the variable {}",
            variable.to_string_lossy()
        )
    })
}
