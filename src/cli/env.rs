//! The arguments of `env`.

use clap::{Args, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  eval \"$(rcluster env)\"                             in sh, bash, zsh; the quotes matter
  rcluster env --format fish | source                in fish
  rcluster env --format dotenv > .env
  rcluster env --format github >> \"$GITHUB_ENV\"      in a step of a GitHub workflow
  rcluster env --json | jq -r .env.REDIS_URL

Variables: RCLUSTER_NAME and RCLUSTER_HOME (later calls of rcluster mean this cluster), REDIS_URL of
the first living node, REDIS_CLUSTER_NODES (HOST:PORT,...), RCLUSTER_PORTS (PORT,...).
With TLS: REDIS_TLS_URL, RCLUSTER_TLS_CA; where a client certificate is demanded RCLUSTER_TLS_CERT
and RCLUSTER_TLS_KEY. With a password: REDIS_PASSWORD_FILE; REDIS_USERNAME if it is an ACL user's.
--with-secrets puts user and password into the URLs and adds REDIS_PASSWORD and REDISCLI_AUTH, which
redis-cli and valkey-cli read. Of these variables, those that the shell has of another cluster are
unset (sh, fish). With --format github it writes ::add-mask:: lines to standard error
too, where the runner heeds them, and which is not what goes to $GITHUB_ENV.

Exit codes: 1 no node answers, 3 not running, 4 no such cluster; a degraded cluster has an environment too, and a note.";

/// Arguments of `env`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct EnvArgs {
    /// How to write them; the same everywhere, whatever $SHELL is
    #[arg(long, value_name = "FORMAT", default_value = "sh")]
    pub format: Format,
    /// Tell the password too
    #[arg(long)]
    pub with_secrets: bool,
}

/// How variables are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For eval in POSIX shells
    Sh,
    /// For source in fish
    Fish,
    /// For .env files; refuses a value that not all their readers read alike
    Dotenv,
    /// For the environment file of a GitHub workflow
    Github,
    /// One object
    Json,
}
