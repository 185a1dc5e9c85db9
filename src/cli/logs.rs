//! The arguments of `logs`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::parse_duration;
use crate::plan::Target;

const EXAMPLES: &str = "\
Examples:
  rcluster logs                     all lines of all nodes, in the order of time
  rcluster logs -f                  the last 10 lines of each node, and what comes
  rcluster logs --tail 50 30001     the last 50 lines of one node
  rcluster logs --since 5m primary  what the primaries wrote in the last five minutes
  rcluster logs --errors            what went wrong; exit 0 if nothing did, 5 if anything did
  rcluster logs --export artefacts  all that a CI job keeps, without passwords and keys

With --json the answer is one document; with -f too, it is one document a line.

Exit codes: with --errors 0 if nothing went wrong and 5 if anything did; a cluster that does not run
has logs too.";

/// Arguments of `logs`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct LogsArgs {
    /// Nodes: port, index, id, HOST:PORT, primary, replica, primary:2, slot:N, key:KEY [default: all]
    #[arg(value_name = "NODE")]
    pub nodes: Vec<Target>,
    /// Go on while the logs grow, until Ctrl-C or until the cluster is deleted
    #[arg(short, long)]
    pub follow: bool,
    /// Begin with the last N lines of each node [default: all; with -f: 10, or all if --since is given]
    #[arg(long, value_name = "N|all", value_parser = parse_tail)]
    pub tail: Option<u64>,
    /// Leave out what is older, such as 90s, 5m or 2h
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub since: Option<Duration>,
    /// Show only what went wrong: crashes, failed starts, lost replication, failovers, full disks; exit 5 if there is any
    #[arg(long, conflicts_with_all = ["follow", "tail"])]
    pub errors: bool,
    /// Copy logs, configurations without secrets, nodes.conf, the status and the errors into a directory that is empty or not there
    #[arg(long, value_name = "DIR", conflicts_with_all = ["follow", "tail", "since", "errors"])]
    pub export: Option<PathBuf>,
}

/// A number of lines; all of them are more than there can be.
fn parse_tail(text: &str) -> Result<u64, String> {
    if text == "all" {
        return Ok(u64::MAX);
    }
    text.parse()
        .map_err(|_| "expected a number of lines, or all".into())
}
