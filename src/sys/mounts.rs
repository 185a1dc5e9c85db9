//! What is mounted where.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{Statvfs, statvfs};
use nix::unistd::{AccessFlags, access};

use super::limits::Kernel;

/// A line of `/proc/self/mountinfo`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// Which part of the file system is mounted.
    pub(super) root: PathBuf,
    /// Where.
    pub(super) point: PathBuf,
    /// The kind of file system.
    pub(super) kind: String,
    /// Its options.
    pub(super) super_options: String,
}

/// All mounts, in the order in which they were made.
pub(super) fn mounts(kernel: &Kernel) -> Option<Vec<Mount>> {
    let text = kernel.text("proc/self/mountinfo")?;
    Some(text.lines().filter_map(mount).collect())
}

fn mount(line: &str) -> Option<Mount> {
    // `36 35 98:0 /root /point rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
    let (place, what) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let mut what = what.split(' ');
    Some(Mount {
        root: unescaped(place.next()?),
        point: unescaped(place.next()?),
        kind: what.next()?.to_owned(),
        super_options: what.nth(1).unwrap_or_default().to_owned(),
    })
}

/// The kernel writes blanks, tabs, newlines and backslashes in octal.
fn unescaped(text: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let octal = after
            .first_chunk::<3>()
            .filter(|_| *first == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &after[3..] } else { after };
    }
    OsString::from_vec(bytes).into()
}

/// The kind of the file system that `path` lies on: `ext4`, `nfs4`, `overlay`.
pub fn file_system(path: &Path) -> Option<String> {
    let path = std::fs::canonicalize(path).ok()?;
    let mounts = mounts(&Kernel::new(Path::new("/")))?;
    // The last of those mounted at one place hides the others.
    mounts
        .into_iter()
        .filter(|mount| path.starts_with(&mount.point))
        .max_by_key(|mount| mount.point.components().count())
        .map(|mount| mount.kind)
}

/// A directory in memory with at least `room` bytes free that everybody may make files in; `None`
/// if there is none. Containers have a `/dev/shm` of 64 MiB by default.
pub fn memory_dir(room: u64) -> Option<PathBuf> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let places = [Some(PathBuf::from("/dev/shm")), runtime];
    places.into_iter().flatten().find(|dir| {
        let is_memory = || file_system(dir).as_deref() == Some("tmpfs");
        let has_room = || {
            let stat = statvfs(dir).ok();
            let free = |stat: Statvfs| stat.blocks_available().saturating_mul(stat.fragment_size());
            stat.map(free).is_some_and(|free| free >= room)
        };
        let writes = AccessFlags::W_OK | AccessFlags::X_OK;
        dir.is_absolute() && is_memory() && has_room() && access(dir, writes).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_with_and_without_optional_fields() {
        let with =
            mount("36 35 98:0 /a /b\\040c rw,noatime master:1 shared:2 - ext3 /dev/r rw,e=c");
        let with = with.expect("a mount");
        assert_eq!(with.point, Path::new("/b c"));
        assert_eq!(
            (
                with.root.to_str(),
                with.kind.as_str(),
                with.super_options.as_str()
            ),
            (Some("/a"), "ext3", "rw,e=c")
        );
        let without = mount("30 25 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw").expect("a mount");
        assert_eq!(without.kind, "cgroup2");
        assert_eq!(mount(""), None);
        assert_eq!(unescaped("a\\134b\\"), Path::new("a\\b\\"));
    }

    #[test]
    fn proc_lies_on_proc() {
        assert_eq!(
            file_system(Path::new("/proc/self")).as_deref(),
            Some("proc")
        );
    }
}
