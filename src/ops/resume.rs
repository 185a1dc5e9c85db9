//! Going on where an interrupted verb stopped.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::clean::remove_node_dirs;
use super::commands::finish_in_place;
use super::context::Context;
use super::fleet::Fleet;
use super::limits;
use super::new::make_nodes;
use super::programs::{Programs, binary_of};
use super::same_server::refuse_other_server;
use super::seeded::finish_seeded;
use super::start::bring_up;
use super::stop::{GRACE, end};
use super::wait::Patience;
use super::wish::StartWish;
use crate::cluster::NodeId;
use crate::error::{Error, Result};
use crate::plan::View;
use crate::server::Binary;
use crate::store::{Cluster, Journal, Manifest, Processes, Work};

/// How long writes are held back while emptiness is proven and acted upon.
const HOLD: Duration = Duration::from_secs(30);

/// Ends the forming that `journal` says was begun.
///
/// Nodes that are all proven empty are stopped and started anew from a seed: nothing is lost, and
/// no half-made state has to be understood. If one may hold something, or cannot be asked, all
/// are kept, and what is missing is added.
pub(super) async fn resume_forming(
    context: &Context,
    cluster: &Cluster,
    manifest: &mut Manifest,
    journal: &Journal,
    wish: &StartWish,
) -> Result<(Fleet, Vec<View>)> {
    context
        .events
        .note(format!("going on with an interrupted `{}`", journal.verb));
    let mut fleet = Fleet::open(context, cluster, manifest)?;
    fleet.refuse_elsewhere()?;
    refuse_other_server(context, manifest, wish).await?;
    let dead = fleet.nodes.iter().filter(|node| !node.runs()).count();
    // Without a server to start them with, and room for them, nothing is stopped.
    if let Some(programs) = still_there(manifest).await
        && limits::require(context, &manifest.spec, &programs, dead).is_ok()
        && all_proven_empty(cluster, manifest, &mut fleet, journal).await?
    {
        context.reached("all nodes are proven empty");
        return seed_anew(context, cluster, manifest, fleet, &programs).await;
    }
    let (mut fleet, _, journal) =
        bring_up(context, cluster, manifest, wish, Some(journal.clone())).await?;
    let views = finish_in_place(context, cluster, manifest, &mut fleet, &journal).await?;
    Ok((fleet, views))
}

/// The programs of a manifest, if each still is what it was.
async fn still_there(manifest: &Manifest) -> Option<Programs> {
    let programs = Programs::recorded(manifest)?;
    for number in 0..manifest.nodes.len() {
        let recorded = manifest.server_of(number);
        // Asked once for many nodes that share it.
        if number > 0 && manifest.server_of(number - 1) == recorded {
            continue;
        }
        let found = Binary::probe(&recorded.path).await.ok()?;
        if binary_of(recorded)? != found {
            return None;
        }
    }
    Some(programs)
}

/// Stops nodes that are proven empty, removes what they hold, and starts them from a seed.
async fn seed_anew(
    context: &Context,
    cluster: &Cluster,
    manifest: &mut Manifest,
    fleet: Fleet,
    programs: &Programs,
) -> Result<(Fleet, Vec<View>)> {
    end(fleet, GRACE).await?;
    // From here on the old processes and ids mean nothing: whoever comes after us, if we are
    // killed now, shall not look for them.
    for entry in &mut manifest.nodes {
        entry.id = None;
    }
    cluster.write_manifest(manifest)?;
    cluster.write_processes(&Processes::default())?;
    let mut left = Vec::new();
    remove_node_dirs(cluster, manifest, &mut left)?;
    if let Some(path) = left.first() {
        return Err(Error::NotOurs {
            path: path.clone(),
            why: "no server writes a file of that name".into(),
        });
    }
    let ports = context.lock_ports().await?;
    let mut made = make_nodes(
        context,
        cluster,
        manifest.clone(),
        programs,
        Work::Seeding,
        &ports,
    )
    .await?;
    drop(ports);
    let views = finish_seeded(context, cluster, &mut made).await?;
    *manifest = made.manifest;
    Ok((made.fleet, views))
}

/// Whether every node is proven empty, or never ran: no key, no function, nobody known but our
/// own nodes and those that a seed invented. Writes are held back meanwhile, and if the proof
/// succeeds until the nodes are stopped: what was read stays true.
async fn all_proven_empty(
    cluster: &Cluster,
    manifest: &Manifest,
    fleet: &mut Fleet,
    journal: &Journal,
) -> Result<bool> {
    let started = cluster.processes()?.unwrap_or_default();
    for (number, (entry, node)) in manifest.nodes.iter().zip(&fleet.nodes).enumerate() {
        let names = manifest.data_names(number);
        // A node that ran and died may hold what it can no longer tell.
        let port = entry.addr.port;
        if !node.runs() && started.nodes.contains_key(&port) && cluster.has_data(port, &names)? {
            return Ok(false);
        }
    }
    if connect_patiently(fleet).await.is_err() {
        return Ok(false);
    }
    let paused = fleet
        .each("writes cannot be held back", |_, node| {
            node.pause_writes(HOLD)
        })
        .await;
    if paused.is_ok() && look_empty(fleet, manifest, journal).await {
        return Ok(true);
    }
    // A node that does not hear this takes writes again by itself.
    fleet
        .each("writes are held back", |_, node| node.resume_writes())
        .await
        .ok();
    Ok(false)
}

async fn look_empty(fleet: &Fleet, manifest: &Manifest, journal: &Journal) -> bool {
    let known = fleet.nodes.iter().map(|node| node.known_as);
    let addresses: BTreeSet<(IpAddr, u16)> = fleet
        .nodes
        .iter()
        .flat_map(|node| node.addr.ports().map(|port| (node.addr.host, port)))
        .chain(known.map(|addr| (addr.host, addr.port)))
        .collect();
    let ids: BTreeSet<&NodeId> = manifest
        .nodes
        .iter()
        .filter_map(|entry| entry.id.as_ref())
        .chain(&journal.phantoms)
        .collect();
    for node in fleet.nodes.iter().filter(|node| node.runs()) {
        let Some(connection) = &node.connection else {
            return false;
        };
        let looked = tokio::join!(
            connection.contents(fleet.seven),
            connection.view(fleet.shards)
        );
        let (Ok(contents), Ok(view)) = looked else {
            return false;
        };
        let is_stranger = |line: &crate::cluster::NodeLine| {
            let address = line.host.parse().ok().map(|host| (host, line.port));
            // Who does not know its own address yet is not a stranger to itself.
            !line.flags.myself
                && !ids.contains(&line.id)
                && !address.is_some_and(|address| addresses.contains(&address))
        };
        if !contents.is_empty() || view.nodes.iter().any(is_stranger) {
            return false;
        }
    }
    true
}

/// Connects to the living nodes; one that was spawned a moment before its rcluster was killed may
/// need a moment more.
async fn connect_patiently(fleet: &mut Fleet) -> Result<(), ()> {
    let patience = Patience::new(
        "the nodes to answer",
        Instant::now(),
        Duration::from_secs(2),
    );
    loop {
        match fleet.connect().await {
            Ok(()) => return Ok(()),
            Err(problems) => {
                let problems = || problems.into_iter().map(|(problem, _)| problem).collect();
                patience
                    .pause(Duration::from_millis(20), problems)
                    .await
                    .map_err(drop)?;
            }
        }
    }
}
