//! The one place where rcluster waits.
//!
//! A wait has a deadline, and an error that says what was missing at the last look. Nobody else
//! sleeps: a test reads the sources and holds that.

use std::time::{Duration, Instant};

use crate::error::{Error, NodeProblem};

/// A wait for one thing.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    what: String,
    began: Instant,
    limit: Duration,
}

impl Patience {
    /// A wait for `what` that ends `limit` after `began`.
    pub(super) fn new(what: impl Into<String>, began: Instant, limit: Duration) -> Self {
        Self {
            what: what.into(),
            began,
            limit,
        }
    }

    /// What is waited for.
    pub(super) fn what(&self) -> &str {
        &self.what
    }

    /// Whether the deadline has passed.
    pub(super) fn is_over(&self) -> bool {
        self.began.elapsed() >= self.limit
    }

    /// Pauses before the next look, or fails if the deadline has passed.
    pub(super) async fn pause(
        &self,
        pause: Duration,
        missing: impl FnOnce() -> Vec<NodeProblem>,
    ) -> Result<(), Error> {
        if self.is_over() {
            return Err(self.timed_out(missing()));
        }
        self.nap(pause).await;
        Ok(())
    }

    /// The error of a wait that was in vain.
    pub(super) fn timed_out(&self, missing: Vec<NodeProblem>) -> Error {
        Error::TimedOut {
            what: self.what.clone(),
            after: self.began.elapsed(),
            missing,
        }
    }

    /// Does `work`, unless the deadline comes before its end; then it is dropped.
    pub(super) async fn bound<T>(&self, work: impl Future<Output = T>) -> Result<T, Error> {
        let left = self.limit.saturating_sub(self.began.elapsed());
        tokio::time::timeout(left, work)
            .await
            .map_err(|_| self.timed_out(Vec::new()))
    }

    /// Pauses, but not beyond the deadline.
    pub(super) async fn nap(&self, pause: Duration) {
        let left = self.limit.saturating_sub(self.began.elapsed());
        tokio::time::sleep(pause.min(left)).await;
    }
}

/// Lets a moment pass, for something that a server does by itself in that time.
pub(super) async fn moment(moment: Duration) {
    tokio::time::sleep(moment).await;
}
