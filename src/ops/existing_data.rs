//! What must be true of a node's data before its server starts on it: it is the node's own, and nobody
//! loses by what it has forgotten.

use std::collections::BTreeSet;

use super::commands::user_conf;
use super::context::Context;
use super::fleet::Fleet;
use super::new::write_conf;
use super::programs::Programs;
use super::wish::Forgetting;
use crate::cluster::{Role, parse_nodes, with_shard_ids};
use crate::error::{Error, NodeProblem, Result};
use crate::plan::{End, Secrets, View, keeps};
use crate::server::is_redis_conf;
use crate::store::{Cluster, Manifest, NodeEntry};

/// Makes sure that each of the nodes `dead` would start as who it was, puts their files in order, and
/// says in which order to start them: primaries first, since a replica that finds nobody tries again
/// only a second later. If one of them would not, nothing is changed.
pub(super) fn prepare(
    context: &Context,
    cluster: &Cluster,
    manifest: &Manifest,
    dead: &[usize],
    programs: &Programs,
) -> Result<Vec<usize>> {
    let mut problems = Vec::new();
    let mut replicas = BTreeSet::new();
    for &number in dead {
        let Some(entry) = manifest.nodes.get(number) else {
            continue;
        };
        match identity(cluster, manifest, number, entry)? {
            Identity::Kept { replica: true } => {
                replicas.insert(number);
            }
            Identity::Kept { replica: false } => {}
            Identity::Lost(why) => problems.push(NodeProblem::new(entry.addr, why)),
        }
    }
    if !problems.is_empty() {
        return Err(Error::Identity { nodes: problems });
    }
    let secrets = cluster.secrets()?;
    for &number in dead {
        if let Some(entry) = manifest.nodes.get(number) {
            repair(
                context, cluster, manifest, number, entry, programs, &secrets,
            )?;
        }
    }
    let (last, first): (Vec<usize>, Vec<usize>) =
        dead.iter().partition(|number| replicas.contains(number));
    Ok(first.into_iter().chain(last).collect())
}

/// Puts a dead node's directory, `nodes.conf` and `redis.conf` in order.
fn repair(
    context: &Context,
    cluster: &Cluster,
    manifest: &Manifest,
    number: usize,
    entry: &NodeEntry,
    programs: &Programs,
    secrets: &Secrets,
) -> Result<()> {
    let port = entry.addr.port;
    let dir = match cluster.node(port)? {
        Some(dir) => dir,
        None => cluster.make_node(port)?,
    };
    let path = cluster.node_path(port);
    let conf = dir
        .read("redis.conf", 1 << 20)
        .map_err(Error::io("read redis.conf in", &path))?;
    let program = programs.program(&manifest.spec, number, port);
    if program.capabilities().shard_ids {
        let old = dir
            .read("nodes.conf", 16 << 20)
            .map_err(Error::io("read nodes.conf in", &path))?;
        let old = String::from_utf8(old.unwrap_or_default()).unwrap_or_default();
        if let Some(new) = with_shard_ids(&old).filter(|_| !old.is_empty()) {
            dir.write("nodes.conf", new.as_bytes())
                .map_err(Error::io("write nodes.conf in", &path))?;
        }
    }
    // One that a power cut has emptied is made anew: the server would start on its defaults.
    if !conf.is_some_and(|conf| is_redis_conf(&conf, entry.addr)) {
        write_conf(context, cluster, manifest, secrets, programs, number, &dir)?;
    }
    Ok(())
}

/// As whom a node would start.
enum Identity {
    /// As who it was, or as nobody known yet.
    Kept { replica: bool },
    /// As somebody else: why.
    Lost(String),
}

/// Reads a dead node's `nodes.conf`. A server that finds none, or an empty one, invents a new
/// identity without a word; that is right only for a node that has never been anybody.
fn identity(
    cluster: &Cluster,
    manifest: &Manifest,
    number: usize,
    entry: &NodeEntry,
) -> Result<Identity> {
    let port = entry.addr.port;
    let path = cluster.node_path(port);
    let lost = |why: String| Ok(Identity::Lost(why));
    let has_been = manifest.formed || cluster.has_data(port, &manifest.data_names(number))?;
    let Some(dir) = cluster.node(port)? else {
        return if has_been {
            lost(format!("{} is gone", path.display()))
        } else {
            Ok(Identity::Kept { replica: false })
        };
    };
    let text = dir
        .read("nodes.conf", 16 << 20)
        .map_err(Error::io("read nodes.conf in", &path))?;
    let text = match text {
        Some(text) if !text.is_empty() => String::from_utf8_lossy(&text).into_owned(),
        _ if !has_been => return Ok(Identity::Kept { replica: false }),
        Some(_) => return lost("its nodes.conf is empty".into()),
        None => return lost("its nodes.conf is gone".into()),
    };
    let lines = match parse_nodes(&text) {
        Ok(lines) => lines,
        Err(why) => return lost(format!("its nodes.conf is damaged: {why}")),
    };
    match (lines.into_iter().find(|line| line.flags.myself), &entry.id) {
        (None, _) => lost("its nodes.conf names no node as itself".into()),
        (Some(line), Some(id)) if line.id != *id => lost(format!(
            "its nodes.conf is that of node {}, not {}",
            line.id.short(),
            id.short()
        )),
        (Some(line), _) => Ok(Identity::Kept {
            replica: matches!(line.role, Role::Replica { .. }),
        }),
    }
}

/// Refuses to start a primary that has forgotten its data, or may have, while replicas of it still
/// have theirs: they would copy what it has. How a node ended that we did not end is unknown: its last
/// snapshot may be old.
pub(super) async fn refuse_to_wipe(
    cluster: &Cluster,
    manifest: &Manifest,
    fleet: &mut Fleet,
    dead: &[usize],
    forgetting: &Forgetting,
) -> Result<()> {
    if dead.len() == fleet.nodes.len() {
        return Ok(());
    }
    let mut forgetful = Vec::new();
    let mut write_snapshots = true;
    for &number in dead {
        if forgetting.allowed.contains(&number) {
            continue;
        }
        let end = if forgetting.clean.contains(&number) {
            End::Clean
        } else {
            End::Unknown
        };
        // By the node's own redis.conf: CONFIG REWRITE may have changed it.
        let conf = user_conf(cluster, manifest, number)?;
        if !keeps(&conf, None, end) {
            forgetful.push(number);
            write_snapshots &= keeps(&conf, None, End::Clean);
        }
    }
    if forgetful.is_empty() {
        return Ok(());
    }
    let looks = fleet.views().await;
    let mut problems = Vec::new();
    for number in forgetful {
        let Some(entry) = manifest.nodes.get(number) else {
            continue;
        };
        let is_its_replica = |view: &View| {
            view.myself().is_some_and(
                |line| matches!(&line.role, Role::Replica { of } if Some(of) == entry.id.as_ref()),
            )
        };
        if looks.iter().flatten().any(is_its_replica) {
            problems.push(format!(
                "{}, whose replica has not taken its place",
                entry.addr
            ));
        }
    }
    for (node, look) in fleet.nodes.iter().zip(&looks) {
        if node.runs() && look.is_err() {
            problems.push(format!(
                "a node whose replica {} may be, which does not answer",
                node.addr
            ));
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    let why = if write_snapshots {
        "persists snapshots only: started now, a primary would come back without what it did not write, and its replica would copy that"
    } else {
        "persists nothing: started now, a primary would come back empty, and its replica would copy that"
    };
    Err(Error::Unsafe {
        message: format!(
            "cluster \"{}\" {why} ({})",
            cluster.name(),
            problems.join("; ")
        ),
        hint: "wait until the replica has been promoted (`{rcluster} status`), then run this again; or name the nodes whose data may be lost: `{rcluster} restart NODE --yes`"
            .into(),
    })
}
