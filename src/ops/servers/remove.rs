//! `server remove`: deletes an installed server that nobody needs.

use std::path::PathBuf;

use super::resolve::fitting;
use super::server_name;
use crate::error::{Error, Result};
use crate::ops::context::Context;
use crate::store::{Choice, ServerName, Servers};

/// What `server remove` did.
#[derive(Clone, Debug)]
pub struct RemovedServer {
    /// What was removed, or was not there.
    pub name: String,
    /// Whether there was anything to do.
    pub changed: bool,
    /// Files that are not ours, and were left.
    pub left: Vec<PathBuf>,
}

/// Deletes the installed server that `wish` names, unless a cluster runs on it.
pub async fn remove_server(context: &Context, wish: &str) -> Result<RemovedServer> {
    let name = server_name(wish)?;
    let nothing = |name: ServerName| RemovedServer {
        name: name.to_string(),
        changed: false,
        left: Vec::new(),
    };
    let Some(lock) = context.lock_servers(false).await? else {
        return Ok(nothing(name));
    };
    let Some(name) = find(lock.servers(), &name)? else {
        return Ok(nothing(name));
    };
    let users = context.home.users_of_server(&name)?;
    if !users.is_empty() {
        let users: Vec<String> = users.iter().map(|user| format!("\"{user}\"")).collect();
        let clusters = if users.len() == 1 {
            "cluster"
        } else {
            "clusters"
        };
        return Err(Error::Conflict {
            message: format!("{name} is the server of {clusters} {}", users.join(", ")),
            hint: "delete what runs on it first (`rcluster down`), or start it on another server (`rcluster start --server …`)".into(),
        });
    }
    // First the choice: killed in between, nothing points to what is gone.
    if lock.servers().chosen()? == Some(Choice::Installed(name.to_string())) {
        lock.choose(None)?;
        context
            .events
            .note(format!("{name} was the chosen server; none is chosen now"));
    }
    let left = lock.remove(&name)?;
    Ok(RemovedServer {
        name: name.to_string(),
        changed: true,
        left,
    })
}

/// The one installed server that is meant.
fn find(servers: &Servers, wish: &ServerName) -> Result<Option<ServerName>> {
    if servers.get(wish)?.is_some() {
        return Ok(Some(wish.clone()));
    }
    let mut fitting = fitting(servers, wish.as_str())?;
    if fitting.len() > 1 {
        let names: Vec<String> = fitting
            .iter()
            .map(|server| server.name.to_string())
            .collect();
        return Err(Error::usage(
            format!("\"{wish}\" may mean {}", names.join(" or ")),
            "say which",
        ));
    }
    Ok(fitting.pop().map(|server| server.name))
}
