//! The command line: what may be written, and nothing about what it means.

mod complete;
mod env;
mod help;
mod keys;
mod line;
mod logs;
mod other_words;
mod pages;
mod parsed;
mod refusal;
mod restart;
mod run;
mod server;
mod talk;
mod up;
mod wait;
mod watch;

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

pub use complete::{Candidate, Completion, CompletionsArgs, Shell, Wanted};
pub use env::{EnvArgs, Format};
pub use help::command;
pub use line::{CommandLine, PASSWORD_VARIABLE, Refused};
pub use logs::LogsArgs;
pub use pages::{ManArgs, Page, pages};
pub use parsed::Parsed;
pub use refusal::Refusal;

use crate::plan::PortChoice;
use crate::store::ClusterName;
pub use restart::RestartArgs;
pub use run::RunArgs;
pub use server::{InstallArgs, RemoveArgs, ServerVerb, UseArgs};
pub use talk::{CallArgs, CliArgs};
pub use up::{RestartPolicy, UpArgs};
pub use wait::{Goal, WaitArgs};
pub use watch::WatchArgs;

/// A real Redis or Valkey Cluster in a fraction of a second, and one tool for all that happens to it afterwards
#[derive(Debug, Parser)]
#[command(name = "rcluster", version, arg_required_else_help = true, disable_help_subcommand = true, after_help = help::EXAMPLES)]
pub struct Cli {
    /// Options of every verb.
    #[command(flatten)]
    pub global: Global,
    /// The verb.
    #[command(subcommand)]
    pub verb: Verb,
    /// Whether --timeout was given: verbs that fetch or build have no other deadline.
    #[arg(skip)]
    pub timeout_given: bool,
}

/// Options of every verb, before or after it.
#[derive(Args, Clone, Debug)]
pub struct Global {
    /// The cluster's name: lower-case letters, digits and inner hyphens
    #[arg(short, long, global = true, env = "RCLUSTER_NAME", default_value = "default", value_name = "NAME", value_parser = parse_name, help_heading = "Global options")]
    pub name: ClusterName,
    /// Where clusters are kept.
    #[arg(
        long,
        help = "Where clusters are kept [default: $XDG_STATE_HOME/rcluster or ~/.local/state/rcluster]",
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
    #[arg(short, long, global = true, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes", hide_possible_values = true, value_parser = BoolishValueParser::new(), help_heading = "Global options")]
    pub quiet: Option<bool>,
    /// Say more about what happens
    #[arg(short, long, global = true, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes", hide_possible_values = true, value_parser = BoolishValueParser::new(), help_heading = "Global options")]
    pub verbose: Option<bool>,
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
    /// File of settings instead of the rcluster.toml found upwards from here; `none` reads no file
    #[arg(
        long,
        global = true,
        env = "RCLUSTER_CONFIG",
        value_name = "FILE|none",
        help_heading = "Global options"
    )]
    pub config: Option<PathBuf>,
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
    #[command(after_help = help::START)]
    Start(StartArgs),
    /// Form a cluster from the started nodes, and wait until it is ready
    #[command(after_help = help::CREATE)]
    Create(CreateArgs),
    /// Start and create in one, as fast as the server allows
    #[command(after_help = help::UP)]
    Up(UpArgs),
    /// Run a command with a cluster of its own, which is gone when the command has ended
    Run(RunArgs),
    /// Show what runs, who owns which slots, and what is wrong
    #[command(after_help = help::STATUS)]
    Status,
    /// Show all clusters
    #[command(after_help = help::LIST)]
    List,
    /// Show a cluster on the whole screen, as it goes on, with what happens to it
    Watch(WatchArgs),
    /// Say how programs reach the cluster, as variables for a shell, a file or CI
    Env(EnvArgs),
    /// Open redis-cli or valkey-cli on the cluster, or a prompt like theirs
    Cli(CliArgs),
    /// Send a command to every node, or to some, and show each one's answer
    Call(CallArgs),
    /// End every node, and wait until all are gone
    #[command(after_help = help::STOP)]
    Stop(StopArgs),
    /// Restart nodes one after the other, keeping their data
    Restart(RestartArgs),
    /// Delete the data of a stopped cluster
    #[command(after_help = help::CLEAN)]
    Clean(CleanArgs),
    /// Stop a cluster and delete its data
    #[command(after_help = help::DOWN)]
    Down(DownArgs),
    /// Wait until a cluster is ready, serves, or has stopped
    Wait(WaitArgs),
    /// Show what the nodes' logs say, in the order of time
    Logs(LogsArgs),
    /// Get a server without a package manager, and choose the one that runs
    #[command(subcommand, after_help = help::SERVER)]
    Server(ServerVerb),
    /// Check whether this machine is fit to run a cluster, and say how to make it so
    #[command(after_help = help::DOCTOR)]
    Doctor(DoctorArgs),
    /// Show the settings that count, and where they come from
    #[command(subcommand, arg_required_else_help = true, after_help = help::CONFIG)]
    Config(ConfigVerb),
    /// Write the completions of a shell: verbs, options, values, clusters, nodes and servers
    #[command(after_help = help::COMPLETIONS)]
    Completions(CompletionsArgs),
    /// Show the manual page of rcluster or of a verb, or write all of them
    #[command(after_help = help::MAN)]
    Man(ManArgs),
    /// Show rcluster's version
    #[command(after_help = help::VERSION)]
    Version,
}

/// What can be done with settings.
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Show the value of every option as rcluster.toml would have it; takes the options of `up` too
    #[command(after_help = help::CONFIG_SHOW)]
    Show(ConfigShowArgs),
}

/// Arguments of `config show`.
#[derive(Args, Clone, Debug)]
pub struct ConfigShowArgs {
    /// Say where each value comes from
    #[arg(long)]
    pub origin: bool,
    /// What is shown beside what files and the environment say.
    #[command(flatten)]
    pub shape: StartArgs,
}

/// Arguments of `start` and `up`: the shape of a cluster.
#[derive(Args, Clone, Debug, Default)]
pub struct StartArgs {
    /// Primaries [default: 3]
    #[arg(long, value_name = "N", help_heading = SHAPE)]
    pub primaries: Option<usize>,
    /// Replicas of each primary [default: 1]
    #[arg(long, value_name = "N", alias = "cluster-replicas", help_heading = SHAPE)]
    pub replicas: Option<usize>,
    /// Server program, by path or by name [default: that of `server use`, else redis-server or valkey-server on PATH, else the newest installed]
    #[arg(long, value_name = "PATH|NAME", env = "RCLUSTER_SERVER", help_heading = SHAPE)]
    pub server: Option<String>,
    /// Another server program for some nodes, such as `replica=/opt/valkey-server`; may be repeated
    #[arg(long, value_name = "NODES=PATH", help_heading = SHAPE)]
    pub server_for: Vec<String>,
    /// cluster-node-timeout [default: 2s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = SHAPE)]
    pub node_timeout: Option<Duration>,
    /// Persist nothing: started again it comes back formed and empty
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes", hide_possible_values = true, value_parser = BoolishValueParser::new(), help_heading = SHAPE)]
    pub ephemeral: Option<bool>,

    /// First client port, or `auto` [default: 30001]
    #[arg(long, value_name = "BASE|auto", help_heading = ADDRESSES)]
    pub port: Option<PortChoice>,
    /// First bus port, or `auto` [default: auto]
    #[arg(long, value_name = "BASE|auto", help_heading = ADDRESSES)]
    pub bus_port: Option<PortChoice>,
    /// First TLS port beside plain ones (--tls=both), or `auto` [default: auto]
    #[arg(long, value_name = "BASE|auto", help_heading = ADDRESSES)]
    pub tls_port: Option<PortChoice>,
    /// Address to listen on; may be repeated [default: 127.0.0.1]
    #[arg(long, value_name = "ADDR", value_delimiter = ',', help_heading = ADDRESSES)]
    pub bind: Vec<IpAddr>,
    /// Listen on a Unix socket in each node's directory too
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes", hide_possible_values = true, value_parser = BoolishValueParser::new(), help_heading = ADDRESSES)]
    pub unix_socket: Option<bool>,
    /// Address that nodes give to clients and to each other
    #[arg(long, value_name = "ADDR", help_heading = ADDRESSES)]
    pub announce_ip: Option<IpAddr>,
    /// First port that nodes give to clients
    #[arg(long, value_name = "BASE", help_heading = ADDRESSES)]
    pub announce_port: Option<u16>,
    /// First bus port that nodes give to each other
    #[arg(long, value_name = "BASE", help_heading = ADDRESSES)]
    pub announce_bus_port: Option<u16>,
    /// Host name that nodes give to clients; {index} and {port} are the node's own
    #[arg(long, value_name = "NAME", help_heading = ADDRESSES)]
    pub announce_hostname: Option<String>,

    /// A line for every redis.conf; may be repeated
    #[arg(long, value_name = "DIRECTIVE=VALUE", help_heading = CONFIGURATION)]
    pub set: Vec<String>,
    /// A line for some nodes' redis.conf, such as `--set-for replica:2 maxmemory=100mb`; may be repeated
    #[arg(long, num_args = 2, value_names = ["NODES", "DIRECTIVE=VALUE"], help_heading = CONFIGURATION)]
    pub set_for: Vec<String>,
    /// A file of lines for every redis.conf; --set wins over it
    #[arg(long, value_name = "FILE", help_heading = CONFIGURATION)]
    pub conf: Option<PathBuf>,
    /// A module for every node, with its arguments; may be repeated
    #[arg(long, value_name = "FILE [ARGS]", help_heading = CONFIGURATION)]
    pub loadmodule: Vec<String>,

    /// Password of the nodes, read from a file or from standard input (-); also `RCLUSTER_PASSWORD`
    #[arg(long, value_name = "FILE|-", help_heading = SECURITY)]
    pub password_file: Option<PathBuf>,
    /// Make up a password
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes", hide_possible_values = true, value_parser = BoolishValueParser::new(), help_heading = SECURITY)]
    pub generate_password: Option<bool>,
    /// ACL file; each node gets a copy
    #[arg(long, value_name = "FILE", help_heading = SECURITY)]
    pub aclfile: Option<PathBuf>,
    /// ACL user that rcluster is, with the password above [default: default]
    #[arg(long, value_name = "NAME", help_heading = SECURITY)]
    pub user: Option<String>,
    /// ACL user that replicas are [default: the same]
    #[arg(long, value_name = "NAME", help_heading = SECURITY)]
    pub replication_user: Option<String>,
    /// Password of that user [default: the same]
    #[arg(long, value_name = "FILE|-", requires = "replication_user", help_heading = SECURITY)]
    pub replication_password_file: Option<PathBuf>,
    /// TLS everywhere, with certificates made for it; `both` keeps a plain client port
    #[arg(long, value_name = "only|both|no", num_args = 0..=1, require_equals = true, default_missing_value = "only", help_heading = SECURITY)]
    pub tls: Option<TlsPorts>,
    /// What TLS asks of clients and of nodes [default: optional]
    #[arg(long, value_name = "no|optional|yes", help_heading = SECURITY)]
    pub tls_auth_clients: Option<AuthClients>,
    /// Your own CA instead of one made for the cluster
    #[arg(long, value_name = "FILE", requires = "tls_cert", help_heading = SECURITY)]
    pub tls_ca: Option<PathBuf>,
    /// Your own certificate for all nodes, with its chain
    #[arg(long, value_name = "FILE", requires = "tls_key", help_heading = SECURITY)]
    pub tls_cert: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "tls_ca", help_heading = SECURITY)]
    pub tls_key: Option<PathBuf>,
    /// Certificate that nodes and rcluster show as clients [default: the same as --tls-cert]
    #[arg(long, value_name = "FILE", requires_all = ["tls_client_key", "tls_cert"], help_heading = SECURITY)]
    pub tls_client_cert: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "tls_client_cert", help_heading = SECURITY)]
    pub tls_client_key: Option<PathBuf>,

    /// Keep what a failed first start has made
    #[arg(long)]
    pub retain: bool,
    /// Give existing data to an older or another kind of server; open an unprotected cluster to the network
    #[arg(short, long)]
    pub yes: bool,
}

const SHAPE: &str = "Shape";
const ADDRESSES: &str = "Addresses";
const CONFIGURATION: &str = "Configuration";
const SECURITY: &str = "Security";

/// Which client ports there are with TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TlsPorts {
    /// Only those of TLS.
    #[value(aliases = ["true", "yes"])]
    Only,
    /// Plain ones too.
    Both,
    /// Plain ones only: no TLS.
    #[value(alias = "false")]
    No,
}

/// What TLS asks of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AuthClients {
    /// No certificate.
    No,
    /// A good certificate, or none.
    Optional,
    /// A good certificate.
    Yes,
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
    /// Only empty the servers' logs: also while they run, and without a question
    #[arg(long)]
    pub logs: bool,
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
    /// Server program, by path or by name [default: that of `server use`, else redis-server or valkey-server on PATH, else the newest installed]
    #[arg(long, value_name = "PATH|NAME", env = "RCLUSTER_SERVER")]
    pub server: Option<String>,
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
    use clap::CommandFactory as _;

    use super::*;

    fn read(line: &str) -> Result<Cli, Refusal> {
        let arguments: Vec<OsString> = line.split(' ').map(Into::into).collect();
        let line = CommandLine::read(&arguments, |_| false)?;
        match line.with(&[], |_| false) {
            Ok(parsed) => Ok(parsed.cli),
            Err(Refused::Arguments(refusal)) => Err(refusal),
            Err(Refused::Settings(error)) => panic!("no files: {error}"),
        }
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
    fn a_timeout_that_was_given_is_told_from_the_default() {
        for (line, given) in [
            ("rcluster server install", false),
            ("rcluster --timeout 60s server install", true),
            ("rcluster server --timeout 60s install", true),
            ("rcluster server install valkey --timeout 60s", true),
            ("rcluster -n a server remove valkey", false),
        ] {
            assert_eq!(read(line).expect("valid").timeout_given, given, "{line}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "rcluster server",
            "rcluster server frobnicate",
            "rcluster server install a b",
            "rcluster server install --make-arg V=1",
            "rcluster server use",
            "rcluster server use --none valkey",
            "rcluster server remove",
            "rcluster",
            "rcluster frobnicate",
            "rcluster run",
            "rcluster run true",
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
