//! Going on where an interrupted verb stopped.

use std::collections::BTreeSet;
use std::time::Duration;

use super::commands::{finish_in_place, user_conf};
use super::context::Context;
use super::fleet::{Fleet, binary_of, knows_seven};
use super::launch::Launch;
use super::new::{Made, journal_for, make_nodes};
use super::seeded::finish_seeded;
use super::stop::{GRACE, end};
use crate::cluster::NodeId;
use crate::error::{Error, Result};
use crate::plan::View;
use crate::server::{Binary, forming_values};
use crate::store::{Cluster, DataNames, Journal, Manifest, Work};

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
) -> Result<(Fleet, Vec<View>)> {
    context
        .events
        .note(format!("going on with an interrupted `{}`", journal.verb));
    let binary = Binary::probe(&manifest.server.path)
        .await
        .ok()
        .or_else(|| binary_of(manifest));
    let binary = binary.ok_or_else(|| Error::Unfit {
        message: format!("{} cannot be used any more", manifest.server.path.display()),
        hint: "install it again, or begin anew: rcluster down".into(),
    })?;
    let mut fleet = Fleet::observe(cluster, manifest, knows_seven(manifest))?;
    fleet.refuse_elsewhere()?;
    if all_proven_empty(cluster, manifest, &mut fleet).await? {
        end(fleet, GRACE).await?;
        let names = DataNames::of(&manifest.spec.directives);
        let mut left = Vec::new();
        for entry in &manifest.nodes {
            cluster.remove_node(entry.addr.port, &names, &mut left)?;
        }
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
            &binary,
            Work::Seeding,
            &ports,
        )
        .await?;
        drop(ports);
        let Some(seed) = made.seed.clone() else {
            return Err(no_seed());
        };
        let views =
            finish_seeded(context, cluster, &mut made, &seed, binary.capabilities()).await?;
        let Made {
            manifest: new,
            fleet,
            ..
        } = made;
        *manifest = new;
        return Ok((fleet, views));
    }

    let values = forming_values(
        fleet.nodes.len(),
        manifest.spec.node_timeout_ms,
        binary.capabilities(),
        false,
    );
    let mut restore = journal_for(
        context,
        journal.work,
        &values,
        &user_conf(cluster, manifest)?,
    )
    .restore;
    restore.extend(journal.restore.clone());
    let journal = Journal {
        verb: context.verb.into(),
        work: journal.work,
        restore,
    };
    cluster.write_journal(&journal)?;
    let dead = fleet.numbers(|node| !node.runs());
    if !dead.is_empty() {
        super::start::prepare(context, cluster, manifest, &fleet, &dead, &binary)?;
        let launch = Launch {
            context,
            cluster,
            binary: &binary,
            values: &values,
        };
        launch.announce(&fleet, &dead);
        launch.run(&mut fleet, &dead).await?;
    }
    fleet
        .connect()
        .await
        .map_err(|problems| super::fleet::failed("some nodes do not answer", problems))?;
    let views = finish_in_place(context, cluster, manifest, &mut fleet, &journal, &binary).await?;
    Ok((fleet, views))
}

pub(super) fn no_seed() -> Error {
    super::fleet::failed("the nodes were started without a seed", Vec::new())
}

/// Whether every node is proven empty, or was never started: no key, no function, nobody known
/// but our own nodes and those that a seed invented.
async fn all_proven_empty(
    cluster: &Cluster,
    manifest: &Manifest,
    fleet: &mut Fleet,
) -> Result<bool> {
    let started = cluster.processes()?.unwrap_or_default();
    for (entry, node) in manifest.nodes.iter().zip(&fleet.nodes) {
        // A node that ran and died may hold what it can no longer tell.
        if !node.runs()
            && started
                .nodes
                .get(&entry.addr.port)
                .is_some_and(|started| started.record.is_some())
        {
            return Ok(false);
        }
    }
    if connect_patiently(fleet).await.is_err() {
        return Ok(false);
    }
    let seven = fleet.seven;
    let ports: BTreeSet<u16> = manifest.nodes.iter().map(|entry| entry.addr.port).collect();
    let ids: BTreeSet<&NodeId> = manifest
        .nodes
        .iter()
        .filter_map(|entry| entry.id.as_ref())
        .collect();
    for node in fleet.nodes.iter().filter(|node| node.runs()) {
        let Some(connection) = &node.connection else {
            return Ok(false);
        };
        let (Ok(contents), Ok(view)) = (
            connection.contents(seven).await,
            connection.view(seven).await,
        ) else {
            return Ok(false);
        };
        let stranger = view.nodes.iter().any(|line| {
            let ours = ids.contains(&line.id) || ports.contains(&line.port) || line.flags.handshake;
            // A phantom is a primary that nobody ever had a link to.
            !ours && line.connected && !line.flags.noaddr
        });
        if !contents.is_empty() || stranger {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Connects to the living nodes; one that was spawned a moment before its rcluster was killed may
/// need a moment more.
async fn connect_patiently(fleet: &mut Fleet) -> Result<(), ()> {
    let patience = super::wait::Patience::new(
        "the nodes to answer",
        std::time::Instant::now(),
        Duration::from_secs(2),
    );
    loop {
        match fleet.connect().await {
            Ok(()) => return Ok(()),
            Err(problems) => patience
                .pause(Duration::from_millis(20), || problems)
                .await
                .map_err(drop)?,
        }
    }
}
