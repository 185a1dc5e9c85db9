//! The home of all clusters, and one cluster's directory in it.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::journal::Journal;
use super::manifest::Manifest;
use super::name::ClusterName;
use super::processes::Processes;
use crate::cluster::printable;
use crate::error::{Error, Result};
use crate::sys::dir::{Dir, Entry, Kind};

/// A server's log in its working directory.
pub const LOG_FILE: &str = "server.log";

/// No file of ours is larger; a larger one is damaged, and not read into memory.
const FILE_LIMIT: u64 = 16 << 20;

/// The directory that holds all clusters.
#[derive(Clone, Debug)]
pub struct Home {
    path: PathBuf,
}

impl Home {
    /// The home at `path`, which need not exist yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where clusters are kept if nobody says otherwise: `$XDG_STATE_HOME/rcluster`, else
    /// `~/.local/state/rcluster`; `None` where neither is known.
    pub fn usual() -> Option<PathBuf> {
        // The XDG specification says to ignore relative paths.
        let absolute = |name: &str| {
            env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let state = absolute("XDG_STATE_HOME");
        state
            .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
            .map(|state| state.join("rcluster"))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the home; `None` if there is none.
    pub fn open(&self) -> Result<Option<Dir>> {
        match Dir::open(&self.path) {
            Ok(dir) => Ok(Some(dir)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("open", &self.path)(error)),
        }
    }

    /// Makes the home if need be, and opens it.
    pub fn make(&self) -> Result<Dir> {
        fs::create_dir_all(&self.path).map_err(Error::io("make", &self.path))?;
        Dir::open(&self.path).map_err(Error::io("open", &self.path))
    }

    /// The cluster `name`, if there is one. Takes no lock.
    pub fn cluster(&self, name: &ClusterName) -> Result<Option<Cluster>> {
        let Some(home) = self.open()? else {
            return Ok(None);
        };
        match home.sub(name.as_str()) {
            Ok(dir) => Cluster {
                name: name.clone(),
                dir,
            }
            .if_it_is_one(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("open", &self.path.join(name.as_str()))(error)),
        }
    }

    /// The names of all clusters.
    pub fn names(&self) -> Result<Vec<ClusterName>> {
        let Some(home) = self.open()? else {
            return Ok(Vec::new());
        };
        let entries = home.entries().map_err(Error::io("list", &self.path))?;
        let mut names = Vec::new();
        for Entry { name, kind } in entries {
            let Some(name) = name
                .to_str()
                .and_then(|name| name.parse::<ClusterName>().ok())
            else {
                continue;
            };
            let is_cluster = |dir: Dir| dir.file_id(Manifest::FILE).is_ok_and(|id| id.is_some());
            if kind == Kind::Dir && home.sub(name.as_str()).is_ok_and(is_cluster) {
                names.push(name);
            }
        }
        Ok(names)
    }
}

/// One cluster's directory, held open.
#[derive(Debug)]
pub struct Cluster {
    pub(super) name: ClusterName,
    pub(super) dir: Dir,
}

impl Cluster {
    /// Its name.
    pub fn name(&self) -> &ClusterName {
        &self.name
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Itself, if it has a manifest; refuses what others may write to.
    fn if_it_is_one(self) -> Result<Option<Self>> {
        if self
            .dir
            .file_id(Manifest::FILE)
            .map_err(Error::io("look into", self.path()))?
            .is_none()
        {
            return Ok(None);
        }
        self.check_trust()?;
        Ok(Some(self))
    }

    pub(super) fn check_trust(&self) -> Result<()> {
        match self
            .dir
            .distrust()
            .map_err(Error::io("look at", self.path()))?
        {
            None => Ok(()),
            Some(why) => Err(Error::NotOurs {
                path: self.path().to_owned(),
                why,
            }),
        }
    }

    /// The manifest; `None` before the first write and after a clean.
    pub fn manifest(&self) -> Result<Option<Manifest>> {
        let Some(manifest) = self.read::<Manifest>(Manifest::FILE)? else {
            return Ok(None);
        };
        let path = || self.path().join(Manifest::FILE);
        if manifest.schema_version != Manifest::SCHEMA_VERSION {
            let why = format!(
                "its schema version is {}, and this rcluster knows {}",
                manifest.schema_version,
                Manifest::SCHEMA_VERSION
            );
            return Err(Error::Corrupt { path: path(), why });
        }
        if manifest.name != self.name.as_str() {
            // A copied directory: its processes and its data belong to the original.
            let why = format!(
                "its manifest is that of cluster \"{}\"",
                printable(&manifest.name, 40)
            );
            return Err(Error::NotOurs {
                path: self.path().to_owned(),
                why,
            });
        }
        manifest
            .check()
            .map_err(|why| Error::Corrupt { path: path(), why })?;
        Ok(Some(manifest))
    }

    /// Replaces the manifest.
    pub fn write_manifest(&self, manifest: &Manifest) -> Result<()> {
        self.write(Manifest::FILE, manifest)
    }

    /// What we know of processes; empty if nothing was ever spawned.
    pub fn processes(&self) -> Result<Option<Processes>> {
        self.read(Processes::FILE)
    }

    /// Replaces what we know of processes.
    pub fn write_processes(&self, processes: &Processes) -> Result<()> {
        self.write(Processes::FILE, processes)
    }

    /// What a verb was about to do, if it did not finish.
    pub fn journal(&self) -> Result<Option<Journal>> {
        self.read(Journal::FILE)
    }

    /// Writes down what a verb is about to do.
    pub fn write_journal(&self, journal: &Journal) -> Result<()> {
        self.write(Journal::FILE, journal)
    }

    /// The work is done.
    pub fn remove_journal(&self) -> Result<()> {
        self.dir
            .unlink(Journal::FILE)
            .map_err(Error::io("remove", &self.path().join(Journal::FILE)))
            .map(drop)
    }

    /// The path of the working directory of the node on `port`.
    pub fn node_path(&self, port: u16) -> PathBuf {
        self.path().join(NODES).join(port.to_string())
    }

    /// Makes the working directory of the node on `port`; fails if there is one.
    pub fn make_node(&self, port: u16) -> Result<Dir> {
        let path = self.node_path(port);
        let make = || -> io::Result<Dir> {
            self.dir.make(NODES)?;
            let nodes = self.dir.sub(NODES)?;
            if !nodes.make(port.to_string())? {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            nodes.sub(port.to_string())
        };
        make().map_err(Error::io("make", &path))
    }

    /// Opens the working directory of the node on `port`; `None` if there is none.
    pub fn node(&self, port: u16) -> Result<Option<Dir>> {
        let open = || self.dir.sub(NODES)?.sub(port.to_string());
        match open() {
            Ok(dir) => Ok(Some(dir)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("open", &self.node_path(port))(error)),
        }
    }

    fn read<T: DeserializeOwned>(&self, file: &str) -> Result<Option<T>> {
        let path = || self.path().join(file);
        let Some(bytes) = self
            .dir
            .read(file, FILE_LIMIT)
            .map_err(Error::io("read", &path()))?
        else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| Error::Corrupt {
                path: path(),
                why: printable(&error.to_string(), 200),
            })
    }

    fn write(&self, file: &str, value: &impl Serialize) -> Result<()> {
        let path = self.path().join(file);
        let mut bytes = serde_json::to_vec_pretty(value)
            .map_err(|error| Error::io("write", &path)(error.into()))?;
        bytes.push(b'\n');
        self.dir
            .write(file, &bytes)
            .map_err(Error::io("write", &path))
    }
}

pub(super) const NODES: &str = "nodes";

/// Whether `name` is a file that [`Dir::write`] left behind when it was killed.
pub(super) fn is_temporary(name: &OsStr) -> bool {
    [Manifest::FILE, Processes::FILE, Journal::FILE]
        .iter()
        .any(|file| name == format!("{file}.tmp").as_str())
}
