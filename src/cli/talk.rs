//! The arguments of `cli` and `call`.

use std::ffi::OsString;

use clap::Args;

use crate::plan::Target;

const CLI_EXAMPLES: &str = "\
Examples:
  rcluster cli                            a prompt at the first living node
  rcluster cli -- SET wat 2               one command, wherever the key lives
  rcluster cli primary:2 -- --scan        options of redis-cli go behind -- too
  rcluster cli --builtin                  without redis-cli; also reads a command a line from a pipe

NODE is a port, an index, the beginning of an id, HOST:PORT, primary:SHARD, replica:SHARD.PLACE,
slot:N or key:KEY; of several the first that lives. The redis-cli or valkey-cli beside the cluster's
server is run, else the one on PATH, with the right address, TLS and user; the password is in its
environment alone. Where there is none (or none with TLS, if that is needed) rcluster's own prompt
takes its place: it follows redirects within this cluster, shows answers as redis-cli does, keeps
its history in memory, and knows of redis-cli's options -e, --raw and --no-raw. The exit code is
redis-cli's.";

/// Arguments of `cli`.
#[derive(Args, Clone, Debug)]
#[command(after_help = CLI_EXAMPLES)]
pub struct CliArgs {
    /// The node to talk to [default: the first that lives]
    #[arg(value_name = "NODE", value_parser = parse_node)]
    pub node: Option<Target>,
    /// A command, or options of redis-cli
    #[arg(last = true, value_name = "ARGS")]
    pub args: Vec<OsString>,
    /// Use rcluster's own prompt, even if redis-cli is installed
    #[arg(long)]
    pub builtin: bool,
}

const CALL_EXAMPLES: &str = "\
Examples:
  rcluster call -- PING
  rcluster call -- CONFIG SET maxmemory 100mb
  rcluster call --on primary -- DBSIZE
  rcluster call --on replica:1 --on 30002 --json -- INFO replication

SELECTOR is all, primary, replica, primary:SHARD, replica:SHARD, a port, an index, the beginning of
an id, HOST:PORT, slot:N or key:KEY. The command goes to each node as it is, at the same time, and
nothing is asked: FLUSHALL is done. Redirects are not followed. Each node has --timeout to answer.

Exit codes: 0 every node answered without an error, 1 some did not, 8 all refused for want of
rights, 3 none runs, 4 no such cluster. With --json the document is on standard output for 0, 1
and 8: read each node's ok.";

/// Arguments of `call`.
#[derive(Args, Clone, Debug)]
#[command(after_help = CALL_EXAMPLES, override_usage = "rcluster call [OPTIONS] [--] CMD...")]
pub struct CallArgs {
    /// The nodes to call; may be repeated [default: all]
    #[arg(long, value_name = "SELECTOR", value_parser = parse_node)]
    pub on: Vec<Target>,
    /// The command
    #[arg(
        value_name = "CMD",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub command: Vec<OsString>,
}

fn parse_node(text: &str) -> Result<Target, String> {
    let hint = |why| format!("{why}; a command goes behind --");
    text.parse().map_err(hint)
}
