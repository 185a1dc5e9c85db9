//! A directory held open: what is in it is reached through its file descriptor, never by a path
//! that somebody may have swapped meanwhile, and never through a symbolic link.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nix::dir::{Dir as Entries, Type};
use nix::fcntl::{AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use serde::{Deserialize, Serialize};

/// What a file is, whatever it is called: its device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileId {
    dev: u64,
    ino: u64,
}

impl FileId {
    fn of(stat: &FileStat) -> Self {
        Self {
            dev: stat.st_dev,
            ino: stat.st_ino,
        }
    }

    /// What `path` leads to, links followed: right for `/proc/PID/cwd` and `/proc/PID/fd/1`.
    pub fn at(path: &Path) -> io::Result<Self> {
        Ok(Self::of(&nix::sys::stat::stat(path)?))
    }
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: OsString,
    /// What it is, links not followed.
    pub kind: Kind,
}

/// Kinds of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A Unix socket.
    Socket,
    /// Anything else: a link, a pipe, a device.
    Other,
}

/// A directory held open.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

impl Dir {
    const FLAGS: OFlag = OFlag::O_RDONLY
        .union(OFlag::O_DIRECTORY)
        .union(OFlag::O_CLOEXEC);

    /// To read a file. `O_NONBLOCK`: opening a pipe that somebody put there must not hang.
    const READ: OFlag = OFlag::O_RDONLY
        .union(OFlag::O_CLOEXEC)
        .union(OFlag::O_NOFOLLOW)
        .union(OFlag::O_NONBLOCK);

    /// To make a file that is not there yet.
    const NEW: OFlag = OFlag::O_WRONLY
        .union(OFlag::O_CREAT)
        .union(OFlag::O_EXCL)
        .union(OFlag::O_CLOEXEC)
        .union(OFlag::O_NOFOLLOW);

    /// Opens `path`. Links on the way to it are followed: it is the user's own word.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            fd: open(path, Self::FLAGS, Mode::empty())?,
            path: path.to_owned(),
        })
    }

    /// Opens the directory `name` in this one; fails if it is a link.
    pub fn sub(&self, name: impl AsRef<OsStr>) -> io::Result<Self> {
        let name = name.as_ref();
        let fd = openat(
            &self.fd,
            name,
            Self::FLAGS | OFlag::O_NOFOLLOW,
            Mode::empty(),
        )?;
        Ok(Self {
            fd,
            path: self.path.join(name),
        })
    }

    /// Makes the directory `name`, 0700. `false` if there was something of that name already.
    pub fn make(&self, name: impl AsRef<OsStr>) -> io::Result<bool> {
        match mkdirat(&self.fd, name.as_ref(), Mode::S_IRWXU) {
            Ok(()) => Ok(true),
            Err(nix::Error::EEXIST) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is.
    pub fn id(&self) -> io::Result<FileId> {
        Ok(FileId::of(&fstat(&self.fd)?))
    }

    /// Why it cannot be trusted: not ours, or others may write to it; `None` if it can.
    pub fn distrust(&self) -> io::Result<Option<String>> {
        let stat = fstat(&self.fd)?;
        if stat.st_uid != super::user() {
            return Ok(Some(format!("it belongs to user {}", stat.st_uid)));
        }
        let others = Mode::S_IWGRP | Mode::S_IWOTH;
        Ok(Mode::from_bits_truncate(stat.st_mode)
            .intersects(others)
            .then(|| "others may write to it".to_owned()))
    }

    /// What is in it, sorted by name.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        // A second descriptor, because reading a directory moves the first one's position.
        let mut entries = Vec::new();
        for entry in Entries::openat(&self.fd, ".", Self::FLAGS, Mode::empty())?.iter() {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                Some(Type::File) => Kind::File,
                Some(Type::Directory) => Kind::Dir,
                Some(Type::Socket) => Kind::Socket,
                Some(_) => Kind::Other,
                // Some file systems do not say.
                None => self.kind(&name)?,
            };
            entries.push(Entry { name, kind });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn kind(&self, name: &OsStr) -> io::Result<Kind> {
        let stat = fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        Ok(
            match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
                SFlag::S_IFREG => Kind::File,
                SFlag::S_IFDIR => Kind::Dir,
                SFlag::S_IFSOCK => Kind::Socket,
                _ => Kind::Other,
            },
        )
    }

    /// What `name` is; `None` if there is none. A link is not followed.
    pub fn file_id(&self, name: impl AsRef<OsStr>) -> io::Result<Option<FileId>> {
        match fstatat(&self.fd, name.as_ref(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(FileId::of(&stat))),
            Err(nix::Error::ENOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The whole of the file `name`, at most `limit` bytes; `None` if there is none. Fails on a link.
    pub fn read(&self, name: impl AsRef<OsStr>, limit: u64) -> io::Result<Option<Vec<u8>>> {
        match openat(&self.fd, name.as_ref(), Self::READ, Mode::empty()) {
            Ok(fd) => {
                let mut bytes = Vec::new();
                File::from(fd).take(limit).read_to_end(&mut bytes)?;
                Ok(Some(bytes))
            }
            Err(nix::Error::ENOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The last `length` bytes of the file `name`. Fails on a link.
    pub fn read_end(&self, name: impl AsRef<OsStr>, length: u64) -> io::Result<Vec<u8>> {
        let mut file = File::from(openat(&self.fd, name.as_ref(), Self::READ, Mode::empty())?);
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(length)))?;
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Replaces the file `name` by one with `bytes`, or leaves it as it was: at no moment, not
    /// even after a power cut, is there half a file.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = format!("{name}.tmp");
        let flags = OFlag::O_WRONLY
            | OFlag::O_CREAT
            | OFlag::O_TRUNC
            | OFlag::O_CLOEXEC
            | OFlag::O_NOFOLLOW;
        let mut file = File::from(openat(
            &self.fd,
            temporary.as_str(),
            flags,
            Mode::S_IRUSR | Mode::S_IWUSR,
        )?);
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        if let Err(error) = written {
            self.unlink(&temporary).ok();
            return Err(error);
        }
        renameat(&self.fd, temporary.as_str(), &self.fd, name)?;
        nix::unistd::fsync(&self.fd)?;
        Ok(())
    }

    /// Makes the file `name` with `bytes`; fails if there is one. Not synced: whoever reads such a
    /// file again after a power cut must be able to make it anew.
    pub fn write_new(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        File::from(openat(
            &self.fd,
            name,
            Self::NEW,
            Mode::S_IRUSR | Mode::S_IWUSR,
        )?)
        .write_all(bytes)
    }

    /// Opens the file `name` for appending, making it if need be. Fails on a link.
    pub fn append(&self, name: &str) -> io::Result<File> {
        // O_NONBLOCK: opening a pipe that nobody reads must not hang.
        let flags = OFlag::O_WRONLY
            | OFlag::O_CREAT
            | OFlag::O_APPEND
            | OFlag::O_CLOEXEC
            | OFlag::O_NOFOLLOW
            | OFlag::O_NONBLOCK;
        Ok(openat(&self.fd, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?.into())
    }

    /// Opens the file `name` for locking, making it if need be. Never truncates, fails on a link.
    pub fn open_lock(&self, name: &str) -> io::Result<File> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        Ok(openat(&self.fd, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?.into())
    }

    /// Opens the regular file `name` for reading; `None` if there is none. Fails on a link.
    pub fn open_file(&self, name: impl AsRef<OsStr>) -> io::Result<Option<File>> {
        let file = match openat(&self.fd, name.as_ref(), Self::READ, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(nix::Error::ENOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if file.metadata()?.is_file() {
            Ok(Some(file))
        } else {
            Err(io::Error::other("it is no regular file"))
        }
    }

    /// Empties the regular file `name`, and says how long it was; `None` if there is none. Fails on
    /// a link, and on one that has other names: it may be somebody's.
    pub fn truncate(&self, name: &str) -> io::Result<Option<u64>> {
        let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let file = match openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(nix::Error::ENOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let meta = file.metadata()?;
        if !meta.is_file() || fstat(&file)?.st_nlink > 1 {
            return Err(io::Error::other("it is no regular file of its own"));
        }
        file.set_len(0)?;
        Ok(Some(meta.len()))
    }

    /// Makes the file `name` for writing; fails if there is one.
    pub fn new_file(&self, name: &str) -> io::Result<File> {
        Ok(openat(&self.fd, name, Self::NEW, Mode::S_IRUSR | Mode::S_IWUSR)?.into())
    }

    /// Makes the file `name`, which may be run, for writing; fails if there is one.
    pub fn new_program(&self, name: &str) -> io::Result<File> {
        Ok(openat(&self.fd, name, Self::NEW, Mode::S_IRWXU)?.into())
    }

    /// Moves `name` to `to` in the directory `into`, on the same file system.
    pub fn rename(&self, name: &str, into: &Self, to: &str) -> io::Result<()> {
        Ok(renameat(&self.fd, name, &into.fd, to)?)
    }

    /// Makes sure that the entries that are in it now are there after a power cut.
    pub fn sync(&self) -> io::Result<()> {
        Ok(nix::unistd::fsync(&self.fd)?)
    }

    /// Shuts out everybody but the owner: 0700.
    pub fn make_private(&self) -> io::Result<()> {
        Ok(fchmod(&self.fd, Mode::S_IRWXU)?)
    }

    /// Opens the directory `name` in this one for emptying it, whatever its mode was; fails if it
    /// is a link.
    pub fn sub_to_empty(&self, name: impl AsRef<OsStr>) -> io::Result<Self> {
        let name = name.as_ref();
        let dir = match self.sub(name) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let flags =
                    OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
                let fd = openat(&self.fd, name, flags, Mode::empty())?;
                // fchmod(2) takes no descriptor of this kind, but /proc leads to what it holds.
                let held = format!("/proc/self/fd/{}", fd.as_raw_fd());
                std::fs::set_permissions(held, Permissions::from_mode(0o700))?;
                self.sub(name)?
            }
            other => other?,
        };
        dir.make_private()?;
        Ok(dir)
    }

    /// Removes the file (or link) `name`. `false` if there was none.
    pub fn unlink(&self, name: impl AsRef<OsStr>) -> io::Result<bool> {
        self.remove(name.as_ref(), UnlinkatFlags::NoRemoveDir)
    }

    /// Removes the directory `name` if it is empty. `false` if there was none.
    pub fn rmdir(&self, name: impl AsRef<OsStr>) -> io::Result<bool> {
        self.remove(name.as_ref(), UnlinkatFlags::RemoveDir)
    }

    fn remove(&self, name: &OsStr, how: UnlinkatFlags) -> io::Result<bool> {
        match unlinkat(&self.fd, name, how) {
            Ok(()) => Ok(true),
            Err(nix::Error::ENOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// What a trial of a directory came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// A file can be written and locked.
    Fit,
    /// A lock that is held does not keep others out.
    LocksIdle,
    /// The file system knows no files without a name, so that nothing was tried.
    NotTried,
}

/// Writes `length` bytes to a file without a name in the directory `path`, and locks it twice.
/// Nothing is left, whatever happens.
pub fn try_out(path: &Path, length: u64) -> io::Result<Trial> {
    let flags = OFlag::O_RDWR | OFlag::O_TMPFILE | OFlag::O_CLOEXEC;
    let file = match open(path, flags, Mode::S_IRUSR | Mode::S_IWUSR) {
        Ok(fd) => File::from(fd),
        // By a file system, or by a kernel, that does not know the flag.
        Err(nix::Error::EOPNOTSUPP | nix::Error::EISDIR | nix::Error::EINVAL) => {
            return Ok(Trial::NotTried);
        }
        Err(error) => return Err(error.into()),
    };
    // A quota is seen by nothing but its refusal, and some file systems tell only when synced.
    let chunk = [0; 4096];
    let mut left = length;
    while left > 0 {
        let part = left.min(chunk.len() as u64);
        (&file).write_all(&chunk[..usize::try_from(part).unwrap_or_default()])?;
        left -= part;
    }
    file.sync_data()?;
    let second = File::options()
        .write(true)
        .open(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    file.try_lock()?;
    Ok(match second.try_lock() {
        Err(std::fs::TryLockError::WouldBlock) => Trial::Fit,
        Ok(()) => Trial::LocksIdle,
        Err(std::fs::TryLockError::Error(error)) => return Err(error),
    })
}

/// What an open file is.
pub fn file_id(file: impl AsFd) -> io::Result<FileId> {
    Ok(FileId::of(&fstat(file.as_fd())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_leaves_nothing() {
        let tmp = tempfile::tempdir().expect("tempdir");
        let trial = try_out(tmp.path(), 10_000).expect("room");
        assert!(matches!(trial, Trial::Fit | Trial::NotTried), "{trial:?}");
        assert_eq!(std::fs::read_dir(tmp.path()).expect("listed").count(), 0);
        assert!(try_out(&tmp.path().join("gone"), 1).is_err());
    }

    #[test]
    fn links_are_not_followed() {
        let tmp = tempfile::tempdir().expect("tempdir");
        let dir = Dir::open(tmp.path()).expect("open");
        std::fs::write(tmp.path().join("target"), "canary").expect("write");
        std::os::unix::fs::symlink("target", tmp.path().join("link")).expect("link");
        std::os::unix::fs::symlink("/", tmp.path().join("root")).expect("link");
        assert!(
            dir.read("link", 99).is_err()
                && dir.append("link").is_err()
                && dir.open_lock("link").is_err()
        );
        assert!(dir.sub("root").is_err());
        dir.write("link", b"new").expect("replaces the link itself");
        assert_eq!(
            std::fs::read_to_string(tmp.path().join("target")).expect("read"),
            "canary"
        );
    }

    #[test]
    fn a_write_replaces_the_whole_file_and_leaves_nothing_beside_it() {
        let tmp = tempfile::tempdir().expect("tempdir");
        let dir = Dir::open(tmp.path()).expect("open");
        dir.write("a", b"one").expect("write");
        dir.write("a", b"2").expect("write");
        assert_eq!(dir.read("a", 99).expect("read"), Some(b"2".to_vec()));
        assert_eq!(dir.read("b", 99).expect("read"), None);
        let names: Vec<_> = dir
            .entries()
            .expect("entries")
            .into_iter()
            .map(|entry| entry.name)
            .collect();
        assert_eq!(names, ["a"]);
    }
}
