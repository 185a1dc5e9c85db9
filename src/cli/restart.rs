//! The arguments of `restart`.

use std::time::Duration;

use clap::Args;

use super::parse_duration;
use crate::plan::Target;

const EXAMPLES: &str = "\
Examples:
  rcluster restart                every node: replicas first, then primaries, one at a time
  rcluster restart replica        only the replicas
  rcluster restart 30002 --grace 1s

After each node it waits until the cluster is ready again. Nodes that do not run, or hang, come
first; a cluster that does not run at all is started. A primary that persists is simply ended: its
slots wait until it is back. One that persists nothing hands them to a replica in sync before it
ends; where there is none, --yes is needed. One that writes only snapshots, and had to be killed, is
started when a replica has taken its place. Without --timeout each node has 60s; with it, all
together have as long as it says.";

/// Arguments of `restart`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RestartArgs {
    /// Nodes: port, index, id, HOST:PORT, primary, replica, primary:2, slot:N, key:KEY [default: all]
    #[arg(value_name = "NODE")]
    pub nodes: Vec<Target>,
    /// How long a node may take to end before it is killed [default: 15s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub grace: Option<Duration>,
    /// Restart nodes too that will lose what they hold; other nodes than those named lose nothing
    #[arg(short, long)]
    pub yes: bool,
}
