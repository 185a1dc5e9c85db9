//! `env`: what a program needs to know to talk to a cluster, as variables of its environment.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};

use super::answer::{Answer, Entrance, NodeAnswer, ProcessState, State};
use super::context::Context;
use super::status::status;
use crate::error::{Error, NodeProblem, Result};
use crate::plan::Secrets;

/// The names of all variables that there can be.
pub const VARIABLES: [&str; 13] = [
    "RCLUSTER_NAME",
    "RCLUSTER_HOME",
    "REDIS_URL",
    "REDIS_CLUSTER_NODES",
    "RCLUSTER_PORTS",
    "REDIS_TLS_URL",
    "RCLUSTER_TLS_CA",
    "RCLUSTER_TLS_CERT",
    "RCLUSTER_TLS_KEY",
    "REDIS_USERNAME",
    "REDIS_PASSWORD_FILE",
    "REDIS_PASSWORD",
    "REDISCLI_AUTH",
];

/// One variable. Printed with `{:?}`, it keeps its secret.
#[derive(Clone, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    value: Value,
}

#[derive(Clone, Debug)]
enum Value {
    Open(String),
    Secret(SecretString),
}

impl Variable {
    fn new(name: &'static str, value: impl Into<String>) -> Self {
        debug_assert!(VARIABLES.contains(&name), "{name}");
        let value = Value::Open(value.into());
        Self { name, value }
    }

    fn secret(name: &'static str, value: &str) -> Self {
        debug_assert!(VARIABLES.contains(&name), "{name}");
        let value = Value::Secret(value.into());
        Self { name, value }
    }

    /// Whether it tells a password.
    pub fn is_secret(&self) -> bool {
        matches!(self.value, Value::Secret(_))
    }

    /// Its value, secret or not.
    pub fn expose(&self) -> &str {
        match &self.value {
            Value::Open(value) => value,
            Value::Secret(value) => value.expose_secret(),
        }
    }
}

/// How variables are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvFormat {
    /// `export NAME='value'`, for POSIX shells.
    Sh,
    /// `set -gx NAME 'value'`, for fish.
    Fish,
    /// `NAME=value`, for `.env` files.
    Dotenv,
    /// For the file that `$GITHUB_ENV` names.
    Github,
    /// One object.
    Json,
}

/// What `env` answers.
#[derive(Clone, Debug)]
pub struct EnvAnswer {
    /// The cluster.
    pub name: String,
    /// How it is.
    pub state: State,
    /// The variables, in order.
    pub variables: Vec<Variable>,
    /// The password, whether it is among them or not; `None` if there is none, or none can be read.
    pub password: Option<SecretString>,
}

/// The variables of a cluster that runs; with those that tell its password if `with_secrets`.
pub async fn env(context: &Context, with_secrets: bool) -> Result<EnvAnswer> {
    let answer = status(context).await?;
    first_living(&answer)?;
    let secrets = if with_secrets {
        Some(secrets(context, &answer)?)
    } else {
        None
    };
    let variables = environment(&answer, context.home.path(), secrets.as_ref())?;
    if let Some(note) = caution(&answer) {
        context.events.note(note);
    }
    let secrets = match secrets {
        Some(known) => Some(known),
        None => self::secrets(context, &answer).ok(),
    };
    Ok(EnvAnswer {
        name: answer.name,
        state: answer.state,
        variables,
        password: secrets.and_then(|secrets| secrets.password),
    })
}

/// The secrets of the cluster that `answer` is about; its password, if it has one, is among them.
pub(super) fn secrets(context: &Context, answer: &Answer) -> Result<Secrets> {
    let (cluster, _) = context.existing()?;
    let secrets = cluster.secrets()?;
    if answer.entrance.password_file.is_some() && secrets.password.is_none() {
        return Err(Error::Corrupt {
            path: cluster.password_path(),
            why: "it is gone".into(),
        });
    }
    Ok(secrets)
}

/// What somebody who is about to use a cluster should know; `None` for one that is well.
pub(super) fn caution(answer: &Answer) -> Option<String> {
    let name = &answer.name;
    match answer.state {
        State::Ok | State::Stopped => None,
        State::Degraded => {
            let problem = answer.problems.first()?;
            Some(format!(
                "cluster \"{name}\" is degraded: {} {}{}",
                problem.node,
                problem.message,
                match answer.problems.len() {
                    1 => String::new(),
                    more => format!(", and {} more", more - 1),
                }
            ))
        }
        State::Forming => Some(format!("cluster \"{name}\" is being formed")),
        State::Unformed => Some(format!("the nodes of \"{name}\" are no cluster yet")),
    }
}

/// What to do about nodes that cannot be talked to.
pub(super) const UNHEARD: &str = "look at `{rcluster} status`; nodes that hang or do not run are started again by: {rcluster} restart";

/// The first node that answers. A cluster without one does not run, unless there are nodes that hang.
pub(super) fn first_living(answer: &Answer) -> Result<&NodeAnswer> {
    let of = |state| {
        answer
            .nodes
            .iter()
            .filter(move |node| node.process == state)
    };
    of(ProcessState::Running).next().ok_or_else(|| {
        let hung = of(ProcessState::Hung);
        let nodes: Vec<NodeProblem> = hung
            .map(|node| NodeProblem::new(node.addr, node.process.absence()))
            .collect();
        if nodes.is_empty() {
            Error::NotRunning {
                name: answer.name.clone(),
            }
        } else {
            Error::Nodes {
                message: "no node answers".into(),
                nodes,
                hint: Some(UNHEARD),
            }
        }
    })
}

/// The variables that tell a program how to talk to the cluster of `answer`, which is kept in
/// `home`; with those that tell its password if there are `secrets`. None of them is an input of
/// rcluster but its name and home: where they are set, rcluster means this cluster.
///
/// A node whose port somebody else holds is not named: programs would tell it the password.
pub fn environment(
    answer: &Answer,
    home: &Path,
    secrets: Option<&Secrets>,
) -> Result<Vec<Variable>> {
    let first = first_living(answer)?;
    let entrance = &answer.entrance;
    let is_ours = |node: &&NodeAnswer| node.process != ProcessState::Foreign;
    let nodes = || answer.nodes.iter().filter(is_ours);
    let password = secrets.and_then(|secrets| secrets.password.as_ref());
    let password = password.map(SecretString::expose_secret);

    let url = |name, scheme: &str, port: u16| {
        let at = SocketAddr::new(first.addr.host, port);
        let text = url(scheme, at, entrance, password);
        match password {
            None => Variable::new(name, text),
            Some(_) => Variable::secret(name, &text),
        }
    };
    let joined = |of: fn(&NodeAnswer) -> String| nodes().map(of).collect::<Vec<_>>().join(",");

    let scheme = if entrance.plain { "redis" } else { "rediss" };
    let mut variables = vec![
        Variable::new("RCLUSTER_NAME", &answer.name),
        Variable::new("RCLUSTER_HOME", text(home)?),
        url("REDIS_URL", scheme, first.addr.port),
        Variable::new("REDIS_CLUSTER_NODES", joined(|node| node.addr.to_string())),
        Variable::new("RCLUSTER_PORTS", joined(|node| node.addr.port.to_string())),
    ];
    if let Some(ca) = &entrance.ca {
        variables.push(url("REDIS_TLS_URL", "rediss", first.addr.peer_port()));
        variables.push(Variable::new("RCLUSTER_TLS_CA", text(ca)?));
    }
    if let Some((certificate, key)) = &entrance.client_certificate {
        variables.push(Variable::new("RCLUSTER_TLS_CERT", text(certificate)?));
        variables.push(Variable::new("RCLUSTER_TLS_KEY", text(key)?));
    }
    if let Some(file) = &entrance.password_file {
        if let Some(user) = &entrance.user {
            variables.push(Variable::new("REDIS_USERNAME", user));
        }
        variables.push(Variable::new("REDIS_PASSWORD_FILE", text(file)?));
    }
    if let Some(password) = password {
        variables.push(Variable::secret("REDIS_PASSWORD", password));
        variables.push(Variable::secret("REDISCLI_AUTH", password));
    }
    Ok(variables)
}

/// The URL of a node at `at`: with `redis` as its scheme, or `rediss` for TLS; with user and password,
/// if there is a password.
pub fn url(scheme: &str, at: SocketAddr, entrance: &Entrance, password: Option<&str>) -> String {
    let Some(password) = password else {
        return format!("{scheme}://{at}");
    };
    // Named, since redis-cli of 7.0 takes `redis://:password@` for a user whose name is empty.
    let user = encoded(entrance.user.as_deref().unwrap_or("default"));
    format!("{scheme}://{user}:{}@{at}", encoded(password))
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| {
        Error::usage(
            format!(
                "{} is not UTF-8, so not every program could read it from its environment",
                path.display()
            ),
            "choose another --home",
        )
    })
}

/// `text` as a part of a URL: all but the letters, digits and marks that every part may have is
/// percent-encoded.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // A string takes whatever is written to it.
            write!(encoded, "%{byte:02X}").ok();
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(text: &str) -> Vec<u8> {
        let mut bytes = text.bytes();
        let mut decoded = Vec::new();
        while let Some(byte) = bytes.next() {
            let mut digit = || char::from(bytes.next().expect("two digits")).to_digit(16);
            decoded.push(match byte {
                b'%' => {
                    let (high, low) = (digit().expect("hex"), digit().expect("hex"));
                    u8::try_from(high * 16 + low).expect("a byte")
                }
                byte => byte,
            });
        }
        decoded
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_of_harmless_characters_and_comes_back(secret in any::<String>()) {
            let text = encoded(&secret);
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)));
            prop_assert_eq!(decoded(&text), secret.as_bytes());
        }
    }

    #[test]
    fn a_secret_variable_does_not_show_it() {
        let variable = Variable::secret("REDIS_PASSWORD", "hunter2");
        assert!(!format!("{variable:?}").contains("hunter2"));
        assert_eq!(variable.expose(), "hunter2");
    }
}
