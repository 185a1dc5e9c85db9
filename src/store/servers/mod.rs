//! Servers that were installed into the home.
//!
//! ```text
//! <home>/.servers/
//! ├── .lock                held with flock(2) while something here is changed
//! ├── .chosen.json         which server runs where nobody says another
//! ├── .new-<random>/       being installed; whatever is left of one is removed by the next verb
//! ├── .old-<name>/         replaced by <name> just now
//! ├── failed-build.log     what make said when it failed last
//! └── <name>/
//!     ├── server.json      what it is and where it comes from
//!     ├── build.log        what make said, if it was built here
//!     └── bin/             valkey-server, and valkey-cli if there is one
//! ```
//! A server appears with all its files, by one rename, or not at all.

mod record;
mod staging;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cluster::printable;
use crate::error::{Error, Result};
use crate::store::home::Home;
use crate::store::lock::{read_holder, write_holder};
use crate::store::manifest::Manifest;
use crate::store::name::ClusterName;
use crate::sys;
use crate::sys::dir::{Dir, Entry, Kind, file_id};
pub use record::{Origin, ServerName, ServerRecord};
pub use staging::Staging;
use staging::{OUT, TMP, WORK};

const SERVERS: &str = ".servers";
const LOCK: &str = ".lock";
const CHOSEN: &str = ".chosen.json";
const FAILED_LOG: &str = "failed-build.log";
const NEW: &str = ".new-";
const OLD: &str = ".old-";

const RECORD: &str = "server.json";
const BUILD_LOG: &str = "build.log";
const BIN: &str = "bin";

/// The only programs that we put there.
const PROGRAMS: [&str; 4] = ["redis-server", "redis-cli", "valkey-server", "valkey-cli"];

/// No file of ours is larger.
const FILE_LIMIT: u64 = 1 << 20;

/// An installed server, as its directory says.
#[derive(Clone, Debug)]
pub struct InstalledServer {
    /// Its name.
    pub name: ServerName,
    /// Its directory.
    pub path: PathBuf,
    /// What it is; why that cannot be said if it cannot.
    pub record: Result<ServerRecord, String>,
}

impl InstalledServer {
    /// The path of one of its programs, whether it is there or not.
    pub fn program(&self, name: &str) -> PathBuf {
        self.path.join(BIN).join(name)
    }

    /// The log of its build, if it was built here.
    pub fn log(&self) -> Option<PathBuf> {
        let log = self.path.join(BUILD_LOG);
        log.is_file().then_some(log)
    }
}

/// Which server runs where nobody says another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// An installed one.
    Installed(String),
    /// The program at this path.
    Path(PathBuf),
}

/// The servers of a home, to be looked at.
#[derive(Debug)]
pub struct Servers {
    dir: Dir,
}

impl Home {
    /// The servers of this home; `None` if nothing was ever installed. Takes no lock.
    pub fn servers(&self) -> Result<Option<Servers>> {
        let Some(home) = self.open()? else {
            return Ok(None);
        };
        match home.sub(SERVERS) {
            Ok(dir) => Servers { dir }.trusted().map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("open", &self.path().join(SERVERS))(error)),
        }
    }

    /// The clusters that were started with the installed server `name`, and have not been deleted.
    pub fn users_of_server(&self, name: &ServerName) -> Result<Vec<ClusterName>> {
        // Not one field of the manifest but its whole text: whatever says the path needs the file.
        let path = format!("{SERVERS}/{name}/");
        let mut users = Vec::new();
        for cluster in self.names()? {
            let file = self.path().join(cluster.as_str()).join(Manifest::FILE);
            let text = match fs::read_to_string(&file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(Error::io("read", &file))?,
            };
            if text.contains(&path) {
                users.push(cluster);
            }
        }
        Ok(users)
    }
}

impl Servers {
    fn trusted(self) -> Result<Self> {
        match self
            .dir
            .distrust()
            .map_err(Error::io("look at", self.path()))?
        {
            None => Ok(self),
            Some(why) => Err(Error::NotOurs {
                path: self.path().to_owned(),
                why,
            }),
        }
    }

    /// Their directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// All that are installed, damaged ones too, by name.
    pub fn all(&self) -> Result<Vec<InstalledServer>> {
        let entries = self.dir.entries().map_err(Error::io("list", self.path()))?;
        let names = entries
            .into_iter()
            .filter(|entry| entry.kind == Kind::Dir)
            .filter_map(|entry| entry.name.to_str()?.parse().ok());
        names
            .filter_map(|name| self.get(&name).transpose())
            .collect()
    }

    /// The server `name`, if there is one.
    pub fn get(&self, name: &ServerName) -> Result<Option<InstalledServer>> {
        let path = self.path().join(name.as_str());
        let dir = match self.dir.sub(name.as_str()) {
            Ok(dir) => dir,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("open", &path)(error)),
        };
        let read = || -> Result<ServerRecord, String> {
            let bytes = dir
                .read(RECORD, FILE_LIMIT)
                .map_err(|error| format!("{RECORD} cannot be read: {error}"))?
                .ok_or_else(|| format!("{RECORD} is missing"))?;
            let record: ServerRecord = serde_json::from_slice(&bytes)
                .map_err(|error| printable(&format!("{RECORD} cannot be read: {error}"), 200))?;
            if record.schema_version == ServerRecord::SCHEMA_VERSION {
                Ok(record)
            } else {
                Err(format!("{RECORD} was written by another rcluster"))
            }
        };
        Ok(Some(InstalledServer {
            name: name.clone(),
            path,
            record: read(),
        }))
    }

    /// Opens the program `program` of the server `name`; `None` if it is missing.
    pub fn open_program(&self, name: &ServerName, program: &str) -> Result<Option<File>> {
        let path = self.path().join(name.as_str()).join(BIN).join(program);
        let open = || self.dir.sub(name.as_str())?.sub(BIN)?.open_file(program);
        match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map_err(Error::io("open", &path)),
        }
    }

    /// What was chosen.
    pub fn chosen(&self) -> Result<Option<Choice>> {
        let path = self.path().join(CHOSEN);
        let bytes = self
            .dir
            .read(CHOSEN, FILE_LIMIT)
            .map_err(Error::io("read", &path))?;
        let Some(bytes) = bytes else { return Ok(None) };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| Error::Corrupt {
                path,
                why: printable(&error.to_string(), 200),
            })
    }
}

/// The right to change the servers of a home. Freed when dropped.
#[derive(Debug)]
pub struct ServersLock {
    home: Dir,
    servers: Servers,
    _file: File,
}

/// What trying to lock the servers came to.
#[derive(Debug)]
pub enum ServersAttempt {
    /// They are ours to change.
    Locked(ServersLock),
    /// Somebody else is at it: `pid 4711 (server install)`.
    Held(String),
    /// Nothing is installed, and no place was to be made.
    Absent,
}

impl ServersLock {
    /// Tries to lock the servers of `home`, for `verb`. With `make` their directory is made if
    /// there is none. What a killed verb has left is removed.
    pub fn attempt(home: &Home, verb: &str, make: bool) -> Result<ServersAttempt> {
        let path = home.path().join(SERVERS);
        loop {
            let home_dir = if make {
                Some(home.make()?)
            } else {
                home.open()?
            };
            let Some(home_dir) = home_dir else {
                return Ok(ServersAttempt::Absent);
            };
            if make {
                home_dir.make(SERVERS).map_err(Error::io("make", &path))?;
            }
            let dir = match home_dir.sub(SERVERS) {
                Ok(dir) => dir,
                Err(error) if error.kind() == io::ErrorKind::NotFound && make => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Ok(ServersAttempt::Absent);
                }
                Err(error) => return Err(Error::io("open", &path)(error)),
            };
            let servers = Servers { dir }.trusted()?;
            let mut file = match servers.dir.open_lock(LOCK) {
                Ok(file) => file,
                // The directory was removed since it was opened.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::io("open", &path.join(LOCK))(error)),
            };
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Ok(ServersAttempt::Held(read_holder(&mut file)));
                }
                Err(TryLockError::Error(error)) => {
                    return Err(Error::io("lock", &path.join(LOCK))(error));
                }
            }
            let same = || -> io::Result<bool> {
                let still_there = servers.dir.file_id(LOCK)? == Some(file_id(&file)?);
                Ok(still_there && home_dir.file_id(SERVERS)? == Some(servers.dir.id()?))
            };
            if same().map_err(Error::io("look at", &path))? {
                write_holder(&mut file, verb).map_err(Error::io("write", &path.join(LOCK)))?;
                let lock = Self {
                    home: home_dir,
                    servers,
                    _file: file,
                };
                lock.sweep().map_err(Error::io("tidy up", &path))?;
                return Ok(ServersAttempt::Locked(lock));
            }
        }
    }

    /// What there is.
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// Removes what verbs that were killed have left: nobody else is at work under this lock.
    fn sweep(&self) -> io::Result<()> {
        let dir = &self.servers.dir;
        for Entry { name, .. } in dir.entries()? {
            let Some(text) = name.to_str() else { continue };
            if text.starts_with(NEW) {
                remove_tree(dir, &name)?;
            } else if let Some(replaced) = text.strip_prefix(OLD) {
                if dir.file_id(replaced)?.is_some() {
                    remove_server(dir, text, &mut Vec::new())?;
                } else {
                    dir.rename(text, dir, replaced)?;
                }
            } else if text == format!("{CHOSEN}.tmp") {
                dir.unlink(&name)?;
            }
        }
        Ok(())
    }

    /// A place to make a new server in.
    pub fn stage(&self) -> Result<Staging<'_>> {
        let make = || -> io::Result<Staging<'_>> {
            let name = format!("{NEW}{:016x}", sys::random_number()?);
            if !self.servers.dir.make(&name)? {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            // From here on it is removed, whatever happens.
            let staging = Staging {
                servers: &self.servers,
                dir: self.servers.dir.sub(&name)?,
                name,
            };
            for part in [OUT, WORK, TMP] {
                staging.dir.make(part)?;
            }
            staging.dir.sub(OUT)?.make(BIN)?;
            Ok(staging)
        };
        make().map_err(Error::io("make a place in", self.servers.path()))
    }

    /// Refuses to put a server at `name` if somebody keeps files of his own there.
    pub fn check_place(&self, name: &ServerName) -> Result<()> {
        let path = self.servers.path().join(name.as_str());
        let dir = match self.servers.dir.sub(name.as_str()) {
            Ok(dir) => dir,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::io("open", &path)(error)),
        };
        let foreign = || -> io::Result<Option<PathBuf>> {
            let found = foreign_entries(&dir, &is_ours_outside)?.into_iter().next();
            if found.is_some() {
                return Ok(found);
            }
            match dir.sub(BIN) {
                Ok(bin) => Ok(foreign_entries(&bin, &is_ours_inside)?.into_iter().next()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        };
        match foreign().map_err(Error::io("list", &path))? {
            None => Ok(()),
            Some(path) => Err(Error::NotOurs {
                path,
                why: "it lies in the directory of an installed server".into(),
            }),
        }
    }

    /// Chooses a server, or none.
    pub fn choose(&self, choice: Option<&Choice>) -> Result<()> {
        let (dir, path) = (&self.servers.dir, self.servers.path().join(CHOSEN));
        let Some(choice) = choice else {
            let removed = dir.unlink(CHOSEN).map_err(Error::io("remove", &path));
            return removed.map(drop);
        };
        let mut bytes =
            serde_json::to_vec(choice).map_err(|error| Error::io("write", &path)(error.into()))?;
        bytes.push(b'\n');
        dir.write(CHOSEN, &bytes).map_err(Error::io("write", &path))
    }

    /// Deletes the server `name`. What is not ours is left and returned.
    pub fn remove(&self, name: &ServerName) -> Result<Vec<PathBuf>> {
        let mut left = Vec::new();
        remove_server(&self.servers.dir, name.as_str(), &mut left).map_err(Error::io(
            "delete",
            &self.servers.path().join(name.as_str()),
        ))?;
        Ok(left)
    }

    /// Deletes the log of the build that failed last, if there is one.
    pub fn remove_failed_log(&self) -> Result<()> {
        let removed = self.servers.dir.unlink(FAILED_LOG);
        removed
            .map(drop)
            .map_err(Error::io("remove", &self.servers.path().join(FAILED_LOG)))
    }
}

impl Drop for ServersLock {
    /// Leaves no empty directory behind. Whoever waits for the lock sees that it is gone.
    fn drop(&mut self) {
        let dir = &self.servers.dir;
        let only_lock = |entries: Vec<Entry>| entries.iter().all(|entry| entry.name == LOCK);
        if dir.entries().is_ok_and(only_lock) {
            dir.unlink(LOCK).ok();
            self.home.rmdir(SERVERS).ok();
        }
    }
}

fn is_ours_outside(name: &str, kind: Kind) -> bool {
    let is_file = name == RECORD || name == BUILD_LOG;
    (kind == Kind::Dir && name == BIN) || (kind == Kind::File && is_file)
}

fn is_ours_inside(name: &str, kind: Kind) -> bool {
    kind == Kind::File && PROGRAMS.contains(&name)
}

fn foreign_entries(dir: &Dir, is_ours: &dyn Fn(&str, Kind) -> bool) -> io::Result<Vec<PathBuf>> {
    let entries = dir.entries()?.into_iter();
    let foreign = entries
        .filter(|Entry { name, kind }| !name.to_str().is_some_and(|name| is_ours(name, *kind)));
    Ok(foreign.map(|entry| dir.path().join(entry.name)).collect())
}

/// Deletes a server's directory: the files that we put there, the record last, and the directory
/// if nothing else is in it. What else is there goes to `left`.
fn remove_server(servers: &Dir, name: &str, left: &mut Vec<PathBuf>) -> io::Result<()> {
    let dir = match servers.sub(name) {
        Ok(dir) => dir,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    match dir.sub(BIN) {
        Ok(bin) => {
            left.extend(foreign_entries(&bin, &is_ours_inside)?);
            for Entry { name, kind } in bin.entries()? {
                if name.to_str().is_some_and(|name| is_ours_inside(name, kind)) {
                    bin.unlink(&name)?;
                }
            }
            remove_if_empty(&dir, BIN)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let foreign = foreign_entries(&dir, &is_ours_outside)?;
    left.extend(foreign);
    for file in [BUILD_LOG, RECORD] {
        dir.unlink(file)?;
    }
    remove_if_empty(servers, name)
}

fn remove_if_empty(dir: &Dir, name: &str) -> io::Result<()> {
    match dir.rmdir(name) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        other => other.map(drop),
    }
}

/// Deletes the directory `name` with all that is in it, no link followed. Only for what was made
/// in a directory of ours whose name nobody else could know.
fn remove_tree(parent: &Dir, name: &OsStr) -> io::Result<()> {
    let dir = match parent.sub_to_empty(name) {
        Ok(dir) => dir,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for Entry { name, kind } in dir.entries()? {
        if kind == Kind::Dir {
            remove_tree(&dir, &name)?;
        } else {
            dir.unlink(&name)?;
        }
    }
    parent.rmdir(name).map(drop)
}
