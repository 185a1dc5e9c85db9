//! Which server runs: the one that was asked for, else the chosen one, else the first on `PATH`,
//! else the newest of those that are installed.

use std::path::PathBuf;

use crate::cluster::printable;
use crate::error::{Error, Result};
use crate::ops::context::Context;
use crate::server::{Binary, Kind, Label, Package, SERVER_NAMES, Version, find_program};
use crate::store::{Choice, InstalledServer, Servers};

/// The server that runs where nobody names one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DefaultServer {
    /// It was chosen.
    Chosen(PathBuf),
    /// It was chosen, and is not there.
    Gone(Choice),
    /// It is the first on `PATH`.
    OnPath(PathBuf),
    /// It is the newest that is installed.
    Newest(PathBuf),
}

impl Context {
    /// Finds the server that `wish` names (a path, a name on `PATH`, or an installed one), or the
    /// one that runs where nobody names one, and asks it what it is.
    pub(in crate::ops) async fn find_server(&self, wish: Option<&str>) -> Result<Binary> {
        let path = match wish {
            Some(wish) => match find_program(wish) {
                Some(path) => path,
                None => self.installed_server(wish)?,
            },
            None => match self.default_server()? {
                Some(
                    DefaultServer::Chosen(path)
                    | DefaultServer::OnPath(path)
                    | DefaultServer::Newest(path),
                ) => path,
                Some(DefaultServer::Gone(choice)) => return Err(gone(&choice)),
                // It says what to do.
                None => return Binary::find(None).await,
            },
        };
        Binary::probe(&path).await
    }

    fn installed_server(&self, wish: &str) -> Result<PathBuf> {
        let found = match self.home.servers()? {
            Some(servers) => find_installed(&servers, wish)?,
            None => None,
        };
        let path = found.as_ref().and_then(program);
        path.ok_or_else(|| not_there(wish))
    }

    /// The server that runs where nobody names one; `None` if there is none at all.
    pub(super) fn default_server(&self) -> Result<Option<DefaultServer>> {
        let servers = self.home.servers()?;
        let chosen = match &servers {
            Some(servers) => servers.chosen()?,
            None => None,
        };
        if let (Some(servers), Some(choice)) = (&servers, chosen) {
            let path = match &choice {
                Choice::Path(path) => Some(path.clone()),
                Choice::Installed(name) => match name.parse() {
                    Ok(name) => servers.get(&name)?.as_ref().and_then(program),
                    Err(_) => None,
                },
            };
            return Ok(Some(match path.filter(|path| path.is_file()) {
                Some(path) => DefaultServer::Chosen(path),
                None => DefaultServer::Gone(choice),
            }));
        }
        if let Some(path) = server_on_path() {
            return Ok(Some(DefaultServer::OnPath(path)));
        }
        let newest = match &servers {
            Some(servers) => newest(servers.all()?),
            None => None,
        };
        Ok(newest.as_ref().and_then(program).map(DefaultServer::Newest))
    }
}

/// The first server on `PATH`.
pub(super) fn server_on_path() -> Option<PathBuf> {
    SERVER_NAMES.iter().find_map(|name| find_program(name))
}

/// The installed server that `wish` names: exactly, or as the newest of its kind or version.
pub(super) fn find_installed(servers: &Servers, wish: &str) -> Result<Option<InstalledServer>> {
    if let Ok(name) = wish.parse()
        && let Some(server) = servers.get(&name)?
    {
        return Ok(Some(server));
    }
    Ok(newest(fitting(servers, wish)?))
}

/// The installed servers that `wish` may mean.
pub(super) fn fitting(servers: &Servers, wish: &str) -> Result<Vec<InstalledServer>> {
    let Some(label) = Label::parse(wish) else {
        return Ok(Vec::new());
    };
    let fits = |server: &InstalledServer| {
        version(server).is_some_and(|(kind, version)| label.fits(kind, version))
    };
    Ok(servers.all()?.into_iter().filter(fits).collect())
}

fn newest(servers: Vec<InstalledServer>) -> Option<InstalledServer> {
    let there = servers
        .into_iter()
        .filter(|server| program(server).is_some_and(|path| path.is_file()));
    // Of two with one version not the one that somebody gave a name of its own.
    there.max_by_key(|server| {
        let version = version(server);
        let usual = version.map(|(kind, version)| format!("{kind}-{version}"));
        let is_usual = usual.as_deref() == Some(server.name.as_str());
        (version.map(|(_, version)| version), is_usual)
    })
}

/// Kind and version of an installed server, by its record.
pub(super) fn version(server: &InstalledServer) -> Option<(Kind, Version)> {
    let record = server.record.as_ref().ok()?;
    let kind = match record.kind.as_str() {
        "valkey" => Kind::Valkey,
        "redis" => Kind::Redis,
        _ => return None,
    };
    Some((kind, Version::parse(&record.version)?))
}

/// The path of an installed server's program.
pub(super) fn program(server: &InstalledServer) -> Option<PathBuf> {
    let record = server.record.as_ref().ok()?;
    Some(server.program(record.server()))
}

/// What is said of a server that is neither a program nor installed.
pub(super) fn not_there(wish: &str) -> Error {
    let shown = printable(wish, 200);
    let hint = if Package::find(Some(wish), std::env::consts::ARCH).is_ok() {
        format!("install it: {{rcluster}} server install {shown}")
    } else {
        "pass the path of a redis-server or valkey-server with --server, or the name of an installed one: {rcluster} server list".to_owned()
    };
    Error::Unfit {
        message: format!("there is no program \"{shown}\", and no installed server of that name"),
        hint,
    }
}

fn gone(choice: &Choice) -> Error {
    let other = "choose another: {rcluster} server use NAME, or none: {rcluster} server use --none";
    match choice {
        Choice::Path(path) => Error::Unfit {
            message: format!(
                "the server that was chosen for this home is gone: {}",
                path.display()
            ),
            hint: other.to_owned(),
        },
        Choice::Installed(name) => Error::Unfit {
            message: format!("the server that was chosen for this home is gone: {name}"),
            hint: if Package::find(Some(name), std::env::consts::ARCH).is_ok() {
                format!("install it again: {{rcluster}} server install {name}; or {other}")
            } else {
                other.to_owned()
            },
        },
    }
}
