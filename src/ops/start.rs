//! `start`: the nodes of a cluster run; those of a formed one are a ready cluster again.

use std::net::IpAddr;

use super::access::{access, certificates};
use super::answer::Answer;
use super::clean::{delete_data, refuse_while_used};
use super::context::Context;
use super::existing_data::{prepare, refuse_to_wipe};
use super::fleet::Fleet;
use super::launch::Launch;
use super::limits;
use super::new::{journal_for, make};
use super::programs::agree_on_shards;
use super::resume::resume_forming;
use super::same_server::{programs_for, refuse_other_server_than_runs};
use super::security::check_certificates;
use super::settle::{Pace, put_back, settle};
use super::stop::{GRACE, stop_locked};
use super::wish::StartWish;
use crate::cluster::SLOT_COUNT;
use crate::error::{Error, Result};
use crate::plan::View;
use crate::server::{conflicts, forming_values};
use crate::store::{Cluster, Journal, Manifest, Work};

/// Starts the nodes of a new cluster, or those of an existing one that do not run.
pub async fn start(context: &Context, wish: &StartWish) -> Result<Answer> {
    wish.check()?;
    let found = limits::before_making(context, wish).await?;
    let Some((cluster, lock)) = context.lock(true).await? else {
        return Err(context.no_such_cluster());
    };
    match usable_manifest(context, &cluster).await? {
        Some(manifest) => start_existing(context, &cluster, manifest, wish).await,
        None => {
            make(
                context,
                &cluster,
                &lock,
                wish,
                found,
                Work::Making,
                async |mut made| {
                    let answer = answer(
                        context,
                        &cluster,
                        &mut made.manifest,
                        made.fleet,
                        None,
                        true,
                    );
                    let answer = answer.await?;
                    cluster.remove_journal()?;
                    Ok(answer)
                },
            )
            .await
        }
    }
}

/// The manifest, if there is one. A `stop` or a `clean` that was cut short is finished first: nodes
/// that were told to end may look alive until they do, and what is left of deleted data is worth
/// nothing.
pub(super) async fn usable_manifest(
    context: &Context,
    cluster: &Cluster,
) -> Result<Option<Manifest>> {
    let Some(manifest) = cluster.manifest()? else {
        return Ok(None);
    };
    if cluster
        .processes()?
        .is_some_and(|processes| processes.stopping)
    {
        context.events.note("finishing an interrupted stop first");
        stop_locked(context, cluster, &manifest, GRACE).await?;
    }
    if !manifest.cleaning {
        return Ok(Some(manifest));
    }
    context.events.note("finishing an interrupted clean first");
    refuse_while_used(context, cluster)?;
    match delete_data(cluster, &manifest)?.first() {
        None => Ok(None),
        Some(path) => Err(Error::NotOurs {
            path: path.clone(),
            why: "no server writes a file of that name".into(),
        }),
    }
}

/// The journal of forming that was cut short; `None` for a cluster that is formed, even if its
/// journal was not removed any more.
pub(super) fn interrupted_forming(
    cluster: &Cluster,
    manifest: &Manifest,
) -> Result<Option<Journal>> {
    let journal = cluster.journal()?;
    Ok(journal.filter(|journal| journal.is_forming() && !manifest.formed))
}

/// Starts what does not run of a cluster that exists.
pub(super) async fn start_existing(
    context: &Context,
    cluster: &Cluster,
    mut manifest: Manifest,
    wish: &StartWish,
) -> Result<Answer> {
    refuse_differences(context, cluster, &manifest, wish)?;
    if let Some(journal) = interrupted_forming(cluster, &manifest)? {
        let (fleet, views) =
            resume_forming(context, cluster, &mut manifest, &journal, wish).await?;
        return answer(context, cluster, &mut manifest, fleet, Some(views), true).await;
    }
    let mut started_before = false;
    loop {
        let (mut fleet, started, journal) =
            bring_up(context, cluster, &mut manifest, wish, None).await?;
        let changed = started_before || started || !journal.restore.is_empty();
        let views = if manifest.formed || is_a_cluster(&mut fleet).await {
            let pace = Pace::Kept;
            let settled =
                settle(context, cluster, &mut manifest, &mut fleet, &journal, &pace).await;
            let settled = put_back_on_failure(settled, cluster, &mut fleet, journal).await;
            if settled.is_err() && fleet.only_old_nodes_died() {
                // They were about to end when we came, by a `stop` that was killed, say.
                started_before = changed;
                continue;
            }
            Some(settled?)
        } else {
            put_back(&fleet, &journal).await?;
            cluster.remove_journal()?;
            None
        };
        return answer(context, cluster, &mut manifest, fleet, views, changed).await;
    }
}

/// Whether somebody else, redis-cli say, has made a cluster of the nodes.
async fn is_a_cluster(fleet: &mut Fleet) -> bool {
    let views = fleet.views().await;
    views
        .iter()
        .flatten()
        .any(|view| view.info.slots_assigned == u64::from(SLOT_COUNT))
}

/// When work failed, gives directives the user's values again as far as nodes can be reached. A
/// failure that comes of a death is told as that.
pub(super) async fn put_back_on_failure<T>(
    result: Result<T>,
    cluster: &Cluster,
    fleet: &mut Fleet,
    mut journal: Journal,
) -> Result<T> {
    let Err(error) = result else { return result };
    if !journal.restore.is_empty() && put_back(fleet, &journal).await.is_ok() {
        // Nodes that died have the user's values when they start again.
        journal.restore.clear();
        cluster.write_journal(&journal).ok();
    }
    match error {
        Error::Nodes { .. } | Error::NotEmpty { .. } => {
            fleet.refuse_dead_nodes()?;
            Err(error)
        }
        other => Err(other),
    }
}

pub(super) fn refuse_differences(
    context: &Context,
    cluster: &Cluster,
    manifest: &Manifest,
    wish: &StartWish,
) -> Result<()> {
    let ports: Vec<u16> = manifest.nodes.iter().map(|entry| entry.addr.port).collect();
    wish.check_selectors(&manifest.spec, &ports)?;
    let (secrets, mut certificates) = (cluster.secrets()?, certificates(cluster, manifest)?);
    // Renewed ones take the place of old ones when the nodes start.
    let may_renew = manifest
        .spec
        .security
        .tls
        .as_ref()
        .is_some_and(|tls| tls.own)
        && Fleet::observe(cluster, manifest)?.refuse_running().is_ok();
    if may_renew && wish.certificates.is_some() {
        certificates.clone_from(&wish.certificates);
    }
    let differences = wish.differences(manifest, &secrets, certificates.as_ref());
    if differences.is_empty() {
        let ports = manifest.nodes.iter().map(|entry| entry.addr.port);
        return wish.check_selectors(&manifest.spec, &ports.collect::<Vec<_>>());
    }
    Err(Error::ShapeDiffers {
        name: context.name.to_string(),
        differences,
    })
}

/// Has every node of `manifest` run and answer. Says whether any had to be started, and what is
/// to be put back afterwards.
pub(super) async fn bring_up(
    context: &Context,
    cluster: &Cluster,
    manifest: &mut Manifest,
    wish: &StartWish,
    journal: Option<Journal>,
) -> Result<(Fleet, bool, Journal)> {
    let mut fleet = Fleet::open(context, cluster, manifest)?;
    fleet.refuse_elsewhere()?;
    let patience = context.patience("every node to answer");
    let mut journal = match journal {
        Some(journal) => journal,
        None => cluster
            .journal()?
            .unwrap_or_else(|| Journal::new(context.verb, Work::Restarting)),
    };
    let dead = fleet.numbers(|node| !node.runs());
    if dead.len() < fleet.nodes.len() {
        refuse_other_server_than_runs(context, manifest, &fleet, wish).await?;
    }
    if !dead.is_empty() {
        let programs = programs_for(context, manifest, wish, &fleet, &dead).await?;
        limits::require(context, &manifest.spec, &programs, dead.len())?;
        fleet.seven = programs.capabilities().seven;
        if let Some(tls) = &manifest.spec.security.tls {
            // That these may be others than before was decided when differences were refused.
            let files = match &wish.certificates {
                Some(renewed) => Some(renewed.clone()),
                None => certificates(cluster, manifest)?,
            };
            if let Some(files) = &files {
                check_certificates(files, &manifest.spec, tls)?;
            }
            if wish.certificates.is_some() {
                cluster.write_certificates(files.as_ref())?;
                fleet.access = access(cluster, manifest)?;
            }
        }
        let order = prepare(context, cluster, manifest, &dead, &programs)?;
        refuse_to_wipe(cluster, manifest, &mut fleet, &dead, &wish.forgetting).await?;
        let mut values = Vec::new();
        if manifest.formed || journal.is_forming() {
            let timeout = manifest.spec.node_timeout_ms;
            values = forming_values(timeout, programs.capabilities(), false);
        }
        let ports = context.lock_ports().await?;
        refuse_taken_ports(manifest, &fleet, &dead)?;
        let fresh = journal_for(context, journal.work, cluster, manifest, &values, &dead)?;
        journal.restore.extend(fresh.restore);
        cluster.write_journal(&journal)?;
        if wish.server.is_some() || !wish.servers.is_empty() {
            programs.warn_of_mixture(context, manifest);
        }
        programs.record(manifest);
        fleet.shards = fleet.seven && agree_on_shards(manifest);
        cluster.write_manifest(manifest)?;
        if !fleet.is_small() {
            values.retain(|(name, _)| *name != "hz");
        }
        let launch = Launch {
            context,
            cluster,
            spec: &manifest.spec,
            programs: &programs,
            values: &values,
        };
        launch.announce(&fleet, &order);
        let launched = launch.run(&mut fleet, &order).await;
        drop(ports);
        if launched.is_err() {
            // Those that live are connected if they can be; the failure is told below.
            fleet.connect().await.ok();
        }
        put_back_on_failure(launched, cluster, &mut fleet, journal.clone())
            .await
            .map_err(|error| match error {
                Error::NodesDied { nodes, .. } => Error::NodesDied {
                    nodes,
                    left: "the nodes that started stay up".into(),
                },
                other => other,
            })?;
    }
    let connected = fleet.connect_all(context, &patience).await;
    if connected.is_err() && fleet.only_old_nodes_died() {
        // They were about to end when we came: now they are started again.
        let again = Box::pin(bring_up(context, cluster, manifest, wish, Some(journal)));
        let (fleet, started, journal) = again.await?;
        return Ok((fleet, started || !dead.is_empty(), journal));
    }
    put_back_on_failure(connected, cluster, &mut fleet, journal.clone()).await?;
    if manifest.formed && !dead.is_empty() {
        let hurried = hurry_copies(cluster, &fleet, &dead, &mut journal).await;
        put_back_on_failure(hurried, cluster, &mut fleet, journal.clone()).await?;
    }
    Ok((fleet, !dead.is_empty(), journal))
}

/// Has primaries that ran before send what replicas that were just started lack without waiting for
/// more of them (`repl-diskless-sync-delay`, 5 s by default).
async fn hurry_copies(
    cluster: &Cluster,
    fleet: &Fleet,
    started: &[usize],
    journal: &mut Journal,
) -> Result<()> {
    const DELAY: &str = "repl-diskless-sync-delay";
    let before: Vec<usize> = fleet.numbers(|node| node.connection.is_some());
    let before: Vec<usize> = before
        .into_iter()
        .filter(|number| !started.contains(number))
        .collect();
    for &number in &before {
        let value = fleet.connection(number)?.config_get(DELAY).await;
        // What they have now comes back: it may have been set since they started.
        let value =
            value.map_err(|fault| fleet.failure("a node could not be asked", number, &fault))?;
        let port = fleet.nodes.get(number).map(|node| node.addr.port);
        if let (Some(value), Some(port)) = (value.filter(|value| value != "0"), port) {
            let restore = journal.restore.entry(port).or_default();
            restore.entry(DELAY.to_owned()).or_insert(value);
        }
    }
    cluster.write_journal(journal)?;
    fleet
        .each("a node could not be configured", async |number, node| {
            let port = fleet.nodes.get(number).map_or(0, |node| node.addr.port);
            let is_ours = journal
                .restore
                .get(&port)
                .is_some_and(|values| values.contains_key(DELAY));
            if before.contains(&number) && is_ours {
                node.config_set([(DELAY, "0")]).await?;
            }
            Ok(())
        })
        .await
}

/// Refuses to start nodes whose ports somebody else has by now, naming all at once.
fn refuse_taken_ports(manifest: &Manifest, fleet: &Fleet, dead: &[usize]) -> Result<()> {
    let nodes = || dead.iter().filter_map(|number| fleet.nodes.get(*number));
    let ports = nodes().flat_map(|node| {
        let tls = node.addr.tls_port.map(|port| (port, "TLS port"));
        [
            (node.addr.port, "client port"),
            (node.addr.bus_port, "bus port"),
        ]
        .into_iter()
        .chain(tls)
    });
    let hosts: Vec<IpAddr> = manifest.spec.binds().collect();
    let conflicts = conflicts(&hosts, ports);
    if conflicts.is_empty() {
        Ok(())
    } else {
        Err(Error::PortsInUse {
            conflicts,
            settled: true,
        })
    }
}

/// The answer of a verb that leaves the nodes running. Ids that were learned are recorded.
pub(super) async fn answer(
    context: &Context,
    cluster: &Cluster,
    manifest: &mut Manifest,
    mut fleet: Fleet,
    views: Option<Vec<View>>,
    changed: bool,
) -> Result<Answer> {
    let views: Vec<Option<View>> = if let Some(views) = views {
        views.into_iter().map(Some).collect()
    } else {
        let looks = fleet.views().await;
        looks.into_iter().map(Result::ok).collect()
    };
    let mut learned = false;
    for (entry, view) in manifest.nodes.iter_mut().zip(&views) {
        let id = view
            .as_ref()
            .and_then(View::myself)
            .map(|line| line.id.clone());
        if id.is_some() && entry.id != id {
            entry.id = id;
            learned = true;
        }
    }
    if learned {
        cluster.write_manifest(manifest)?;
    }
    let mut answer = Answer::new(cluster, manifest, &fleet, &views);
    answer.changed = changed;
    answer.elapsed = context.began.elapsed();
    Ok(answer)
}
