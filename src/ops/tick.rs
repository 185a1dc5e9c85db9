//! Making the cluster bus tick when we want it to.
//!
//! Servers connect to peers, send MEET packets and retry in `clusterCron`, which runs in
//! `serverCron` under `run_with_period(100)`: on every `100 / (1000 / hz)`-th call of a timer that
//! fires every `1000 / hz` ms, both divisions in integers. So with hz 500 it is every 50th call,
//! 2 ms apart, and with hz 19 (or less) every single call, 52 ms apart. A node that is switched
//! from 500 to 19 therefore ticks with its next call, 2 ms from now at most, and then every 52 ms.
//! (`server.h` and `serverCron` of Redis 6.2 to 8.2 and Valkey 8.0 to 9.1.)
//!
//! hz 500 has a use of its own: `serverCron` is also where a primary notices that a snapshot's
//! transfer has ended, and thus when a replica gets in sync.

use std::time::Duration;

use super::fleet::Fleet;
use crate::error::Result;

/// Ticks now, and then every 52 ms.
const TICKING: &str = "19";

/// How far ticks are apart with it.
pub(super) const TICK: Duration = Duration::from_millis(52);

/// Looks after snapshots every 2 ms; the next switch to [`TICKING`] ticks at once.
const ATTENTIVE: &str = "500";

/// The most nodes that may tick at once without being in each other's way.
const FEW: usize = 20;

impl Fleet {
    /// Has every node reconnect and send what waits to be sent, now.
    pub(super) async fn tick(&self) -> Result<()> {
        self.each("hz cannot be set", |_, node| {
            node.config_set([("hz", TICKING)])
        })
        .await
    }

    /// Has every node tick once, as soon as may be, and look after its snapshots closely again.
    pub(super) async fn tick_once(&self) -> Result<()> {
        self.tick().await?;
        // Switched back before its next call, a node would not have noticed.
        super::wait::moment(Duration::from_millis(3)).await;
        self.attend().await
    }

    /// Has every node look after its snapshots closely.
    pub(super) async fn attend(&self) -> Result<()> {
        self.each("hz cannot be set", |_, node| {
            node.config_set([("hz", ATTENTIVE)])
        })
        .await
    }

    /// Whether the nodes are few enough to start ticking at once; else they begin slowly, because
    /// each tick of a node tries to connect to all that do not listen yet.
    pub(super) fn is_small(&self) -> bool {
        self.nodes.len() <= FEW
    }
}
