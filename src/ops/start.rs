//! `start`: the nodes of a cluster run; those of a formed one are a ready cluster again.

use std::collections::{BTreeMap, BTreeSet};

use super::answer::Answer;
use super::commands::user_conf;
use super::context::Context;
use super::fleet::{ANSWER_LIMIT, Fleet, knows_seven};
use super::launch::Launch;
pub use super::new::StartWish;
use super::new::{journal_for, make, server_info};
use super::resume::resume_forming;
use super::settle::{put_back, settle};
use crate::cluster::{Role, parse_nodes};
use crate::error::{Error, NodeProblem, Result};
use crate::plan::View;
use crate::server::{Binary, Version, forming_values, redis_conf};
use crate::store::{Cluster, Journal, Lock, Manifest, Work};

/// Starts the nodes of a new cluster, or those of an existing one that do not run.
pub async fn start(context: &Context, wish: &StartWish) -> Result<Answer> {
    wish.spec()?;
    let Some((cluster, lock)) = context.lock(true).await? else {
        return Err(context.no_such_cluster());
    };
    if let Some(manifest) = usable_manifest(context, &cluster)? {
        start_existing(context, &cluster, manifest, wish).await
    } else {
        let made = make(context, &cluster, &lock, wish, Work::Making).await?;
        cluster.remove_journal()?;
        answer(context, &cluster, &made.manifest, made.fleet, None, true).await
    }
}

/// The manifest, unless there is none or a clean of it was cut short: then that is finished.
pub(super) fn usable_manifest(context: &Context, cluster: &Cluster) -> Result<Option<Manifest>> {
    match cluster.manifest()? {
        Some(manifest) if manifest.cleaning => {
            context.events.note("finishing an interrupted clean first");
            let left = super::clean::delete_data(cluster, &manifest)?;
            match left.first() {
                None => Ok(None),
                Some(path) => Err(Error::NotOurs {
                    path: path.clone(),
                    why: "no server writes a file of that name".into(),
                }),
            }
        }
        other => Ok(other),
    }
}

/// Starts what does not run of a cluster that exists.
pub(super) async fn start_existing(
    context: &Context,
    cluster: &Cluster,
    mut manifest: Manifest,
    wish: &StartWish,
) -> Result<Answer> {
    refuse_differences(context, &manifest, wish)?;
    let journal = cluster.journal()?;
    if let Some(journal) = journal.as_ref().filter(|journal| journal.is_forming()) {
        let (fleet, views) = resume_forming(context, cluster, &mut manifest, journal).await?;
        return answer(context, cluster, &manifest, fleet, Some(views), true).await;
    }
    let (mut fleet, started, journal) =
        bring_up(context, cluster, &mut manifest, wish, journal).await?;
    let views = if manifest.formed {
        let capabilities = super::fleet::binary_of(&manifest).map(|binary| binary.capabilities());
        let capabilities = capabilities.ok_or_else(super::resume::no_seed)?;
        Some(
            settle(
                context,
                cluster,
                &mut manifest,
                &mut fleet,
                &journal,
                capabilities,
                false,
            )
            .await?,
        )
    } else {
        put_back(&fleet, &journal).await?;
        cluster.remove_journal()?;
        None
    };
    answer(context, cluster, &manifest, fleet, views, started).await
}

pub(super) fn refuse_differences(
    context: &Context,
    manifest: &Manifest,
    wish: &StartWish,
) -> Result<()> {
    let differences = wish.differences(manifest);
    if differences.is_empty() {
        return Ok(());
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
    let mut fleet = Fleet::observe(cluster, manifest, knows_seven(manifest))?;
    fleet.refuse_elsewhere()?;
    let dead = fleet.numbers(|node| !node.runs());
    let mut journal = journal.unwrap_or(Journal {
        verb: context.verb.into(),
        work: Work::Restarting,
        restore: BTreeMap::default(),
    });
    if !dead.is_empty() {
        let binary = server_for(manifest, wish, fleet.nodes.len() == dead.len()).await?;
        fleet.seven = binary.capabilities().seven;
        let order = prepare(context, cluster, manifest, &fleet, &dead, &binary)?;
        if manifest.formed {
            refuse_to_wipe(cluster, manifest, &mut fleet, &dead).await?;
        }
        let mut values = forming_values(
            fleet.nodes.len(),
            manifest.spec.node_timeout_ms,
            binary.capabilities(),
            false,
        );
        if !manifest.formed {
            values.clear();
        }
        let conf = user_conf(cluster, manifest)?;
        journal
            .restore
            .extend(journal_for(context, Work::Restarting, &values, &conf).restore);
        cluster.write_journal(&journal)?;
        manifest.server = server_info(&binary);
        cluster.write_manifest(manifest)?;
        let ports = context.lock_ports().await?;
        if !fleet.is_small() {
            values.retain(|(name, _)| *name != "hz");
        }
        let launch = Launch {
            context,
            cluster,
            binary: &binary,
            values: &values,
        };
        launch.announce(&fleet, &order);
        let launched = launch.run(&mut fleet, &order).await;
        drop(ports);
        launched.map_err(|error| match error {
            Error::NodesDied { nodes, .. } => Error::NodesDied {
                nodes,
                left: "the nodes that started stay up".into(),
            },
            other => other,
        })?;
    }
    let patience = context.patience("every node to answer");
    while let Err(problems) = fleet.connect().await {
        patience
            .pause(std::time::Duration::from_millis(20), || problems)
            .await?;
    }
    Ok((fleet, !dead.is_empty(), journal))
}

/// The server for nodes that are to be started: the one that was asked for, else the one that
/// last wrote the data, else any on `PATH`.
async fn server_for(manifest: &Manifest, wish: &StartWish, all_are_dead: bool) -> Result<Binary> {
    let recorded = &manifest.server;
    let binary = match &wish.server {
        Some(server) => Binary::find(Some(server)).await?,
        None => match Binary::probe(&recorded.path).await {
            Ok(binary) => binary,
            Err(error) if recorded.path.exists() => return Err(error),
            Err(_) => Binary::find(None).await?,
        },
    };
    let older = Version::parse(&recorded.version).is_some_and(|recorded| binary.version < recorded);
    let other_kind = binary.kind.to_string() != recorded.kind;
    if (older || other_kind) && !wish.yes {
        return Err(Error::Unconfirmed {
            what: format!(
                "give data that {} {} wrote to {binary}, which may not understand it",
                recorded.kind, recorded.version
            ),
        });
    }
    if !all_are_dead && (binary.version.to_string() != recorded.version || other_kind) {
        return Err(Error::ShapeDiffers {
            name: manifest.name.clone(),
            differences: vec![format!(
                "the nodes that run are {} {}, not {binary}",
                recorded.kind, recorded.version
            )],
        });
    }
    Ok(binary)
}

/// Makes sure that each of the nodes `dead` would start as who it was, and says in which order to
/// start them: primaries first, since a replica that finds nobody tries again only a second later.
pub(super) fn prepare(
    context: &Context,
    cluster: &Cluster,
    manifest: &Manifest,
    fleet: &Fleet,
    dead: &[usize],
    binary: &Binary,
) -> Result<Vec<usize>> {
    let mut problems = Vec::new();
    let mut replicas = BTreeSet::new();
    for &number in dead {
        let (Some(entry), Some(node)) = (manifest.nodes.get(number), fleet.nodes.get(number))
        else {
            continue;
        };
        let path = cluster.node_path(entry.addr.port);
        let dir = match cluster.node(entry.addr.port)? {
            Some(dir) => dir,
            None if manifest.formed => {
                problems.push(NodeProblem::new(
                    node.addr,
                    format!("{} is gone", path.display()),
                ));
                continue;
            }
            None => cluster.make_node(entry.addr.port)?,
        };
        let read = |file: &str| {
            dir.read(file, 16 << 20)
                .map_err(Error::io("read", &path.join(file)))
        };
        match (read("nodes.conf")?, &entry.id) {
            // An empty nodes.conf is no error to the server: it invents a new identity.
            (None, Some(_)) if manifest.formed => {
                problems.push(NodeProblem::new(node.addr, "its nodes.conf is gone"));
            }
            (Some(bytes), Some(_)) if manifest.formed && bytes.is_empty() => {
                problems.push(NodeProblem::new(node.addr, "its nodes.conf is empty"));
            }
            (Some(bytes), Some(id)) if manifest.formed => {
                let lines = parse_nodes(&String::from_utf8_lossy(&bytes));
                match lines
                    .as_ref()
                    .map(|lines| lines.iter().find(|line| line.flags.myself))
                {
                    Ok(Some(line)) if line.id == *id => {
                        if matches!(line.role, Role::Replica { .. }) {
                            replicas.insert(number);
                        }
                    }
                    Ok(Some(line)) => problems.push(NodeProblem::new(
                        node.addr,
                        format!(
                            "its nodes.conf is that of node {}, not {}",
                            line.id.short(),
                            id.short()
                        ),
                    )),
                    Ok(None) => problems.push(NodeProblem::new(
                        node.addr,
                        "its nodes.conf names no node as itself",
                    )),
                    Err(why) => problems.push(NodeProblem::new(
                        node.addr,
                        format!("its nodes.conf is damaged: {why}"),
                    )),
                }
            }
            _ => {}
        }
        if read("redis.conf")?.is_none() {
            let title = format!("rcluster:{}/{}", context.name, number + 1);
            let conf = redis_conf(&manifest.spec, entry.addr, binary.capabilities(), &title);
            dir.write_new("redis.conf", conf.as_bytes())
                .map_err(Error::io("write redis.conf in", &path))?;
        }
    }
    if !problems.is_empty() {
        return Err(Error::Identity { nodes: problems });
    }
    let (last, first): (Vec<usize>, Vec<usize>) =
        dead.iter().partition(|number| replicas.contains(number));
    Ok(first.into_iter().chain(last).collect())
}

/// Refuses to start a primary that has forgotten its data while replicas of it still have theirs:
/// they would copy the emptiness.
async fn refuse_to_wipe(
    cluster: &Cluster,
    manifest: &Manifest,
    fleet: &mut Fleet,
    dead: &[usize],
) -> Result<()> {
    if !manifest.spec.ephemeral || dead.len() == fleet.nodes.len() {
        return Ok(());
    }
    let views: Vec<Option<View>> = fleet
        .views(ANSWER_LIMIT)
        .await
        .into_iter()
        .map(Result::ok)
        .collect();
    let mut problems = Vec::new();
    for &number in dead {
        let Some(entry) = manifest.nodes.get(number) else {
            continue;
        };
        let follows = |view: &&View| {
            view.myself().is_some_and(
                |line| matches!(&line.role, Role::Replica { of } if Some(of) == entry.id.as_ref()),
            )
        };
        if views.iter().flatten().any(|view| follows(&view)) {
            problems.push(NodeProblem::new(
                entry.addr,
                "its replica has not taken its place",
            ));
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = problems
        .iter()
        .map(|problem| problem.node.as_str())
        .collect();
    Err(Error::Unsafe {
        message: format!(
            "{} would come back empty, and its replica would copy that (cluster \"{}\" is ephemeral)",
            names.join(", "),
            cluster.name()
        ),
        hint: "wait until the replica has been promoted (`rcluster status`), then run this again"
            .into(),
    })
}

/// The answer of a verb that leaves the nodes running.
pub(super) async fn answer(
    context: &Context,
    cluster: &Cluster,
    manifest: &Manifest,
    mut fleet: Fleet,
    views: Option<Vec<View>>,
    changed: bool,
) -> Result<Answer> {
    let views: Vec<Option<View>> = match views {
        Some(views) => views.into_iter().map(Some).collect(),
        None => fleet
            .views(ANSWER_LIMIT)
            .await
            .into_iter()
            .map(Result::ok)
            .collect(),
    };
    let mut answer = Answer::new(cluster, manifest, &fleet, &views);
    answer.changed = changed;
    answer.elapsed = context.began.elapsed();
    Ok(answer)
}

/// Keeps the lock's type in one place for those who only hold it.
pub(super) type Held = (Cluster, Lock);
