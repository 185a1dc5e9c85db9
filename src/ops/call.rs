//! `call`: one command, on many nodes at once.

use std::time::Duration;

use futures_util::future::join_all;

use super::context::Context;
use super::fleet::{Fleet, Life, Node};
use super::status::status;
use super::talk::{is_shutdown, unanswerable};
use crate::client::{Access, Fault};
use crate::cluster::{NodeAddr, Resp, is_word};
use crate::error::{Error, Result};
use crate::plan::Target;

/// What one node answered.
#[derive(Clone, Debug)]
pub struct Called {
    /// Its number, from 1.
    pub index: usize,
    /// Where it listens.
    pub addr: NodeAddr,
    /// The answer.
    pub answer: Result<Resp, Silence>,
}

/// Why a node gave no answer.
#[derive(Clone, Debug)]
pub struct Silence {
    /// In the words of a fragment about the node.
    pub why: String,
    /// It did not let us in.
    pub is_refusal: bool,
    /// The time was over.
    pub is_timeout: bool,
}

impl Called {
    /// Whether it answered, and with no error.
    pub fn is_fine(&self) -> bool {
        matches!(&self.answer, Ok(reply) if reply.error().is_none())
    }

    /// Whether it refused for want of rights.
    pub fn is_refusal(&self) -> bool {
        match &self.answer {
            Ok(reply) => reply.error().is_some_and(|error| {
                ["NOPERM", "NOAUTH", "WRONGPASS"]
                    .contains(&error.split(' ').next().unwrap_or_default())
            }),
            Err(silence) => silence.is_refusal,
        }
    }
}

/// Why a command means nothing to a node that hears no other after it; `None` if it does.
fn pointless(words: &[Vec<u8>]) -> Option<String> {
    let names = ["MULTI", "WATCH", "ASKING"];
    let name = names.into_iter().find(|name| is_word(words, 0, name))?;
    Some(format!(
        "{name} is about commands that follow on its connection, and here none does"
    ))
}

/// Sends `words` to every node that `targets` mean, all nodes if there are none; in the order of
/// the nodes. Each has the whole of the verb's time, and none waits for another.
pub async fn call(context: &Context, targets: &[Target], words: &[Vec<u8>]) -> Result<Vec<Called>> {
    if let Some(why) = unanswerable(words).or_else(|| pointless(words)) {
        return Err(Error::usage(why, "run it with {rcluster} cli"));
    }
    let (cluster, manifest) = context.existing()?;
    let mut fleet = Fleet::open(context, &cluster, &manifest)?;
    fleet.refuse_elsewhere()?;
    if !fleet.nodes.iter().any(Node::runs) {
        return Err(Error::NotRunning {
            name: manifest.name.clone(),
        });
    }
    // Who is a primary is known only by asking.
    let meant: Vec<usize> = if targets.is_empty() {
        (0..fleet.nodes.len()).collect()
    } else {
        let answer = status(context).await?;
        answer.find(targets)?
    };
    let (access, limit) = (&fleet.access, context.timeout);
    let asked = fleet.nodes.iter_mut().enumerate();
    let asked = asked.filter(|(place, _)| meant.contains(place));
    let asked = asked.map(async |(place, node)| Called {
        index: place + 1,
        addr: node.addr,
        answer: ask(node, access, limit, words).await,
    });
    Ok(join_all(asked).await)
}

async fn ask(
    node: &mut Node,
    access: &Access,
    limit: Duration,
    words: &[Vec<u8>],
) -> Result<Resp, Silence> {
    let silence = |why: String| Silence {
        why,
        is_refusal: false,
        is_timeout: false,
    };
    match &node.life {
        Life::Dead | Life::Elsewhere => {
            let how = node.has_ended();
            return Err(silence(how.unwrap_or_else(|| "does not run".into())));
        }
        // It would not answer in any time.
        Life::Process(process) if process.is_stopped() => {
            return Err(silence("is stopped (SIGSTOP)".into()));
        }
        Life::Process(_) | Life::Child(_) => {}
    }
    let asked = async {
        node.connect(access, limit).await?;
        match &node.connection {
            Some(connection) => connection.command(words).await,
            None => Err(Fault::Silent),
        }
    };
    let asked = tokio::time::timeout(limit, asked).await;
    match asked.unwrap_or(Err(Fault::Silent)) {
        Ok(reply) => Ok(reply),
        Err(Fault::Silent) => Err(Silence {
            is_timeout: true,
            ..silence(format!("did not answer within {}", span(limit)))
        }),
        Err(Fault::Unreachable { .. }) if node.connection.is_some() && is_shutdown(words) => {
            Ok(Resp::Status("the server closed the connection".into()))
        }
        Err(fault) => Err(Silence {
            is_refusal: fault.is_refusal(),
            ..silence(fault.to_string())
        }),
    }
}

fn span(limit: Duration) -> String {
    humantime::format_duration(limit).to_string()
}
