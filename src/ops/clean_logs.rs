//! `clean --logs`: the servers' logs are emptied, also while they write them.

use std::path::PathBuf;

use super::context::Context;
use crate::error::Result;
use crate::store::LOG_FILE;

/// What `clean --logs` did.
#[derive(Clone, Debug)]
pub struct Emptied {
    /// The cluster.
    pub name: String,
    /// The logs that had something in them.
    pub logs: Vec<PathBuf>,
    /// How much, in bytes.
    pub bytes: u64,
    /// What stands in a log's place and is none.
    pub left: Vec<PathBuf>,
}

/// Empties the logs of a cluster. Of nothing is no error.
///
/// They are shortened in place: a server holds its log open for appending, so that its next line is
/// the first of the file. A file that took the log's place would never be written to.
pub async fn clean_logs(context: &Context) -> Result<Emptied> {
    let mut emptied = Emptied {
        name: context.name.to_string(),
        logs: Vec::new(),
        bytes: 0,
        left: Vec::new(),
    };
    // Under the lock: nobody starts or deletes a node meanwhile.
    let Some((cluster, _lock)) = context.lock(false).await? else {
        return Ok(emptied);
    };
    let Some(manifest) = cluster.manifest()? else {
        return Ok(emptied);
    };
    for entry in &manifest.nodes {
        let path = cluster.node_path(entry.addr.port).join(LOG_FILE);
        let shortened = match cluster.node(entry.addr.port) {
            Ok(Some(dir)) => dir.truncate(LOG_FILE),
            Ok(None) => continue,
            Err(_) => {
                emptied.left.push(path);
                continue;
            }
        };
        match shortened {
            Ok(Some(0) | None) => {}
            Ok(Some(length)) => {
                emptied.logs.push(path);
                emptied.bytes += length;
            }
            Err(_) => emptied.left.push(path),
        }
    }
    Ok(emptied)
}
