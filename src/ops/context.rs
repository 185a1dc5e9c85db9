//! Who asks, for which cluster, until when; and getting its lock.

use std::time::{Duration, Instant};

use super::wait::Patience;
use crate::error::{Error, Result};
use crate::event::{Event, Events};
use crate::store::{Attempt, Cluster, ClusterName, Home, Lock, Manifest, PortLock};

/// What every verb needs to know.
#[derive(Clone, Debug)]
pub struct Context {
    /// Where clusters are.
    pub home: Home,
    /// Which one is meant.
    pub name: ClusterName,
    /// The verb, for the lock's holder line and the journal.
    pub verb: &'static str,
    /// How long we wait for everything together.
    pub timeout: Duration,
    /// When the verb began.
    pub began: Instant,
    /// Where events go.
    pub events: Events,
    /// The process group that servers are spawned into, if not each into one of its own.
    pub group: Option<u32>,
}

impl Context {
    /// Says, for `--verbose`, that a stage of the work is reached, and when.
    pub(super) fn reached(&self, stage: &str) {
        self.events.detail(format!(
            "{:>7.1} ms  {stage}",
            self.began.elapsed().as_secs_f64() * 1000.0
        ));
    }

    /// A wait for `what` under the verb's deadline.
    pub(super) fn patience(&self, what: impl Into<String>) -> Patience {
        let hint = if self.group.is_some() {
            // Nothing is left of it that could be looked at, or gone on with.
            Some(
                "pass a longer --timeout; to look at a cluster that does not start: {rcluster} up --retain",
            )
        } else if self.verb == "wait" {
            Some(
                "look at `{rcluster} status`: `wait` starts and forms nothing itself; or pass a longer --timeout",
            )
        } else {
            None
        };
        Patience::new(what, self.began, self.timeout).or(hint)
    }

    /// Locks the cluster, waiting while somebody else has it; with `make`, makes its directory.
    pub(super) async fn lock(&self, make: bool) -> Result<Option<(Cluster, Lock)>> {
        let patience = self.patience("the cluster's lock");
        let mut said = false;
        loop {
            match Lock::attempt(&self.home, &self.name, self.verb, make)? {
                Attempt::Locked(cluster, lock) => return Ok(Some((cluster, lock))),
                Attempt::Absent => return Ok(None),
                Attempt::Held(holder) => {
                    if patience.is_over() {
                        return Err(Error::Locked {
                            name: self.name.to_string(),
                            holder,
                        });
                    }
                    if !std::mem::replace(&mut said, true) {
                        self.events.emit(Event::WaitingForLock { holder });
                    }
                    patience.nap(Duration::from_millis(10)).await;
                }
            }
        }
    }

    /// Like [`Context::lock`], for verbs that need a cluster.
    pub(super) async fn lock_existing(&self) -> Result<(Cluster, Lock)> {
        self.lock(false)
            .await?
            .ok_or_else(|| self.no_such_cluster())
    }

    /// Takes the home's port lock, waiting while somebody else chooses ports.
    pub(super) async fn lock_ports(&self) -> Result<PortLock> {
        let patience = self.patience("the lock on ports");
        loop {
            if let Some(lock) = PortLock::attempt(&self.home)? {
                return Ok(lock);
            }
            if patience.is_over() {
                return Err(Error::Locked {
                    name: self.name.to_string(),
                    holder: "another rcluster that is choosing ports".into(),
                });
            }
            patience.nap(Duration::from_millis(5)).await;
        }
    }

    /// The cluster and its manifest, for verbs that need one and take no lock.
    pub(super) fn existing(&self) -> Result<(Cluster, Manifest)> {
        let cluster = self.home.cluster(&self.name)?;
        let cluster = cluster.ok_or_else(|| self.no_such_cluster())?;
        let manifest = cluster.manifest()?;
        let manifest = manifest.ok_or_else(|| self.no_such_cluster())?;
        Ok((cluster, manifest))
    }

    pub(super) fn no_such_cluster(&self) -> Error {
        Error::NoSuchCluster {
            name: self.name.to_string(),
            home: self.home.path().to_owned(),
        }
    }
}
