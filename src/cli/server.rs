//! The arguments of `server`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::help;

/// What can be done with server programs.
#[derive(Clone, Debug, Subcommand)]
pub enum ServerVerb {
    /// Show the servers that are installed here, can be installed, or are on PATH
    #[command(after_help = help::SERVER_LIST)]
    List,
    /// Install a server into rcluster's home: no root, no package manager
    #[command(after_help = help::SERVER_INSTALL)]
    Install(InstallArgs),
    /// Choose the server that runs where nobody says another
    #[command(after_help = help::SERVER_USE)]
    Use(UseArgs),
    /// Delete an installed server
    #[command(after_help = help::SERVER_REMOVE)]
    Remove(RemoveArgs),
}

/// Arguments of `server install`.
#[derive(Args, Clone, Debug)]
pub struct InstallArgs {
    /// Which one, such as valkey, redis-6.2 or 9.1; with --from, what to call it [default: valkey-9.1.2]
    #[arg(value_name = "NAME|VERSION")]
    pub server: Option<String>,
    /// Build it with make from a source tarball, or a directory with one unpacked
    #[arg(long, value_name = "TARBALL|DIR")]
    pub from: Option<PathBuf>,
    /// An argument for make, such as `BUILD_TLS=yes`; may be repeated
    #[arg(
        long,
        value_name = "ARG",
        requires = "from",
        allow_hyphen_values = true
    )]
    pub make_arg: Vec<String>,
    /// Install it anew if it is there already
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `server use`.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct UseArgs {
    /// A path, a name on PATH, or an installed server
    #[arg(value_name = "NAME|PATH")]
    pub server: Option<String>,
    /// None: the first on PATH runs, else the newest installed
    #[arg(long)]
    pub none: bool,
}

/// Arguments of `server remove`.
#[derive(Args, Clone, Debug)]
pub struct RemoveArgs {
    /// An installed server
    #[arg(value_name = "NAME")]
    pub server: String,
}

impl ServerVerb {
    /// The verb as it is typed.
    pub fn name(&self) -> &'static str {
        match self {
            Self::List => "server list",
            Self::Install(_) => "server install",
            Self::Use(_) => "server use",
            Self::Remove(_) => "server remove",
        }
    }
}
