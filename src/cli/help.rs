//! Help: what every verb's says where, and the examples of verbs whose arguments are here.
//!
//! A verb's examples are its `after_help`, as [`EXAMPLES`] looks. They are shown before the options, which
//! are long, and stand in its man page; [`command`] sees to that for every verb that there is, and
//! `tests/integration/usage.rs` that each has some, and that all of them can be typed.

use clap::{Command, CommandFactory as _};

use super::Cli;

/// The command line as it is read, with help that begins with examples.
pub fn command() -> Command {
    let mut command = arranged(Cli::command());
    let exit_codes = format!("{ARRANGED}\n\nExit codes: {}", in_one_paragraph());
    command = command.help_template(exit_codes);
    command
}

/// What is said first, and what last.
const ARRANGED: &str =
    "{before-help}{about-with-newline}\n{usage-heading} {usage}{after-help}\n\n{all-args}";

fn arranged(command: Command) -> Command {
    command.help_template(ARRANGED).mut_subcommands(arranged)
}

/// The lines of a verb's examples, without their indent: a command, and behind two spaces or more
/// what it does.
pub(super) fn examples(command: &Command) -> Vec<String> {
    let help = command.get_after_help().map(ToString::to_string);
    let help = help.unwrap_or_default();
    let lines = help.lines().skip_while(|line| *line != "Examples:");
    let lines = lines.skip(1).take_while(|line| line.starts_with("  "));
    lines.map(|line| line.trim().to_owned()).collect()
}

/// What else a verb's `after_help` says, a paragraph each.
pub(super) fn remarks(command: &Command) -> Vec<String> {
    let mut paragraphs = paragraphs(command);
    paragraphs.retain(|text| {
        let heads = ["Examples:", EXIT_CODES_OF_VERB];
        !heads.iter().any(|head| text.starts_with(head))
    });
    paragraphs
}

/// What a verb's `after_help` says of its own exit codes.
pub(super) fn own_exit_codes(command: &Command) -> Option<String> {
    let paragraphs = paragraphs(command);
    let mut found = paragraphs
        .iter()
        .filter_map(|text| text.strip_prefix(EXIT_CODES_OF_VERB));
    found.next().map(|text| text.trim().to_owned())
}

const EXIT_CODES_OF_VERB: &str = "Exit codes:";

fn paragraphs(command: &Command) -> Vec<String> {
    let help = command.get_after_help().map(ToString::to_string);
    let help = help.unwrap_or_default();
    let paragraphs = help.split("\n\n");
    let joined = paragraphs.map(|text| text.lines().collect::<Vec<_>>().join(" "));
    joined.filter(|text| !text.trim().is_empty()).collect()
}

/// What the program's exit code says, but for verbs that have something of their own to say with it.
pub(super) const EXIT_CODES: &[(&str, &str)] = &[
    ("0", "done or as asked"),
    ("1", "failed"),
    ("2", "usage"),
    ("3", "not running"),
    ("4", "no such cluster"),
    ("5", "degraded or errors found"),
    ("6", "timed out"),
    ("7", "conflict"),
    ("8", "refused by the server"),
    ("9", "confirmation needed"),
    ("10", "unfit environment"),
];

fn in_one_paragraph() -> String {
    let words = EXIT_CODES
        .iter()
        .map(|(code, meaning)| format!("{code} {meaning}"));
    let words: Vec<String> = words.collect();
    // No line is wider than the rest of help.
    let lines: Vec<String> = words.chunks(4).map(|line| line.join(", ")).collect();
    lines.join(",\n")
}

pub(super) const EXAMPLES: &str = "\
Examples:
  rcluster up                          3 primaries and 3 replicas on 30001-30006, ready
  rcluster start && rcluster create    the same in the two steps of create-cluster
  redis-cli -c -p 30001                talk to it
  rcluster up -n other --port auto     a second cluster beside it
  rcluster status
  rcluster watch                       the same on the whole screen, as it goes on
  rcluster run -- cargo test           a cluster for one command, gone with it
  rcluster down                        stop it and delete its data
  rcluster config show --origin        what rcluster.toml and the environment say";

pub(super) const START: &str = "\
Examples:
  rcluster start                       six nodes that know only themselves, for `rcluster create`
  rcluster start --port 7000           on 7000-7005
  rcluster start -n search             an existing cluster comes back with its data";

pub(super) const CREATE: &str = "\
Examples:
  rcluster start && rcluster create    as create-cluster did it
  rcluster create --dry-run            print the commands that would be sent";

pub(super) const UP: &str = "\
Examples:
  rcluster up                          3 primaries and 3 replicas on 30001-30006
  rcluster up --port auto --json       on free ports, for scripts
  rcluster up -n big --primaries 5 --replicas 2 --set maxmemory=100mb
  rcluster up --tls --generate-password";

pub(super) const STATUS: &str = "\
Examples:
  rcluster status                      exit 0 if all is well, 3 if nothing runs, 5 if something is wrong
  rcluster status -n search --json | jq -r '.nodes[].port'";

pub(super) const LIST: &str = "\
Examples:
  rcluster list
  rcluster list --json | jq -r '.clusters[].name'";

pub(super) const STOP: &str = "\
Examples:
  rcluster stop                        its data is kept: `rcluster start` brings it back
  rcluster stop -n search --grace 1m   more time for nodes that write much to disk";

pub(super) const CLEAN: &str = "\
Examples:
  rcluster clean                       asks, on a terminal
  rcluster clean -n search --yes       in scripts";

pub(super) const DOWN: &str = "\
Examples:
  rcluster down                        asks, on a terminal
  rcluster down -n search --yes        in scripts, and as the last step of a CI job";

pub(super) const SERVER: &str = "\
Examples:
  rcluster server install              the newest Valkey, without root
  rcluster server list
  rcluster server use valkey-9.1.2     run it where nobody says another";

pub(super) const SERVER_LIST: &str = "\
Examples:
  rcluster server list
  rcluster server list --json";

pub(super) const SERVER_INSTALL: &str = "\
Examples:
  rcluster server install              the newest Valkey
  rcluster server install redis-8.2
  rcluster server install --from redis-7.4.1.tar.gz --make-arg BUILD_TLS=yes";

pub(super) const SERVER_USE: &str = "\
Examples:
  rcluster server use valkey-9.1.2     an installed one
  rcluster server use /opt/redis/bin/redis-server
  rcluster server use --none           back to the first on PATH";

pub(super) const SERVER_REMOVE: &str = "\
Examples:
  rcluster server remove redis-6.2.14
  rcluster server remove valkey-9.1.2 --json";

pub(super) const DOCTOR: &str = "\
Examples:
  rcluster doctor
  rcluster doctor --primaries 30       whether 30 + 30 nodes would do
  rcluster doctor --server valkey-server --json";

pub(super) const CONFIG: &str = "\
Examples:
  rcluster config show                 every option as rcluster.toml would have it
  rcluster config show --origin        and who said so";

pub(super) const CONFIG_SHOW: &str = "\
Examples:
  rcluster config show
  rcluster config show --origin
  rcluster config show --primaries 5 --json";

pub(super) const COMPLETIONS: &str = "\
Examples:
  rcluster completions bash > ~/.local/share/bash-completion/completions/rcluster
  rcluster completions zsh > ~/.zfunc/_rcluster                     ~/.zfunc is in your fpath
  rcluster completions fish > ~/.config/fish/completions/rcluster.fish";

pub(super) const MAN: &str = "\
Examples:
  rcluster man                         the page of the program
  rcluster man server install          that of a verb
  rcluster man --out ~/.local/share/man/man1";

pub(super) const VERSION: &str = "\
Examples:
  rcluster version
  rcluster version --json";
