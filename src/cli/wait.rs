//! The arguments of `wait`.

use clap::{Args, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  rcluster wait                               until it is ready, or exit 6 after 60s
  rcluster wait --for serving --timeout 5s    after a failover: dead nodes may stay dead
  rcluster wait --for stopped                 until every process is gone

It takes no lock, and may wait in a second shell while `up` or `stop` is at work. The cluster must
be there: before `up` has made it, the answer is exit 4 at once. On timeout it says for each node
what is missing. What waiting cannot cure (a full memory or disk, missing rights) is told at once.";

/// Arguments of `wait`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct WaitArgs {
    /// What to wait for
    #[arg(long = "for", value_name = "GOAL", default_value = "ready")]
    pub goal: Goal,
}

/// What can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Goal {
    /// Every node sees the whole cluster, every replica is in sync, every primary takes writes
    Ready,
    /// The same of the living nodes, while every slot has a living primary
    Serving,
    /// No process is left
    Stopped,
}
