//! The command line: what may be written, and nothing about what it means.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use crate::plan::PortChoice;
use crate::store::ClusterName;

/// A real Redis or Valkey Cluster in a fraction of a second, and one tool for all that happens to it afterwards
#[derive(Debug, Parser)]
#[command(name = "rcluster", version, arg_required_else_help = true, disable_help_subcommand = true, after_help = EXAMPLES)]
pub struct Cli {
    /// Options of every verb.
    #[command(flatten)]
    pub global: Global,
    /// The verb.
    #[command(subcommand)]
    pub verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  rcluster up                          3 primaries and 3 replicas on 30001-30006, ready
  rcluster start && rcluster create    the same in the two steps of create-cluster
  redis-cli -c -p 30001                talk to it
  rcluster up -n other --port auto     a second cluster beside it
  rcluster status
  rcluster down                        stop it and delete its data

Exit codes: 0 done or as asked, 1 failed, 2 usage, 3 not running, 4 no such cluster, 5 degraded,
6 timed out, 7 conflict, 8 refused by the server, 9 confirmation needed, 10 unfit environment";

/// Options of every verb, before or after it.
#[derive(Args, Clone, Debug)]
pub struct Global {
    /// The cluster's name: lower-case letters, digits and inner hyphens
    #[arg(short, long, global = true, env = "RCLUSTER_NAME", default_value = "default", value_name = "NAME", value_parser = parse_name, help_heading = "Global options")]
    pub name: ClusterName,
    /// Where clusters are kept [default: $`XDG_STATE_HOME/rcluster` or ~/.local/state/rcluster]
    #[arg(
        long,
        global = true,
        env = "RCLUSTER_HOME",
        value_name = "DIR",
        help_heading = "Global options"
    )]
    pub home: Option<PathBuf>,
    /// Answer with one JSON document
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
    /// Say nothing but the answer
    #[arg(
        short,
        long,
        global = true,
        conflicts_with = "verbose",
        help_heading = "Global options"
    )]
    pub quiet: bool,
    /// Say more about what happens
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub verbose: bool,
    /// Colours
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        help_heading = "Global options"
    )]
    pub color: When,
    /// How long to wait for everything together, such as 500ms, 60s or 2m
    #[arg(long, global = true, value_name = "DURATION", default_value = "60s", value_parser = parse_duration, help_heading = "Global options")]
    pub timeout: Duration,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On terminals.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Start the nodes of a new cluster, or all of an existing one
    Start(StartArgs),
    /// Form a cluster from the started nodes, and wait until it is ready
    Create(CreateArgs),
    /// Start and create in one, as fast as the server allows
    Up(StartArgs),
    /// Show what runs, who owns which slots, and what is wrong
    Status,
    /// Show all clusters
    List,
    /// End every node, and wait until all are gone
    Stop(StopArgs),
    /// Delete the data of a stopped cluster
    Clean(CleanArgs),
    /// Stop a cluster and delete its data
    Down(DownArgs),
    /// Check whether this machine is fit to run a cluster, and say how to make it so
    Doctor(DoctorArgs),
    /// Show rcluster's version
    Version,
}

/// Arguments of `start` and `up`.
#[derive(Args, Clone, Debug)]
pub struct StartArgs {
    /// Primaries [default: 3]
    #[arg(long, value_name = "N")]
    pub primaries: Option<usize>,
    /// Replicas of each primary [default: 1]
    #[arg(long, value_name = "N", alias = "cluster-replicas")]
    pub replicas: Option<usize>,
    /// First client port, or `auto` [default: 30001]
    #[arg(long, value_name = "BASE|auto")]
    pub port: Option<PortChoice>,
    /// First bus port, or `auto` [default: auto]
    #[arg(long, value_name = "BASE|auto")]
    pub bus_port: Option<PortChoice>,
    /// Address to listen on; loopback only [default: 127.0.0.1]
    #[arg(long, value_name = "ADDR")]
    pub bind: Option<IpAddr>,
    /// Server program, by path or by name [default: redis-server or valkey-server on PATH]
    #[arg(long, value_name = "PATH|NAME", env = "RCLUSTER_SERVER")]
    pub server: Option<String>,
    /// cluster-node-timeout [default: 2s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub node_timeout: Option<Duration>,
    /// A line for every redis.conf; may be repeated
    #[arg(long, value_name = "DIRECTIVE=VALUE")]
    pub set: Vec<String>,
    /// A file of lines for every redis.conf; --set wins over it
    #[arg(long, value_name = "FILE")]
    pub conf: Option<PathBuf>,
    /// Persist nothing: started again it comes back formed and empty
    #[arg(long)]
    pub ephemeral: bool,
    /// Keep what a failed first start has made
    #[arg(long)]
    pub retain: bool,
    /// Give existing data to an older server, or to one of the other kind
    #[arg(short, long)]
    pub yes: bool,
}

/// Arguments of `create`.
#[derive(Args, Clone, Debug)]
pub struct CreateArgs {
    /// Primaries; must fit what was started
    #[arg(long, value_name = "N")]
    pub primaries: Option<usize>,
    /// Replicas of each primary; must fit what was started
    #[arg(long, value_name = "N", alias = "cluster-replicas")]
    pub replicas: Option<usize>,
    /// Print the commands, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `stop`.
#[derive(Args, Clone, Debug)]
pub struct StopArgs {
    /// How long a node may take to end before it is killed [default: 15s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub grace: Option<Duration>,
}

/// Arguments of `clean`.
#[derive(Args, Clone, Debug)]
pub struct CleanArgs {
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// Arguments of `down`.
#[derive(Args, Clone, Debug)]
pub struct DownArgs {
    /// How long a node may take to end before it is killed [default: 15s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub grace: Option<Duration>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// Arguments of `doctor`.
#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// Primaries that the machine is to carry [default: 3]
    #[arg(long, value_name = "N")]
    pub primaries: Option<usize>,
    /// Replicas of each primary [default: 1]
    #[arg(long, value_name = "N", alias = "cluster-replicas")]
    pub replicas: Option<usize>,
    /// Server program, by path or by name [default: redis-server or valkey-server on PATH]
    #[arg(long, value_name = "PATH|NAME", env = "RCLUSTER_SERVER")]
    pub server: Option<String>,
}

/// What is said instead of doing anything: help, the version, or what is wrong with the arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The text, with colours if they are wanted.
    pub text: String,
    /// Whether it is an answer (help, version) and not an error.
    pub is_answer: bool,
    /// 0 for answers, 2 for errors.
    pub exit_code: u8,
}

/// Reads the command line. `paints` says whether colours are wanted on standard output (`true`) or
/// standard error.
pub fn parse(arguments: &[OsString], paints: impl Fn(bool) -> bool) -> Result<Cli, Refusal> {
    let read = || -> Result<Cli, clap::Error> {
        let mut command = Cli::command();
        let matches = command.try_get_matches_from_mut(arguments)?;
        Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    };
    read().map_err(|error| {
        let text = error.render();
        let is_answer = !error.use_stderr();
        Refusal {
            text: if paints(is_answer) {
                text.ansi().to_string()
            } else {
                text.to_string()
            },
            is_answer,
            exit_code: u8::try_from(error.exit_code()).unwrap_or(2),
        }
    })
}

/// What `--color` says, looked for before clap reads the rest; `None` for auto.
pub fn wants_color(arguments: &[OsString]) -> Option<bool> {
    match wish(arguments, "--color") {
        Some("always") => Some(true),
        Some("never") => Some(false),
        _ => None,
    }
}

/// Whether the answer was to be JSON, where the command line cannot be read as a whole.
pub fn wants_json(arguments: &[OsString]) -> bool {
    arguments
        .iter()
        .skip(1)
        .take_while(|argument| *argument != "--")
        .any(|argument| argument == "--json")
}

/// The value of `option`, looked for before clap reads the rest.
fn wish<'a>(arguments: &'a [OsString], option: &str) -> Option<&'a str> {
    arguments.iter().enumerate().find_map(|(at, argument)| {
        let argument = argument.to_str()?;
        if argument == option {
            return arguments.get(at + 1)?.to_str();
        }
        argument.strip_prefix(option)?.strip_prefix('=')
    })
}

fn parse_name(text: &str) -> Result<ClusterName, String> {
    text.parse()
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| "expected a number with a unit, such as 500ms, 60s or 2m".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Cli, Refusal> {
        let arguments: Vec<OsString> = line.split(' ').map(Into::into).collect();
        parse(&arguments, |_| false)
    }

    #[test]
    fn the_command_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_stand_before_or_after_the_verb() {
        for line in ["rcluster -n a --json status", "rcluster status --json -n a"] {
            let cli = read(line).expect("valid");
            assert!(cli.global.json && cli.global.name.as_str() == "a", "{line}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "rcluster",
            "rcluster frobnicate",
            "rcluster run -- true",
            "rcluster -n ../x status",
            "rcluster up --port 0",
            "rcluster up --port 65536",
            "rcluster up --primaries -1",
            "rcluster up --primaries three",
            "rcluster up --bind localhost",
            "rcluster up --timeout 5",
            "rcluster up --node-timeout x",
            "rcluster -q -v status",
            "rcluster stop --color sometimes",
        ] {
            assert_eq!(read(line).expect_err(line).exit_code, 2, "{line}");
        }
    }
}
