//! The only door to the kernel: files below a held directory, processes, limits, signals.
//!
//! What is dangerous to get wrong has one place each: which process may be signalled
//! ([`process`]), and that a file is reached below a held directory and never through a link
//! ([`dir`]); which files may be deleted at all is decided in [`store`](crate::store).

mod cgroup;
pub mod dir;
pub mod limits;
pub mod mounts;
pub mod process;
#[cfg(feature = "cli")]
pub mod signals;
pub mod sockets;
pub mod surroundings;
pub mod terminal;

use std::io;
use std::os::fd::AsFd;
use std::os::fd::{BorrowedFd, RawFd};

use nix::fcntl::{FcntlArg, FdFlag};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction, signal};
use nix::sys::stat::{Mode, fstat, umask};
use rustix::event::{PollFd, PollFlags, Timespec};

use nix::unistd::{Gid, Group, Uid, User};

/// Makes everything that this process and its children create private: directories 0700, files 0600.
/// Returns the umask that we were started with.
pub fn private_umask() -> u32 {
    umask(Mode::from_bits_truncate(0o077)).bits()
}

/// What we were started with and change for ourselves, for programs of the user's that we start.
#[derive(Clone, Debug)]
pub struct StartedAs {
    umask: u32,
    descriptors: Vec<RawFd>,
    /// The soft limit of open files; none if the kernel does not say.
    open_files: Option<u64>,
}

impl StartedAs {
    /// Remembers it, and from here on keeps what we write and what we have open to ourselves.
    pub fn now() -> Self {
        Self {
            umask: private_umask(),
            descriptors: keep_descriptors_to_ourselves(),
            open_files: limits::soft_open_files(),
        }
    }

    /// Does `work`, which starts a program of the user's, with what we were started with.
    pub fn for_programs<T>(&self, work: impl FnOnce() -> T) -> T {
        let ours = umask(Mode::from_bits_truncate(self.umask));
        let files = limits::soft_open_files();
        let set = |flags| {
            let numbers = self.descriptors.iter();
            numbers.for_each(|number| set_descriptor_flags(*number, flags));
        };
        // One that cannot be set is no reason not to start it.
        let limit = |soft: Option<u64>| drop(soft.map(limits::set_open_files));
        set(FdFlag::empty());
        limit(self.open_files);
        let done = work();
        limit(files);
        set(FdFlag::FD_CLOEXEC);
        umask(ours);
        done
    }
}

/// Keeps what files were open when we started to ourselves: a server that lives on with a pipe or a
/// lock of whoever called us would hold it open for as long. Returns their numbers.
fn keep_descriptors_to_ourselves() -> Vec<RawFd> {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else {
        return Vec::new();
    };
    let mut numbers: Vec<RawFd> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|number| *number > 2)
        .collect();
    // The directory that was read is not among what we were given.
    numbers.retain(|number| std::fs::read_link(format!("/proc/self/fd/{number}")).is_ok());
    let set = |number: &RawFd| set_descriptor_flags(*number, FdFlag::FD_CLOEXEC);
    numbers.iter().for_each(set);
    numbers
}

#[expect(
    unsafe_code,
    reason = "the number of a descriptor that was inherited has no safe owner"
)]
fn set_descriptor_flags(number: RawFd, flags: FdFlag) {
    // SAFETY: the descriptor is only borrowed for the call; one that is closed by now gives EBADF.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    nix::fcntl::fcntl(fd, FcntlArg::F_SETFD(flags)).ok();
}

/// Twenty random bytes: a node id.
pub fn random_bytes() -> io::Result<[u8; 20]> {
    let mut bytes = [0; 20];
    let mut filled = 0;
    while filled < bytes.len() {
        filled +=
            rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(bytes)
}

/// A random number, to begin a search at.
pub fn random_number() -> io::Result<u64> {
    let bytes = random_bytes()?;
    Ok(u64::from_be_bytes(
        bytes.first_chunk().copied().unwrap_or_default(),
    ))
}

/// The effective user's id.
pub fn user() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// Why a file that names programs to run cannot be trusted: it is neither ours nor root's, or
/// others may write to it; `None` if it can.
pub fn distrust(file: impl AsFd) -> io::Result<Option<String>> {
    let stat = fstat(file)?;
    let mode = Mode::from_bits_truncate(stat.st_mode);
    Ok(if stat.st_uid != user() && stat.st_uid != 0 {
        Some(format!("it belongs to user {}", stat.st_uid))
    } else if mode.contains(Mode::S_IWOTH) {
        Some("everybody may write to it".to_owned())
    } else if mode.contains(Mode::S_IWGRP) && !is_own_group(stat.st_gid) {
        Some(format!("group {} may write to it", stat.st_gid))
    } else {
        None
    })
}

/// Whether a group is nobody's but ours: the one of our name that many systems give each user,
/// along with a umask that lets it write.
fn is_own_group(gid: u32) -> bool {
    let user = User::from_uid(Uid::from_raw(user())).ok().flatten();
    let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
    let (Some(user), Some(group)) = (user, group) else {
        return false;
    };
    group.name == user.name && group.mem.iter().all(|member| *member == user.name)
}

/// Seconds that the clock on the wall is ahead of UTC; `None` if that cannot be found out, as where
/// other threads run by now.
pub fn ahead_of_utc() -> Option<i32> {
    let offset = time::UtcOffset::current_local_offset().ok()?;
    Some(offset.whole_seconds())
}

/// Stops this process until somebody wakes it up again, as SIGTSTP does where nobody catches it: not in a
/// process group that no shell waits for, where nobody would.
#[expect(
    unsafe_code,
    reason = "sigaction(2) has no safe wrapper; SIG_DFL runs no code, and what was there comes back"
)]
pub fn stop_ourselves() {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: SIG_DFL runs no code of ours.
    let Ok(ours) = (unsafe { sigaction(Signal::SIGTSTP, &default) }) else {
        return;
    };
    raise(Signal::SIGTSTP).ok();
    // SAFETY: the handler is the one that was installed before.
    unsafe { sigaction(Signal::SIGTSTP, &ours) }.ok();
}

/// Asks the whole group to stop, ourselves too, as a terminal does on Ctrl-Z: a shell waits for all
/// of a pipeline.
pub fn stop_group() {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(0), Signal::SIGTSTP).ok();
}

/// Whether `out` is a pipe or a socket that nobody reads any more.
pub fn reader_is_gone(out: impl AsFd) -> bool {
    let mut ends = [PollFd::new(&out, PollFlags::empty())];
    let now = Timespec::default();
    rustix::event::poll(&mut ends, Some(&now)).is_ok()
        && ends[0]
            .revents()
            .intersects(PollFlags::ERR | PollFlags::HUP)
}

/// Ends this process by signal `number`, as if nobody had caught it, so that whoever waits for us
/// sees a death by signal. Returns only if the signal could not be raised.
pub fn die_by(number: i32) {
    if let Ok(name) = Signal::try_from(number) {
        // A default disposition is no function of ours: nothing that runs in a handler can be wrong.
        restore_default(name);
        raise(name).ok();
    }
}

#[expect(
    unsafe_code,
    reason = "signal(2) has no safe wrapper; SIG_DFL installs no handler"
)]
fn restore_default(name: Signal) {
    // SAFETY: SIG_DFL runs no code of ours.
    unsafe { signal(name, SigHandler::SigDfl) }.ok();
}
