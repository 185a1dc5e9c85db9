//! The arguments of `up`.

use clap::{Args, ValueEnum};

use super::StartArgs;

/// Arguments of `up`: the shape of a cluster, and whether to stay with it.
#[derive(Args, Clone, Debug)]
pub struct UpArgs {
    /// Stay: show the nodes' logs, say when one dies, and stop them all when interrupted (Ctrl-C). A
    /// cluster that this run made is deleted then too
    #[arg(long, help_heading = FOREGROUND)]
    pub foreground: bool,
    /// Which nodes that die are started again
    #[arg(long, value_name = "WHEN", default_value = "never", requires = "foreground", help_heading = FOREGROUND)]
    pub restart: RestartPolicy,
    /// Leave the nodes running when interrupted
    #[arg(long, requires = "foreground", help_heading = FOREGROUND)]
    pub keep: bool,
    /// Its shape.
    #[command(flatten)]
    pub shape: StartArgs,
}

const FOREGROUND: &str = "Foreground";

/// Which nodes that die are started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RestartPolicy {
    /// None.
    Never,
    /// Those that crash or are killed, and whatever else is down then. A primary without persistence waits until a replica has
    /// been promoted, which would copy its emptiness else.
    OnFailure,
}
