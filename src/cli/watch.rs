//! The arguments of `watch`.

use std::time::Duration;

use clap::Args;

use super::parse_duration;

/// Arguments of `watch`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct WatchArgs {
    /// How often to look at every node
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    pub interval: Duration,
}

const EXAMPLES: &str = "\
Keys: q quits, j and k choose a node, l shows its log, n finds the next problem, space freezes, ? says more.

Examples:
  rcluster watch                       the cluster, once a second
  rcluster watch -n other --interval 5s
  NO_COLOR=1 rcluster watch            without colours; in a C locale it is ASCII only
  rcluster status                      for scripts and pipes: one answer, also as --json";
