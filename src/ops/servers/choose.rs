//! `server use`: which server runs where nobody says another.

use super::resolve::{find_installed, program};
use super::{UsableServer, damage};
use crate::cluster::printable;
use crate::error::{Error, Result};
use crate::ops::context::Context;
use crate::server::{Binary, PACKAGES, Package, find_program, nearest};
use crate::store::{Choice, ServersLock};

/// What `server use` did.
#[derive(Clone, Debug)]
pub struct ChosenServer {
    /// The server that is chosen now; `None` if none is.
    pub server: Option<UsableServer>,
    /// Whether that is news.
    pub changed: bool,
}

/// Chooses the server that `wish` names (a path, a name on `PATH`, or an installed one), or none.
pub async fn use_server(context: &Context, wish: Option<&str>) -> Result<ChosenServer> {
    let Some(lock) = context.lock_servers(wish.is_some()).await? else {
        // Nothing was ever chosen here.
        return match wish {
            None => Ok(ChosenServer {
                server: None,
                changed: false,
            }),
            Some(wish) => Err(unknown(wish, Vec::new())),
        };
    };
    let before = lock.servers().chosen()?;
    let Some(wish) = wish else {
        lock.choose(None)?;
        return Ok(ChosenServer {
            server: None,
            changed: before.is_some(),
        });
    };
    let (choice, server) = look(&lock, wish).await?;
    let changed = before.as_ref() != Some(&choice);
    if changed {
        lock.choose(Some(&choice))?;
    }
    Ok(ChosenServer {
        server: Some(server),
        changed,
    })
}

/// Finds what `wish` names, and makes sure that it works.
async fn look(lock: &ServersLock, wish: &str) -> Result<(Choice, UsableServer)> {
    let usable = |binary: Binary, name: Option<String>| UsableServer {
        name,
        kind: binary.kind.to_string(),
        version: binary.version.to_string(),
        path: binary.path,
    };
    if let Some(path) = find_program(wish) {
        let binary = Binary::probe(&path).await?;
        return Ok((Choice::Path(path), usable(binary, None)));
    }
    let Some(server) = find_installed(lock.servers(), wish)? else {
        let all = lock.servers().all()?;
        let names = all.iter().map(|server| server.name.to_string()).collect();
        return Err(unknown(wish, names));
    };
    let name = server.name.to_string();
    if let Some(why) = damage(lock.servers(), &server)? {
        return Err(Error::Unfit {
            message: format!("{name} is damaged: {why}"),
            hint: format!("install it anew: {{rcluster}} server install {name}"),
        });
    }
    let path = program(&server).ok_or_else(|| unknown(wish, Vec::new()))?;
    let binary = Binary::probe(&path).await?;
    Ok((Choice::Installed(name.clone()), usable(binary, Some(name))))
}

/// What is said of a name that is neither on `PATH` nor installed.
fn unknown(wish: &str, installed: Vec<String>) -> Error {
    let shown = printable(wish, 60);
    if wish.contains('/') {
        return Error::Unfit {
            message: format!("there is no program {shown}"),
            hint: "pass the path of a redis-server or valkey-server".into(),
        };
    }
    if Package::find(Some(wish), std::env::consts::ARCH).is_ok() {
        return Error::Unfit {
            message: format!("\"{shown}\" is not installed"),
            hint: format!("install it: {{rcluster}} server install {shown}"),
        };
    }
    let mut names = nearest(wish, installed);
    if names.is_empty() {
        names = nearest(wish, PACKAGES.iter().map(Package::name));
        return Error::usage(
            format!("there is no server \"{shown}\", on PATH or installed"),
            format!(
                "install one first ({{rcluster}} server install): {}",
                names.join(", ")
            ),
        );
    }
    Error::usage(
        format!("there is no server \"{shown}\", on PATH or installed"),
        format!("installed are: {}", names.join(", ")),
    )
}
