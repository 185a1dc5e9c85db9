//! The lock of a cluster, and the one under which ports are chosen.
//!
//! Both are flock(2) on a file: the kernel frees them when their holder dies, however it dies, so
//! nobody ever has to delete one. A lock file goes with its cluster; whoever waited for it sees
//! afterwards that the path leads elsewhere, and begins again.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};

use super::home::{Cluster, Home, is_temporary};
use super::manifest::Manifest;
use super::name::ClusterName;
use super::secrets::is_secret_dir;
use crate::cluster::printable;
use crate::error::{Error, Result};
use crate::sys::dir::{Dir, Entry, Kind, file_id};

const LOCK: &str = "lock";
const PORT_LOCK: &str = ".ports.lock";

/// The right to change a cluster. Freed when dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// What trying to lock came to.
#[derive(Debug)]
pub enum Attempt {
    /// The cluster is ours to change.
    Locked(Cluster, Lock),
    /// Somebody else works on it: `pid 4711 (up)`.
    Held(String),
    /// There is no such cluster, and none was to be made.
    Absent,
}

impl Lock {
    /// Tries to lock the cluster `name`, for `verb`. With `make` its directory is made if there is none.
    pub fn attempt(home: &Home, name: &ClusterName, verb: &str, make: bool) -> Result<Attempt> {
        let path = home.path().join(name.as_str());
        loop {
            let home_dir = if make {
                home.make()?
            } else {
                match home.open()? {
                    Some(dir) => dir,
                    None => return Ok(Attempt::Absent),
                }
            };
            if make {
                home_dir
                    .make(name.as_str())
                    .map_err(Error::io("make", &path))?;
            }
            let dir = match home_dir.sub(name.as_str()) {
                Ok(dir) => dir,
                Err(error) if error.kind() == io::ErrorKind::NotFound && make => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Ok(Attempt::Absent);
                }
                Err(error) => return Err(Error::io("open", &path)(error)),
            };
            let cluster = Cluster {
                name: name.clone(),
                dir,
            };
            cluster.check_trust()?;
            // Nothing is written into a directory that is not a cluster of ours, or about to be one.
            let is_cluster = cluster.manifest()?.is_some();
            let is_beginning = is_cluster || is_beginning(&cluster)?;
            if !(is_cluster || make || is_beginning && cluster.has_lock()?) {
                return Ok(Attempt::Absent);
            }
            if !is_beginning {
                let why = "it has files, but no manifest".to_owned();
                return Err(Error::NotOurs { path, why });
            }
            let mut file = match cluster.dir.open_lock(LOCK) {
                Ok(file) => file,
                // The directory was removed since it was opened.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::io("open", &path.join(LOCK))(error)),
            };
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(Attempt::Held(read_holder(&mut file))),
                Err(TryLockError::Error(error)) => {
                    return Err(Error::io("lock", &path.join(LOCK))(error));
                }
            }
            let same = || -> io::Result<bool> {
                let still_there = cluster.dir.file_id(LOCK)? == Some(file_id(&file)?);
                Ok(still_there && home_dir.file_id(name.as_str())? == Some(cluster.dir.id()?))
            };
            if same().map_err(Error::io("look at", &path))? {
                if !is_cluster {
                    // It may be somebody's own empty directory, with another mode than ours have.
                    let private = cluster.dir.make_private();
                    private.map_err(Error::io("change the mode of", &path))?;
                }
                write_holder(&mut file, verb).map_err(Error::io("write", &path.join(LOCK)))?;
                return Ok(Attempt::Locked(cluster, Self { _file: file }));
            }
        }
    }

    /// Who holds the lock of `cluster` just now, if anybody does: `pid 4711 (up)`. Takes it from nobody.
    pub fn holder(cluster: &Cluster) -> io::Result<Option<String>> {
        let Some(mut file) = cluster.dir.open_file(LOCK)? else {
            return Ok(None);
        };
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Ok(Some(read_holder(&mut file))),
            Ok(()) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Removes the lock file and then the directory, as the last step of a clean. The lock holds
    /// until it is dropped. `false` if the directory is not empty.
    pub fn remove_cluster(&self, home: &Home, cluster: &Cluster) -> Result<bool> {
        let Some(home_dir) = home.open()? else {
            return Ok(true);
        };
        cluster
            .dir
            .unlink(LOCK)
            .map_err(Error::io("remove", &cluster.path().join(LOCK)))?;
        match home_dir.rmdir(cluster.name().as_str()) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
            Err(error) => Err(Error::io("remove", cluster.path())(error)),
        }
    }
}

/// Whether a directory without a manifest has nothing but our own beginnings in it: it is about to
/// become a cluster, or has just been cleaned.
fn is_beginning(cluster: &Cluster) -> Result<bool> {
    let io = || Error::io("look into", cluster.path());
    let entries = cluster.dir.entries().map_err(io())?;
    // A listing may miss a file that is being replaced just now; asked by name it is there.
    if cluster.dir.file_id(Manifest::FILE).map_err(io())?.is_some() {
        return Ok(true);
    }
    let lock = cluster
        .dir
        .read(LOCK, 200)
        .map_err(io())?
        .unwrap_or_default();
    let is_our_lock = lock.is_empty() || lock.starts_with(b"pid ");
    let is_locked = lock.starts_with(b"pid ");
    let is_ours = |entry: &Entry| {
        (entry.name == LOCK && is_our_lock)
            || is_temporary(&entry.name)
            // Written before the manifest.
            || (is_locked && entry.kind == Kind::Dir && is_secret_dir(&entry.name))
    };
    Ok(entries.iter().all(is_ours))
}

impl Cluster {
    /// Whether a verb has begun here: its lock is there, whatever else is.
    fn has_lock(&self) -> Result<bool> {
        let lock = self.dir.file_id(LOCK);
        Ok(lock.map_err(Error::io("look into", self.path()))?.is_some())
    }
}

pub(super) fn write_holder(file: &mut File, verb: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(format!("pid {} ({verb})\n", std::process::id()).as_bytes())
}

pub(super) fn read_holder(file: &mut File) -> String {
    let mut text = String::new();
    // For a message only: whatever cannot be read is left out.
    file.take(100).read_to_string(&mut text).ok();
    match printable(text.trim(), 80) {
        text if text.is_empty() => "another rcluster".into(),
        text => text,
    }
}

/// The right to choose ports, for all clusters of a home. Freed when dropped.
#[derive(Debug)]
pub struct PortLock {
    _file: File,
}

impl PortLock {
    /// Tries to take the lock; `None` while somebody else has it.
    pub fn attempt(home: &Home) -> Result<Option<Self>> {
        let path = home.path().join(PORT_LOCK);
        loop {
            let dir = home.make()?;
            let file = dir.open_lock(PORT_LOCK).map_err(Error::io("open", &path))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
            }
            let same = |dir: &Dir| Ok(dir.file_id(PORT_LOCK)? == Some(file_id(&file)?));
            if same(&dir).map_err(Error::io("look at", &path))? {
                return Ok(Some(Self { _file: file }));
            }
        }
    }

    /// Whether anybody has ever chosen ports in this home: there is a lock to be had.
    pub fn is_known(home: &Home) -> bool {
        let Ok(Some(dir)) = home.open() else {
            return false;
        };
        dir.file_id(PORT_LOCK).is_ok_and(|id| id.is_some())
    }

    /// Removes the lock file if no cluster is left that could need it.
    pub fn tidy(home: &Home) -> Result<()> {
        let Some(dir) = home.open()? else {
            return Ok(());
        };
        if home.names()?.is_empty()
            && dir.file_id(PORT_LOCK).is_ok_and(|id| id.is_some())
            && let Some(_lock) = Self::attempt(home)?
        {
            dir.unlink(PORT_LOCK)
                .map_err(Error::io("remove", &home.path().join(PORT_LOCK)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(home: &Home, make: bool) -> Attempt {
        Lock::attempt(home, &"x".parse().expect("name"), "up", make).expect("no error")
    }

    #[test]
    fn one_holds_the_lock_and_the_other_learns_who() {
        let tmp = tempfile::tempdir().expect("tempdir");
        crate::sys::private_umask();
        let home = Home::new(tmp.path().join("home"));
        assert!(matches!(attempt(&home, false), Attempt::Absent));
        let Attempt::Locked(cluster, lock) = attempt(&home, true) else {
            panic!("free")
        };
        let Attempt::Held(holder) = attempt(&home, true) else {
            panic!("held")
        };
        assert_eq!(holder, format!("pid {} (up)", std::process::id()));
        assert!(lock.remove_cluster(&home, &cluster).expect("no error"));
        // The lock is still held, but on a file that is gone: nobody waits for it any more.
        assert!(matches!(attempt(&home, false), Attempt::Absent));
        assert!(matches!(attempt(&home, true), Attempt::Locked(..)));
    }

    #[test]
    fn a_directory_of_somebody_else_is_not_touched() {
        let tmp = tempfile::tempdir().expect("tempdir");
        let home = Home::new(tmp.path().to_owned());
        std::fs::create_dir(tmp.path().join("x")).expect("mkdir");
        std::fs::write(tmp.path().join("x/important"), "").expect("write");
        let error =
            Lock::attempt(&home, &"x".parse().expect("name"), "up", true).expect_err("not ours");
        assert_eq!(error.exit_code(), 7);
        assert!(!tmp.path().join("x/lock").exists());
    }
}
