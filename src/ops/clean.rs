//! `clean`: deletes the data of a stopped cluster. `down`: stops it first.

use std::path::PathBuf;

use super::context::Context;
use super::fleet::Fleet;
use super::stop::{Stopped, stop_locked};
use crate::error::{Error, Result};
use crate::store::{Cluster, Lock, Manifest, PortLock};
use crate::sys::process::working_below;

/// What `clean` or `down` did.
#[derive(Clone, Debug)]
pub struct Cleaned {
    /// The cluster.
    pub name: String,
    /// Whether there was anything to do.
    pub changed: bool,
    /// How long it took.
    pub elapsed: std::time::Duration,
    /// Files that are not ours, and were left.
    pub left: Vec<PathBuf>,
    /// How the nodes ended, for `down`.
    pub stopped: Option<Stopped>,
}

/// Deletes a stopped cluster. Nothing to delete is no error.
pub async fn clean(context: &Context) -> Result<Cleaned> {
    match context.lock(false).await? {
        Some(held) => remove(context, held, None),
        None => Ok(nothing(context)),
    }
}

/// Stops a cluster and deletes it.
pub async fn down(context: &Context, grace: Option<std::time::Duration>) -> Result<Cleaned> {
    let Some((cluster, lock)) = context.lock(false).await? else {
        return Ok(nothing(context));
    };
    let stopped = match cluster.manifest()? {
        Some(manifest) => Some(
            stop_locked(
                context,
                &cluster,
                &manifest,
                grace.unwrap_or(super::stop::GRACE),
            )
            .await?,
        ),
        None => None,
    };
    remove(context, (cluster, lock), stopped)
}

fn nothing(context: &Context) -> Cleaned {
    Cleaned {
        name: context.name.to_string(),
        changed: false,
        elapsed: context.began.elapsed(),
        left: Vec::new(),
        stopped: None,
    }
}

fn remove(
    context: &Context,
    (cluster, lock): (Cluster, Lock),
    stopped: Option<Stopped>,
) -> Result<Cleaned> {
    let manifest = cluster.manifest()?;
    refuse_while_used(context, &cluster)?;
    if let Some(manifest) = &manifest {
        let fleet = Fleet::observe(&cluster, manifest)?;
        fleet.refuse_elsewhere()?;
        fleet.refuse_running()?;
    }
    let left = match &manifest {
        Some(manifest) => delete_data(&cluster, manifest)?,
        None => delete_files(&cluster)?,
    };
    delete_directory(context, &cluster, &lock)?;
    Ok(Cleaned {
        changed: manifest.is_some(),
        left,
        stopped,
        ..nothing(context)
    })
}

/// Refuses while a node runs, and while anybody's working directory is in the cluster's.
pub(super) fn refuse_while_used(context: &Context, cluster: &Cluster) -> Result<()> {
    let proc_error = |source| Error::Io {
        what: "read /proc".into(),
        source,
    };
    let users = working_below(cluster.path()).map_err(proc_error)?;
    let Some((pid, name)) = users.first() else {
        return Ok(());
    };
    let more = if users.len() > 1 {
        format!(" and {} more", users.len() - 1)
    } else {
        String::new()
    };
    Err(Error::Unsafe {
        message: format!(
            "cluster \"{}\" is in use: pid {pid} ({name}){more} works in its directory",
            context.name
        ),
        hint:
            "stop its nodes (`{rcluster} stop`, or `{rcluster} down` for both), and leave the directory"
                .into(),
    })
}

/// Deletes what the nodes hold and all our files but the lock. Interrupted, it is finished by the
/// next verb. Returns what is not ours and was left.
pub(super) fn delete_data(cluster: &Cluster, manifest: &Manifest) -> Result<Vec<PathBuf>> {
    if !manifest.cleaning {
        let marked = cluster.write_manifest(&Manifest {
            cleaning: true,
            ..manifest.clone()
        });
        match marked {
            // What is deleted now makes the room that was missing.
            Err(error) if error.is_disk_full() => {}
            other => other?,
        }
    }
    let mut left = Vec::new();
    remove_node_dirs(cluster, manifest, &mut left)?;
    cluster.remove_files(&mut left)?;
    Ok(left)
}

/// Deletes what the nodes hold, and their directories; what is not ours goes to `left`.
pub(super) fn remove_node_dirs(
    cluster: &Cluster,
    manifest: &Manifest,
    left: &mut Vec<PathBuf>,
) -> Result<()> {
    for (number, entry) in manifest.nodes.iter().enumerate() {
        cluster.remove_node(entry.addr.port, &manifest.data_names(number), left)?;
    }
    Ok(())
}

fn delete_files(cluster: &Cluster) -> Result<Vec<PathBuf>> {
    let mut left = Vec::new();
    cluster.remove_files(&mut left)?;
    Ok(left)
}

fn delete_directory(context: &Context, cluster: &Cluster, lock: &Lock) -> Result<()> {
    lock.remove_cluster(&context.home, cluster)?;
    PortLock::tidy(&context.home)
}
