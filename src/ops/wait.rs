//! The one place where asynchronous work waits for time to pass.
//!
//! A wait has a deadline, and an error that says what was missing at the last look. Nobody else
//! sleeps: a test reads the sources and holds that. What blocks waits by what it waits for: `poll` in
//! `sys`, a child's end.

use std::time::{Duration, Instant};

use crate::error::{Error, NodeProblem};

/// A wait for one thing.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    what: String,
    began: Instant,
    limit: Duration,
    /// What to do when the deadline has passed, if it is nothing usual.
    hint: Option<&'static str>,
}

impl Patience {
    /// A wait for `what` that ends `limit` after `began`.
    pub(super) fn new(what: impl Into<String>, began: Instant, limit: Duration) -> Self {
        Self {
            what: what.into(),
            began,
            limit,
            hint: None,
        }
    }

    /// The same, and what to do when the deadline has passed.
    pub(super) fn or(self, hint: Option<&'static str>) -> Self {
        Self { hint, ..self }
    }

    /// What is waited for.
    pub(super) fn what(&self) -> &str {
        &self.what
    }

    /// How long until the deadline.
    pub(super) fn left(&self) -> Duration {
        self.limit.saturating_sub(self.began.elapsed())
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
            hint: self.hint,
        }
    }

    /// Does `work`, unless the deadline comes before its end; then it is dropped.
    pub(super) async fn bound<T>(&self, work: impl Future<Output = T>) -> Result<T, Error> {
        tokio::time::timeout(self.left(), work)
            .await
            .map_err(|_| self.timed_out(Vec::new()))
    }

    /// Pauses, but not beyond the deadline.
    pub(super) async fn nap(&self, pause: Duration) {
        tokio::time::sleep(pause.min(self.left())).await;
    }
}

/// A beat to look at things by. Rounds that could not be begun in time are left out, and the others
/// stay where they would have been: those who share a beginning share their rounds.
#[derive(Debug)]
pub(super) struct Beat {
    interval: tokio::time::Interval,
    began: tokio::time::Instant,
}

impl Beat {
    /// A beat every `period`, the first one at `began`. The period must not be zero.
    pub(super) fn new(began: Instant, period: Duration) -> Self {
        let began = tokio::time::Instant::from_std(began);
        let mut interval = tokio::time::interval_at(began, period);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        Self { interval, began }
    }

    /// Waits for the next round; its number, from 0. Nothing is lost if the wait is dropped.
    pub(super) async fn next(&mut self) -> u64 {
        let at = self.interval.tick().await;
        let passed = at.duration_since(self.began).as_micros();
        let round = passed / self.interval.period().as_micros().max(1);
        u64::try_from(round).unwrap_or(u64::MAX)
    }
}

/// Lets a moment pass, for something that a server does by itself in that time.
pub(super) async fn moment(moment: Duration) {
    tokio::time::sleep(moment).await;
}
