//! Whether there is room for the nodes: asked before anything is touched, so that a refusal has
//! nothing to undo.

use super::context::Context;
use super::programs::Programs;
use super::wish::StartWish;
use crate::error::{Error, Result};
use crate::plan::{ClusterSpec, Finding, Needs, Verdict, judge_limits};
use crate::server::Binary;
use crate::sys::limits::{machine, set_open_files};

/// The servers for a new cluster, and room for it; `None` if the cluster exists, whose nodes may
/// run already.
pub(super) async fn before_making(context: &Context, wish: &StartWish) -> Result<Option<Programs>> {
    // One that cannot be read is refused by whoever locks it.
    let exists = || !matches!(context.home.cluster(&context.name), Ok(None));
    if exists() {
        return Ok(None);
    }
    match fit_programs(context, wish).await {
        // Somebody else has just made it, and took the room that we miss.
        Err(Error::Unfit { .. }) if exists() => Ok(None),
        found => found.map(Some),
    }
}

/// The servers that `wish` names, if there is room for all the nodes of a new cluster.
pub(super) async fn fit_programs(context: &Context, wish: &StartWish) -> Result<Programs> {
    let found = Programs::find(context, wish).await;
    room_for(context, wish, found)
}

/// The servers that were `found`, if there is room for all the nodes of a new cluster.
pub(super) fn room_for(
    context: &Context,
    wish: &StartWish,
    found: Result<Programs>,
) -> Result<Programs> {
    let spec = wish.spec()?;
    // Before a server is missed: where there is no room, asking it may have failed for that.
    let tasks = found.as_ref().ok().map(Programs::tasks);
    let needs = needs(&spec, tasks, spec.node_count(), true);
    have_room(context, &needs)?;
    found
}

/// Refuses to start `starting` nodes of a cluster that exists if there is no room for them.
pub(super) fn require(
    context: &Context,
    spec: &ClusterSpec,
    programs: &Programs,
    starting: usize,
) -> Result<()> {
    have_room(
        context,
        &needs(spec, Some(programs.tasks()), starting, false),
    )
}

/// What `starting` nodes of a cluster of the shape `spec` need, whose servers have `tasks` threads
/// each. Of servers that are not known, the least of all.
pub(super) fn needs(spec: &ClusterSpec, tasks: Option<u64>, starting: usize, fresh: bool) -> Needs {
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let io_threads = spec
        .all_directives()
        .filter(|directive| directive.name() == "io-threads")
        .filter_map(|directive| directive.value().parse::<u64>().ok())
        .max();
    // The first of them is the main thread.
    let more = io_threads.unwrap_or(1).saturating_sub(1).min(128);
    Needs {
        nodes: number(spec.node_count()),
        starting: number(starting),
        fresh,
        tasks_each: tasks.unwrap_or(Binary::LEAST_TASKS) + more,
    }
}

/// Raises the limit of open files as far as needed, and refuses, with all reasons at once, if
/// there is no room for `needs`.
fn have_room(context: &Context, needs: &Needs) -> Result<()> {
    let machine = machine(context.home.path(), needs.tasks());
    let findings = judge_limits(needs, &machine);
    let (failed, rest): (Vec<Finding>, Vec<Finding>) = findings
        .into_iter()
        .partition(|finding| finding.verdict == Verdict::Fail);
    if !failed.is_empty() {
        let fixes: Vec<String> = failed
            .iter()
            .filter_map(|finding| finding.fix.clone())
            .collect();
        let messages: Vec<String> = failed.into_iter().map(|finding| finding.message).collect();
        return Err(Error::Unfit {
            message: messages.join("; "),
            hint: fixes.join("; "),
        });
    }
    for finding in rest {
        if finding.verdict == Verdict::Warn {
            context.events.note(finding.message);
        }
    }
    let soft = machine
        .open_files
        .and_then(|limit| needs.soft_open_files(&limit));
    if let Some(soft) = soft {
        set_open_files(soft).map_err(|source| Error::Io {
            what: format!("raise the limit of open files to {soft}"),
            source,
        })?;
    }
    context.reached("there is room for the nodes");
    Ok(())
}
