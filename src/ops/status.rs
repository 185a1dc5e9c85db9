//! `status`: how a cluster is. Takes no lock, waits for nobody longer than a moment.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::answer::{Answer, ProcessState, State};
use super::context::Context;
use super::fleet::{Fleet, Life, Node};
use super::ready::expected;
use crate::client::{Access, Connection, Fault};
use crate::cluster::{NodeAddr, Role};
use crate::error::{Error, NodeProblem, Result};
use crate::plan::{View, missing};
use crate::store::Journal;

/// How long a node may take to answer before it is called hung.
const PATIENCE: Duration = Duration::from_millis(600);

/// How long a port may take to take a connection before it counts as free: a firewall may drop what
/// is sent to it.
const CONNECT: Duration = Duration::from_millis(100);

/// How long it may take to find out that one does not answer because it speaks no TLS.
const EXPLANATION: Duration = Duration::from_millis(350);

/// Looks at the cluster.
pub async fn status(context: &Context) -> Result<Answer> {
    let (cluster, manifest) = context.existing()?;
    let journal = cluster.journal()?;
    // Without a way in, what can be seen from outside is shown all the same.
    let (mut fleet, no_way_in) = match Fleet::open(context, &cluster, &manifest) {
        Ok(fleet) => (fleet, None),
        Err(error @ Error::Corrupt { .. }) => {
            let fleet = Fleet::observe(&cluster, &manifest)?.within(context);
            (fleet, Some(error.to_string()))
        }
        Err(error) => return Err(error),
    };
    let (shards, access) = (fleet.shards, &fleet.access);
    let looks = fleet
        .nodes
        .iter_mut()
        .map(|node| look(node, shards, access));
    let looks = join_all(looks).await;
    let (states, looks): (Vec<ProcessState>, Vec<Result<View, String>>) = looks.into_iter().unzip();

    let problems = if manifest.formed {
        missing(&expected(&fleet, &manifest), &looks)
    } else {
        let names = fleet.names().into_iter();
        names
            .zip(&looks)
            .filter_map(|(name, look)| Some(NodeProblem::new(name, look.as_ref().err()?.clone())))
            .collect()
    };
    let views: Vec<Option<View>> = looks.into_iter().map(Result::ok).collect();
    let mut answer = Answer::new(&cluster, &manifest, &fleet, &views);
    // Nodes believe for a while in others that are dead; a slot is served if its owner answers.
    let served = answer
        .nodes
        .iter()
        .filter(|node| node.role == Some(Role::Primary));
    let served = served
        .flat_map(|node| &node.slots)
        .map(|range| u64::from(range.len()))
        .sum();
    answer.slots_ok = answer.slots_ok.min(served);
    for (node, state) in answer.nodes.iter_mut().zip(&states) {
        node.process = *state;
    }
    answer.problems = problems;
    if let Some(why) = no_way_in {
        answer
            .problems
            .insert(0, NodeProblem::new(&manifest.name, why));
    }
    if let Some(journal) = &journal {
        let mut text = format!(
            "`{}` is at work, or was interrupted: run it again to finish",
            journal.verb
        );
        if !journal.restore.is_empty() {
            let names = journal.restore.values().flat_map(|values| values.keys());
            let names: BTreeSet<&str> = names.map(String::as_str).collect();
            let names: Vec<&str> = names.into_iter().collect();
            text = format!(
                "{text}; until then these are not the user's: {}",
                names.join(", ")
            );
        }
        answer.problems.push(NodeProblem::new(&manifest.name, text));
    }
    answer.state = match journal.as_ref().map(Journal::is_forming) {
        _ if fleet
            .nodes
            .iter()
            .all(|node| matches!(node.life, Life::Dead)) =>
        {
            State::Stopped
        }
        _ if manifest.formed && answer.problems.is_empty() => State::Ok,
        _ if manifest.formed => State::Degraded,
        Some(true) => State::Forming,
        _ => State::Unformed,
    };
    answer.elapsed = context.began.elapsed();
    Ok(answer)
}

/// What one node's process does, and what the node sees.
async fn look(
    node: &mut Node,
    shards: bool,
    access: &Access,
) -> (ProcessState, Result<View, String>) {
    match &node.life {
        Life::Elsewhere => {
            return (
                ProcessState::Unknown,
                Err("was started on another machine or in another container".into()),
            );
        }
        Life::Dead => return dead(node.addr, access).await,
        Life::Process(process) if process.is_stopped() => {
            return (ProcessState::Hung, Err("is stopped (SIGSTOP)".into()));
        }
        Life::Process(_) | Life::Child(_) => {}
    }
    let looked = timeout(PATIENCE + EXPLANATION, async {
        node.connect(access, PATIENCE).await?;
        match &node.connection {
            Some(connection) => connection.view(shards).await,
            None => Err(Fault::Silent),
        }
    });
    match looked.await.unwrap_or(Err(Fault::Silent)) {
        Ok(view) => (ProcessState::Running, Ok(view)),
        Err(Fault::Silent) => (ProcessState::Hung, Err("does not answer".into())),
        // It may have died since it was looked for.
        Err(_) if node.has_ended().is_some() => dead(node.addr, access).await,
        Err(fault @ Fault::Foreign(_)) => (ProcessState::Foreign, Err(fault.to_string())),
        Err(fault) => (ProcessState::Running, Err(fault.to_string())),
    }
}

/// A node without a process: does somebody else sit on its port?
async fn dead(addr: NodeAddr, access: &Access) -> (ProcessState, Result<View, String>) {
    let socket = SocketAddr::new(addr.host, addr.peer_port());
    if !is_held(socket).await {
        return (ProcessState::Dead, Err("does not run".into()));
    }
    // The port of a process that is just ending is held until its last thread has ended too.
    super::wait::moment(Duration::from_millis(30)).await;
    if !is_held(socket).await {
        return (ProcessState::Dead, Err("does not run".into()));
    }
    // A stranger gets no password of ours to see.
    let stranger = Access {
        tls: access.tls.clone(),
        ..Access::default()
    };
    let who = Connection::open(addr, &stranger, PATIENCE);
    let pid = timeout(PATIENCE, who)
        .await
        .ok()
        .and_then(Result::ok)
        .and_then(|(_, info)| info.number("process_id"));
    let who = pid.map_or("a process that is not ours".to_owned(), |pid| {
        format!("pid {pid}, which is not ours")
    });
    (
        ProcessState::Foreign,
        Err(format!("does not run; its port is held by {who}")),
    )
}

/// Whether somebody takes connections there.
async fn is_held(socket: SocketAddr) -> bool {
    let connected = timeout(CONNECT, TcpStream::connect(socket)).await;
    matches!(connected, Ok(Ok(_)))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Instant;

    use tokio::net::TcpSocket;

    use super::*;

    #[test]
    fn ports_that_answer_nothing_are_waited_for_at_the_same_time() {
        const PORTS: u32 = 20;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut held = Vec::new();
            let mut addrs = Vec::new();
            for _ in 0..PORTS {
                let socket = TcpSocket::new_v4().expect("a socket");
                let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                socket.bind(any).expect("bound");
                // Two wait to be accepted, and the kernel drops what a third one sends.
                let listener = socket.listen(0).expect("listens");
                let at = listener.local_addr().expect("bound");
                held.push((listener, is_kept(at).await, is_kept(at).await));
                addrs.push(NodeAddr {
                    host: at.ip(),
                    port: at.port(),
                    tls_port: None,
                    bus_port: 0,
                });
            }
            let began = Instant::now();
            let access = Access::default();
            let looks = join_all(addrs.iter().map(|addr| dead(*addr, &access))).await;
            let took = began.elapsed();
            assert!(took >= CONNECT && took < CONNECT * PORTS / 2, "{took:?}");
            for (state, _) in looks {
                assert_eq!(state, ProcessState::Dead);
            }
        });
    }

    async fn is_kept(at: SocketAddr) -> Option<TcpStream> {
        timeout(CONNECT, TcpStream::connect(at)).await.ok()?.ok()
    }
}
