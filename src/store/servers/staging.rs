//! The place where a server is made, before it is there for anybody.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::PathBuf;

use super::{
    BIN, BUILD_LOG, FAILED_LOG, InstalledServer, OLD, RECORD, ServerName, ServerRecord, Servers,
    remove_server, remove_tree,
};
use crate::error::{Error, Result};
use crate::sys::dir::Dir;

pub(super) const OUT: &str = "out";
pub(super) const WORK: &str = "work";
pub(super) const TMP: &str = "tmp";

/// A place where a server is made. Removed with all that is in it when dropped.
#[derive(Debug)]
pub struct Staging<'a> {
    pub(super) servers: &'a Servers,
    pub(super) dir: Dir,
    pub(super) name: String,
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
