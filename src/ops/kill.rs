//! The end of one node's process, as by a crash.

use std::time::Duration;

use super::context::Context;
use super::fleet::{Fleet, Life};
use crate::error::{Error, Result};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Ends the process of node `number` (from 0) at once, and waits until it has ended. One that does
/// not run is left as it is.
pub async fn kill(context: &Context, number: usize) -> Result<()> {
    let (cluster, manifest) = context.existing()?;
    let mut fleet = Fleet::observe(&cluster, &manifest)?;
    let node = fleet.node_mut(number)?;
    if let Life::Process(process) = &node.life {
        let name = node.addr;
        process.kill().map_err(|source| Error::Io {
            what: format!("kill {name}"),
            source,
        })?;
    }
    let patience = context.patience(format!("{} to end", node.addr));
    while node.has_ended().is_none() {
        patience.pause(PAUSE, Vec::new).await?;
    }
    Ok(())
}
