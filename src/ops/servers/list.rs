//! `server list`: what is installed, what can be, and what is on `PATH`.

use std::env::consts::ARCH;
use std::path::{Path, PathBuf};

use super::damage;
use super::resolve::{DefaultServer, version};
use crate::error::{Error, Result};
use crate::ops::context::Context;
use crate::server::{Binary, PACKAGES, SERVER_NAMES, find_program};
use crate::store::{Choice, InstalledServer, Servers, ServersLock};

/// One server in the list.
#[derive(Clone, Debug)]
pub struct ListedServer {
    /// What it is called: `valkey-9.1.2`, or the name of a program on `PATH`.
    pub name: String,
    /// `redis` or `valkey`, if that is known.
    pub kind: Option<String>,
    /// Its version, if that is known.
    pub version: Option<String>,
    /// Whether it is there.
    pub state: ServerState,
    /// The program, if it is there.
    pub path: Option<PathBuf>,
    /// Where it comes from, in words.
    pub origin: String,
    /// Whether it was chosen.
    pub chosen: bool,
    /// Whether it is what runs where nobody says another.
    pub default: bool,
    /// The clusters that were started with it.
    pub used_by: Vec<String>,
}

/// Whether a server is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerState {
    /// It is installed in the home, and whole.
    Installed,
    /// It is installed, and not what was installed.
    Damaged(String),
    /// It can be installed.
    Available,
    /// There is none for this machine.
    Unavailable,
    /// It is a program outside of the home.
    External,
    /// It is a program outside of the home, and no use.
    Unusable(String),
    /// It was chosen, and is not there.
    Gone,
}

/// Looks at all servers.
pub async fn list_servers(context: &Context) -> Result<Vec<ListedServer>> {
    // What a killed verb has left goes now, if nobody is at work and we may.
    match ServersLock::attempt(&context.home, context.verb, false) {
        Err(Error::Io { .. }) => {}
        attempt => drop(attempt?),
    }
    let servers = context.home.servers()?;
    let default = context.default_server()?;
    let chosen = match &servers {
        Some(servers) => servers.chosen()?,
        None => None,
    };
    let mut list = Vec::new();
    if let Some(servers) = &servers {
        let mut installed = servers.all()?;
        installed
            .sort_by_key(|server| std::cmp::Reverse(version(server).map(|(_, version)| version)));
        for server in installed {
            list.push(listed(context, servers, &server)?);
        }
    }
    for package in PACKAGES {
        let name = package.name();
        if list.iter().any(|server| server.name == name) {
            continue;
        }
        let there = package.wheel(ARCH).is_some();
        list.push(ListedServer {
            name,
            kind: Some(package.kind.to_string()),
            version: Some(package.version.to_string()),
            state: if there {
                ServerState::Available
            } else {
                ServerState::Unavailable
            },
            path: None,
            origin: package.origin(),
            chosen: false,
            default: false,
            used_by: Vec::new(),
        });
    }
    for name in SERVER_NAMES {
        if let Some(path) = find_program(name) {
            list.push(external(name.to_owned(), path).await);
        }
    }
    if let Some(Choice::Path(path)) = &chosen
        && !list.iter().any(|server| server.path.as_ref() == Some(path))
    {
        list.push(external(path.display().to_string(), path.clone()).await);
    }
    mark(&mut list, chosen.as_ref(), default.as_ref());
    Ok(list)
}

fn listed(context: &Context, servers: &Servers, server: &InstalledServer) -> Result<ListedServer> {
    let record = server.record.as_ref().ok();
    let users = context.home.users_of_server(&server.name)?;
    Ok(ListedServer {
        name: server.name.to_string(),
        kind: record.map(|record| record.kind.clone()),
        version: record.map(|record| record.version.clone()),
        state: damage(servers, server)?.map_or(ServerState::Installed, ServerState::Damaged),
        path: super::resolve::program(server),
        origin: record
            .map(|record| record.origin.to_string())
            .unwrap_or_default(),
        chosen: false,
        default: false,
        used_by: users.iter().map(ToString::to_string).collect(),
    })
}

async fn external(name: String, path: PathBuf) -> ListedServer {
    let probed = Binary::probe(&path).await;
    let binary = probed.as_ref().ok();
    ListedServer {
        name,
        kind: binary.map(|binary| binary.kind.to_string()),
        version: binary.map(|binary| binary.version.to_string()),
        state: match &probed {
            Ok(_) => ServerState::External,
            Err(_) if !path.is_file() => ServerState::Gone,
            Err(error) => ServerState::Unusable(error.to_string()),
        },
        origin: path.display().to_string(),
        path: Some(path),
        chosen: false,
        default: false,
        used_by: Vec::new(),
    }
}

/// Marks the server that was chosen, and the one that runs; one that is gone gets a line of its own.
fn mark(list: &mut Vec<ListedServer>, chosen: Option<&Choice>, default: Option<&DefaultServer>) {
    let is_chosen = |server: &ListedServer| match chosen {
        Some(Choice::Installed(name)) => {
            server.name == *name && !matches!(server.state, ServerState::External)
        }
        Some(Choice::Path(path)) => server.path.as_ref() == Some(path),
        None => false,
    };
    if let Some(server) = list.iter_mut().find(|server| is_chosen(server)) {
        server.chosen = true;
        if matches!(
            server.state,
            ServerState::Available | ServerState::Unavailable
        ) {
            server.state = ServerState::Gone;
        }
    } else if let Some(Choice::Installed(name)) = chosen {
        list.insert(
            0,
            ListedServer {
                name: name.clone(),
                kind: None,
                version: None,
                state: ServerState::Gone,
                path: None,
                origin: String::new(),
                chosen: true,
                default: false,
                used_by: Vec::new(),
            },
        );
    }
    let running: Option<&Path> = match default {
        Some(
            DefaultServer::Chosen(path) | DefaultServer::OnPath(path) | DefaultServer::Newest(path),
        ) => Some(path),
        Some(DefaultServer::Gone(_)) | None => None,
    };
    for server in list {
        server.default = running.is_some() && server.path.as_deref() == running;
    }
}
