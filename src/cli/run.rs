//! The arguments of `run`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::StartArgs;

/// Arguments of `run`: the shape of a cluster, and a command.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES, mut_arg("retain", |retain| retain.hide(true)))]
pub struct RunArgs {
    /// Where the cluster's temporary home is made [default: in memory, else among temporary files]
    #[arg(long, value_name = "DIR")]
    pub tmp_dir: Option<PathBuf>,
    /// Its shape: ports are `auto` and nothing is persisted, unless these say otherwise.
    #[command(flatten)]
    pub shape: StartArgs,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD", value_hint = clap::ValueHint::CommandName)]
    pub command: Vec<OsString>,
}

const EXAMPLES: &str = "\
The command gets the environment that `rcluster env --with-secrets` shows, REDIS_URL and
REDIS_CLUSTER_NODES among it, and signals are passed on to it. Of rcluster.toml all counts but ports
and `ephemeral`.

Examples:
  rcluster run -- cargo test
  rcluster run --primaries 5 --replicas 0 -- sh -c 'redis-cli -u $REDIS_URL cluster info'
  rcluster run --tls --generate-password -- npm test

Exit codes: that of the command, 128+N if signal N ended it, 125 if there was no cluster for it,
126 if it cannot be run, 127 if there is no such program";
