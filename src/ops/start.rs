//! `start`: the nodes of a cluster run; those of a formed one are a ready cluster again.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::access::{access, certificates};
use super::answer::Answer;
use super::clean::{delete_data, refuse_while_used};
use super::commands::user_conf;
use super::context::Context;
use super::fleet::Fleet;
use super::launch::Launch;
use super::limits;
use super::new::{journal_for, make, write_conf};
use super::programs::{Programs, agree_on_shards};
use super::resume::resume_forming;
use super::security::check_certificates;
use super::settle::{Pace, put_back, settle};
use super::stop::{GRACE, stop_locked};
use super::wish::{Forgetting, StartWish};
use crate::cluster::{Role, SLOT_COUNT, parse_nodes, with_shard_ids};
use crate::error::{Error, NodeProblem, Result};
use crate::plan::{End, View, keeps};
use crate::server::{Binary, Version, conflicts, forming_values, is_redis_conf};
use crate::store::{Cluster, Journal, Manifest, NodeEntry, ServerInfo, Work};

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
            let (count, timeout) = (fleet.nodes.len(), manifest.spec.node_timeout_ms);
            values = forming_values(count, timeout, programs.capabilities(), false);
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
        Err(Error::PortsInUse { conflicts })
    }
}

/// Refuses `--server` and `--server-for` if they name other servers than those that run.
async fn refuse_other_server_than_runs(
    context: &Context,
    manifest: &Manifest,
    fleet: &Fleet,
    wish: &StartWish,
) -> Result<()> {
    let running = fleet.numbers(super::fleet::Node::runs);
    refuse_other_server_on(context, manifest, wish, &running).await
}

/// Refuses `--server` and `--server-for` if they name other servers than those that were recorded.
pub(super) async fn refuse_other_server(
    context: &Context,
    manifest: &Manifest,
    wish: &StartWish,
) -> Result<()> {
    let all: Vec<usize> = (0..manifest.nodes.len()).collect();
    refuse_other_server_on(context, manifest, wish, &all).await
}

async fn refuse_other_server_on(
    context: &Context,
    manifest: &Manifest,
    wish: &StartWish,
    numbers: &[usize],
) -> Result<()> {
    if wish.server.is_none() && wish.servers.is_empty() {
        return Ok(());
    }
    let Some(mut programs) = Programs::recorded(manifest) else {
        return Ok(());
    };
    if let Some(server) = &wish.server {
        programs = Programs::of(context.find_server(Some(server)).await?);
    }
    programs.add(context, wish).await?;
    refuse_mixture(manifest, &programs, numbers)
}

/// Refuses `programs` that differ in kind or version from what the nodes `numbers` run.
fn refuse_mixture(manifest: &Manifest, programs: &Programs, numbers: &[usize]) -> Result<()> {
    for &number in numbers {
        let Some(entry) = manifest.nodes.get(number) else {
            continue;
        };
        let recorded = manifest.server_of(number);
        let binary = programs.program(&manifest.spec, number, entry.addr.port);
        if !is_same(recorded, binary) {
            return Err(Error::ShapeDiffers {
                name: manifest.name.clone(),
                differences: vec![format!(
                    "{} runs {} {}, not {binary}",
                    entry.addr, recorded.kind, recorded.version
                )],
            });
        }
    }
    Ok(())
}

fn is_same(recorded: &ServerInfo, binary: &Binary) -> bool {
    binary.kind.to_string() == recorded.kind && binary.version.to_string() == recorded.version
}

/// The servers for nodes that are to be started: those that were asked for, else those that
/// last wrote the data, else any on `PATH`.
async fn programs_for(
    context: &Context,
    manifest: &Manifest,
    wish: &StartWish,
    fleet: &Fleet,
    dead: &[usize],
) -> Result<Programs> {
    let mut programs = Programs::of(match &wish.server {
        Some(server) => context.find_server(Some(server)).await?,
        None => again(context, &manifest.server).await?,
    });
    // Who says nothing gets each node's own server again; --server speaks of all. Many nodes may
    // share one, which is asked once.
    let mut asked: Vec<(&ServerInfo, Binary)> = Vec::new();
    for (number, entry) in manifest.nodes.iter().enumerate() {
        let (None, Some(own)) = (&wish.server, &entry.server) else {
            continue;
        };
        let known = asked.iter().find(|(info, _)| *info == own);
        let binary = if let Some((_, binary)) = known {
            binary.clone()
        } else {
            let binary = again(context, own).await?;
            asked.push((own, binary.clone()));
            binary
        };
        programs.set(number, binary);
    }
    programs.add(context, wish).await?;
    programs.check(&manifest.spec).await?;
    for &number in dead {
        let Some(entry) = manifest.nodes.get(number) else {
            continue;
        };
        let recorded = manifest.server_of(number);
        let binary = programs.program(&manifest.spec, number, entry.addr.port);
        let older =
            Version::parse(&recorded.version).is_some_and(|recorded| binary.version < recorded);
        if (older || binary.kind.to_string() != recorded.kind) && !wish.yes {
            return Err(Error::Unconfirmed {
                what: format!(
                    "give data that {} {} wrote to {binary}, which may not understand it",
                    recorded.kind, recorded.version
                ),
            });
        }
    }
    let mut must_be_same = fleet.numbers(super::fleet::Node::runs);
    if !must_be_same.is_empty() {
        // A mixture is made on purpose, with --server-for, or not at all.
        must_be_same.extend(dead.iter().copied().filter(|&number| {
            let port = manifest
                .nodes
                .get(number)
                .map_or(0, |entry| entry.addr.port);
            !wish.names_server_of(&manifest.spec, number, port)
        }));
        refuse_mixture(manifest, &programs, &must_be_same)?;
    }
    Ok(programs)
}

/// The server that last wrote a node's data; if that is gone, the one that any new cluster would get.
async fn again(context: &Context, recorded: &ServerInfo) -> Result<Binary> {
    match Binary::probe(&recorded.path).await {
        Ok(binary) => return Ok(binary),
        Err(error) if recorded.path.exists() => return Err(error),
        Err(_) => {}
    }
    let gone = format!("the server {} is gone", recorded.path.display());
    let Ok(found) = context.find_server(None).await else {
        return Err(Error::Unfit {
            message: gone,
            hint: "put it back, or name another with --server PATH".into(),
        });
    };
    if !is_same(recorded, &found) {
        return Err(Error::Unfit {
            message: format!(
                "{gone}, and what there is instead is {found}, not {} {}",
                recorded.kind, recorded.version
            ),
            hint: "put it back, or name another with --server PATH".into(),
        });
    }
    context.events.note(format!(
        "{gone}; taking {found} at {}",
        found.path.display()
    ));
    Ok(found)
}

/// Makes sure that each of the nodes `dead` would start as who it was, and says in which order to
/// start them: primaries first, since a replica that finds nobody tries again only a second later.
fn prepare(
    context: &Context,
    cluster: &Cluster,
    manifest: &Manifest,
    dead: &[usize],
    programs: &Programs,
) -> Result<Vec<usize>> {
    let mut problems = Vec::new();
    let mut replicas = BTreeSet::new();
    let secrets = cluster.secrets()?;
    for &number in dead {
        let Some(entry) = manifest.nodes.get(number) else {
            continue;
        };
        match identity(cluster, manifest, number, entry)? {
            Identity::Kept { replica: true } => {
                replicas.insert(number);
            }
            Identity::Kept { replica: false } => {}
            Identity::Lost(why) => {
                problems.push(NodeProblem::new(entry.addr, why));
                continue;
            }
        }
        let dir = match cluster.node(entry.addr.port)? {
            Some(dir) => dir,
            None => cluster.make_node(entry.addr.port)?,
        };
        let path = cluster.node_path(entry.addr.port);
        let conf = dir
            .read("redis.conf", 1 << 20)
            .map_err(Error::io("read redis.conf in", &path))?;
        let port = entry.addr.port;
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
            write_conf(context, cluster, manifest, &secrets, programs, number, &dir)?;
        }
    }
    if !problems.is_empty() {
        return Err(Error::Identity { nodes: problems });
    }
    let (last, first): (Vec<usize>, Vec<usize>) =
        dead.iter().partition(|number| replicas.contains(number));
    Ok(first.into_iter().chain(last).collect())
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
async fn refuse_to_wipe(
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
