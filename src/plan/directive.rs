//! Lines of `redis.conf`: what users may set, and what they may not.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::security::quoted;
use super::spec::NodeSetting;
use crate::error::{Error, Result};

/// One configuration directive, written as `redis.conf` has it: `name value…`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Directive {
    name: String,
    value: String,
}

impl Directive {
    /// The name, in lower case.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The rest of the line, quotes and all; never empty, never with a line break.
    pub fn value(&self) -> &str {
        &self.value
    }

    fn new(name: &str, value: &str) -> Result<Self, String> {
        // The servers accept a quoted name too.
        let name = name.trim().trim_matches(['"', '\'']).to_ascii_lowercase();
        let value = value.trim();
        if name.is_empty()
            || !name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        {
            // Not repeated: it may be a password that lost its place.
            return Err("it begins with something that is no directive's name".into());
        }
        if value.chars().any(|c| c == '\n' || c == '\r' || c == '\0') {
            return Err(format!(
                "the value of {name} has a line break or a NUL in it"
            ));
        }
        if !quotes_are_balanced(value) {
            return Err(format!(
                "the quotes in the value of {name} are not balanced"
            ));
        }
        // An empty value is written as redis.conf wants it, else the line has no argument at all.
        let value = if value.is_empty() { "\"\"" } else { value };
        Ok(Self {
            name,
            value: value.to_owned(),
        })
    }
}

impl FromStr for Directive {
    type Err = String;

    /// Reads a line of `redis.conf`.
    fn from_str(line: &str) -> Result<Self, String> {
        let line = line.trim();
        let (name, value) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        Self::new(name, value)
    }
}

impl TryFrom<String> for Directive {
    type Error = String;

    fn try_from(line: String) -> Result<Self, String> {
        line.parse()
    }
}

impl From<Directive> for String {
    fn from(directive: Directive) -> Self {
        directive.to_string()
    }
}

impl fmt::Display for Directive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.value)
    }
}

/// Whether `sdssplitargs` of the servers would split `text`: each quote closed, and followed by
/// a space or the end.
fn quotes_are_balanced(text: &str) -> bool {
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '"' && c != '\'' {
            continue;
        }
        loop {
            match chars.next() {
                None => return false,
                Some('\\') if c == '"' || chars.peek() == Some(&'\'') => {
                    chars.next();
                }
                Some(end) if end == c => break,
                Some(_) => {}
            }
        }
        if chars.peek().is_some_and(|next| !next.is_whitespace()) {
            return false;
        }
    }
    true
}

/// Why a directive is not the user's to set; `None` if it is.
fn refusal(name: &str) -> Option<&'static str> {
    Some(match name {
        "requirepass" | "masterauth" | "primaryauth" => {
            "passwords are kept apart: pass --password-file"
        }
        "user" => "users have their passwords with them: pass --aclfile",
        "masteruser" | "primaryuser" => "rcluster sets it: pass --replication-user",
        "aclfile" => "each node gets a copy of its own: pass --aclfile",
        "tls-key-file-pass" | "tls-client-key-file-pass" => {
            "pass --tls-key with a key that needs no passphrase"
        }
        "tls-port" | "tls-cluster" | "tls-replication" => "rcluster sets it: pass --tls",
        "tls-auth-clients" => "rcluster sets it: pass --tls-auth-clients",
        "tls-cert-file"
        | "tls-key-file"
        | "tls-ca-cert-file"
        | "tls-ca-cert-dir"
        | "tls-client-cert-file"
        | "tls-client-key-file" => "rcluster sets it: pass --tls-ca, --tls-cert and --tls-key",
        "rename-command" => "rcluster could not work with renamed commands",
        "include" => "pass the lines of the file with --conf",
        "port" => "rcluster chooses it: pass --port",
        "cluster-port" => "rcluster chooses it: pass --bus-port",
        "bind" | "bind-source-addr" => "rcluster sets it: pass --bind",
        "cluster-node-timeout" => "rcluster sets it: pass --node-timeout",
        "cluster-announce-ip" => "rcluster sets it: pass --announce-ip",
        "cluster-announce-port" | "cluster-announce-tls-port" => {
            "rcluster sets it: pass --announce-port"
        }
        "cluster-announce-bus-port" => "rcluster sets it: pass --announce-bus-port",
        "cluster-announce-hostname" => "rcluster sets it: pass --announce-hostname",
        "unixsocket" | "unixsocketperm" => "rcluster sets it: pass --unix-socket",
        "cluster-enabled"
        | "cluster-config-file"
        | "dir"
        | "daemonize"
        | "supervised"
        | "pidfile"
        | "logfile"
        | "syslog-enabled"
        | "proc-title-template"
        | "set-proc-title"
        | "replicaof"
        | "slaveof"
        | "sentinel" => "rcluster sets it itself",
        _ => return None,
    })
}

/// Whether a value can name a file in a node's directory that is not one of ours.
fn is_data_name(value: &str) -> bool {
    let name = value.trim_matches(['"', '\'']);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !name.is_empty()
        && name.bytes().all(plain)
        && ![
            ".",
            "..",
            "redis.conf",
            "nodes.conf",
            "server.log",
            "users.acl",
            "redis.sock",
        ]
        .contains(&name)
}

fn allowed(directive: Directive, source: &str) -> Result<Directive> {
    let names_data = ["appenddirname", "appendfilename", "dbfilename"].contains(&directive.name());
    if names_data && !is_data_name(directive.value()) {
        return Err(Error::usage(
            format!(
                "{source} gives {} a value that is no plain file name",
                directive.name()
            ),
            "use letters, digits, dots, hyphens and underscores",
        ));
    }
    match refusal(directive.name()) {
        None => Ok(directive),
        Some(why) => Err(Error::usage(
            format!("{source} sets {}: {why}", directive.name()),
            format!("leave {} out", directive.name()),
        )),
    }
}

/// Reads `--set DIRECTIVE=VALUE`. The value is written as in `redis.conf`, so it may be several words.
pub fn parse_set(text: &str) -> Result<Directive> {
    let hint = "pass --set DIRECTIVE=VALUE, such as --set maxmemory=100mb";
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| Error::usage("--set needs a = between a directive and its value", hint))?;
    let directive =
        Directive::new(name, value).map_err(|why| Error::usage(format!("--set: {why}"), hint))?;
    allowed(directive, "--set")
}

/// Reads `--set-for NODES DIRECTIVE=VALUE`.
pub fn parse_set_for(nodes: &str, text: &str) -> Result<NodeSetting> {
    let example =
        "pass --set-for NODES DIRECTIVE=VALUE, such as --set-for replica:2 maxmemory=100mb";
    let selector = nodes
        .parse()
        .map_err(|why: String| Error::usage(format!("--set-for: {why}"), example))?;
    let (name, value) = text.split_once('=').ok_or_else(|| {
        Error::usage(
            "--set-for needs a = between a directive and its value",
            example,
        )
    })?;
    let directive = Directive::new(name, value)
        .map_err(|why| Error::usage(format!("--set-for: {why}"), example))?;
    Ok(NodeSetting {
        nodes: selector,
        directive: allowed(directive, "--set-for")?,
    })
}

/// The line that loads the module at `path` with `arguments`.
pub fn load_module(path: &str, arguments: &str) -> Result<Directive> {
    let line = format!("{} {arguments}", quoted(path));
    Directive::new("loadmodule", &line).map_err(|why| {
        Error::usage(
            format!("--loadmodule: {why}"),
            "write the arguments as redis.conf has them",
        )
    })
}

/// Reads the text of the `--conf` file at `path`. Blank lines and comments are skipped.
pub fn parse_conf(path: &str, text: &str) -> Result<Vec<Directive>> {
    text.lines()
        .zip(1..)
        .filter(|(line, _)| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
        .map(|(line, number)| {
            let source = format!("{path}, line {number},");
            let directive = line.parse().map_err(|why| {
                Error::usage(
                    format!("{source} cannot be read: {why}"),
                    "write it as redis.conf has it",
                )
            })?;
            allowed(directive, &source)
        })
        .collect()
}

/// The value that the text of a `redis.conf` gives `name`: the last line wins, as in the servers.
pub fn last_value(conf: &str, name: &str) -> Option<String> {
    conf.lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .filter_map(|line| line.parse::<Directive>().ok())
        .rfind(|directive| directive.name() == name)
        .map(|directive| directive.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_as_redis_conf_has_them() {
        let text = |set: &str| parse_set(set).expect("allowed").to_string();
        assert_eq!(text("MaxMemory=100mb"), "maxmemory 100mb");
        assert_eq!(text("save=3600 1 300 100"), "save 3600 1 300 100");
        assert_eq!(text("save="), "save \"\"");
        assert_eq!(
            text("notify-keyspace-events=\"K$\""),
            "notify-keyspace-events \"K$\""
        );
        assert_eq!(text("a=b=c"), "a b=c");
    }

    #[test]
    fn what_rcluster_manages_and_every_secret_is_refused() {
        for bad in [
            "port=1",
            "PORT=1",
            " port =1",
            "dir=/tmp",
            "requirepass=x",
            "masterauth=x",
            "primaryauth=x",
            "user=x on",
            "tls-key-file-pass=x",
            "tls-port=1",
            "rename-command=KEYS x",
            "include=/etc/passwd",
            "aclfile=x",
            "daemonize=yes",
            "cluster-enabled=no",
            "logfile=x",
        ] {
            let error = parse_set(bad).expect_err(bad);
            assert_eq!(error.exit_code(), 2);
            assert!(!error.to_string().contains("=x"), "{error}");
        }
    }

    #[test]
    fn what_is_no_directive_is_refused() {
        for bad in [
            "",
            "=",
            "maxmemory",
            "=1",
            "a b=1",
            "a=1\nport 7",
            "a=\"1",
            "a='x\\'",
            "a=\"b\"c",
            "a=x\0y",
        ] {
            assert_eq!(parse_set(bad).expect_err(bad).exit_code(), 2, "{bad:?}");
        }
    }

    #[test]
    fn a_conf_file_is_read_line_by_line() {
        let conf = "# comment\n\nmaxmemory 10mb\r\n  maxmemory-policy   allkeys-lru\n";
        let directives = parse_conf("x.conf", conf).expect("allowed");
        assert_eq!(
            directives
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
            ["maxmemory 10mb", "maxmemory-policy allkeys-lru"]
        );
        let error = parse_conf("x.conf", "hz 10\ninclude /etc/x\n").expect_err("refused");
        assert!(error.to_string().contains("x.conf, line 2"), "{error}");
    }

    #[test]
    fn the_last_line_wins() {
        let conf = "hz 10\n#hz 5\nHZ 50\nhzz 7\n";
        assert_eq!(last_value(conf, "hz").as_deref(), Some("50"));
        assert_eq!(last_value(conf, "port"), None);
    }
}
