//! Which process is ours, and signalling it.
//!
//! A PID alone says nothing: it may belong to somebody else by now. A process is ours if its PID,
//! the boot id, the PID namespace and its start time are those that were recorded after we spawned
//! it; or, if we died between spawning and recording, if it started after the intent to spawn was
//! written, works in the directory and writes to the log that we made for it, and runs as our
//! user. [`find`] and [`find_intended`] alone turn a record into a [`Process`], and a `Process` is
//! signalled through a pidfd, opened before the comparison: the kernel never lets it mean another.
//!
//! Names are no help: servers overwrite their arguments and their environment.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, WaitOptions, pidfd_open, pidfd_send_signal, waitpid};
use serde::{Deserialize, Serialize};

use super::dir::FileId;

/// Where and when PIDs mean something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    /// The machine's name, to tell a restart from another machine.
    pub host: String,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// The inode of `/proc/self/ns/pid`.
    pub pid_namespace: u64,
}

impl Epoch {
    /// Ours.
    pub fn now() -> io::Result<Self> {
        let read = |path| fs::read_to_string(path).map(|text| text.trim().to_owned());
        Ok(Self {
            host: read("/proc/sys/kernel/hostname")?,
            boot_id: read("/proc/sys/kernel/random/boot_id")?,
            pid_namespace: fs::metadata("/proc/self/ns/pid")?.ino(),
        })
    }

    /// What is certain of a process of this epoch without looking for it; `None` if its PID means
    /// something here and now.
    ///
    /// In the same boot the namespace decides, whatever the machine is called by now. After
    /// another boot nothing runs any more, unless it was the boot of another machine.
    fn verdict(&self) -> io::Result<Option<Found>> {
        let now = Self::now()?;
        Ok(match (self.boot_id == now.boot_id, self.host == now.host) {
            (true, _) if self.pid_namespace == now.pid_namespace => None,
            (true, _) | (false, false) => Some(Found::Elsewhere),
            (false, true) => Some(Found::Dead),
        })
    }
}

/// A process as it was recorded after its spawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its PID.
    pub pid: i32,
    /// Its start time in clock ticks since boot, field 22 of `/proc/PID/stat`.
    pub start_ticks: u64,
}

/// What is written before a spawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The time, in clock ticks since boot.
    pub since_ticks: u64,
    /// The directory the process will work in.
    pub dir: FileId,
    /// The file its standard output goes to.
    pub log: FileId,
}

/// What became of a recorded process.
#[derive(Debug)]
pub enum Found {
    /// It runs.
    Running(Process),
    /// It has ended.
    Dead,
    /// It was started on another machine or in another container: nothing can be said from here.
    Elsewhere,
}

/// A living process of ours.
#[derive(Debug)]
pub struct Process {
    pid: i32,
    start_ticks: u64,
    /// `None` where pidfds are refused (old container runtimes): then the identity is compared
    /// right before each signal.
    pidfd: Option<OwnedFd>,
}

/// Finds the process that `record`, written in `epoch`, means.
pub fn find(epoch: &Epoch, record: &Record) -> io::Result<Found> {
    if let Some(verdict) = epoch.verdict()? {
        return Ok(verdict);
    }
    Ok(
        hold(record.pid, |stat| stat.start_ticks == record.start_ticks)
            .map_or(Found::Dead, Found::Running),
    )
}

/// Finds the process that was spawned after `intent`, written in `epoch`, and never recorded.
pub fn find_intended(epoch: &Epoch, intent: &Intent) -> io::Result<Found> {
    if let Some(verdict) = epoch.verdict()? {
        return Ok(verdict);
    }
    let ours = |pid: i32| {
        let path = proc_path(pid);
        let same =
            |name: &str, id: FileId| FileId::at(&path.join(name)).is_ok_and(|found| found == id);
        fs::metadata(&path).is_ok_and(|meta| meta.uid() == super::user())
            && same("cwd", intent.dir)
            && same("fd/1", intent.log)
    };
    // A server's own children (a snapshot being written) look alike; their parent is the oldest.
    let mut candidates: Vec<Process> = all_pids()?
        .into_iter()
        .filter(|&pid| ours(pid))
        .filter_map(|pid| hold(pid, |stat| stat.start_ticks >= intent.since_ticks))
        .filter(|process| ours(process.pid))
        .collect();
    candidates.sort_by_key(|process| (process.start_ticks, process.pid));
    Ok(candidates
        .into_iter()
        .next()
        .map_or(Found::Dead, Found::Running))
}

/// Holds the living process `pid` if `is_it` says that it is the one.
fn hold(pid: i32, is_it: impl Fn(&Stat) -> bool) -> Option<Process> {
    // 0 and below would mean groups; 1 and ourselves are never a node.
    if pid <= 1 || pid == own_pid() {
        return None;
    }
    let pidfd = rustix::process::Pid::from_raw(pid)
        .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    let stat = Stat::read(pid).ok()?;
    (!stat.ended() && is_it(&stat)).then_some(Process {
        pid,
        start_ticks: stat.start_ticks,
        pidfd,
    })
}

fn own_pid() -> i32 {
    nix::unistd::getpid().as_raw()
}

impl Process {
    /// Takes hold of a child that was just spawned and is not reaped, so that its PID is its own.
    pub fn of_child(pid: u32) -> io::Result<Self> {
        let pid = i32::try_from(pid).map_err(io::Error::other)?;
        let pidfd = rustix::process::Pid::from_raw(pid)
            .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        Ok(Self {
            pid,
            start_ticks: Stat::read(pid)?.start_ticks,
            pidfd,
        })
    }

    /// Its PID.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Its working directory, which may be deleted; `None` if we may not look.
    pub fn working_dir(&self) -> Option<(PathBuf, FileId)> {
        let path = proc_path(self.pid).join("cwd");
        Some((fs::read_link(&path).ok()?, FileId::at(&path).ok()?))
    }

    /// What to write down, to find it again.
    pub fn record(&self) -> Record {
        Record {
            pid: self.pid,
            start_ticks: self.start_ticks,
        }
    }

    /// Asks it to end (SIGTERM), waking it if it was stopped: a pending SIGTERM is else not seen.
    pub fn terminate(&self) -> io::Result<()> {
        self.signal(Signal::SIGTERM)?;
        self.signal(Signal::SIGCONT)
    }

    /// Ends it at once (SIGKILL).
    pub fn kill(&self) -> io::Result<()> {
        self.signal(Signal::SIGKILL)
    }

    /// Passes on a signal that reached us.
    pub fn pass_on(&self, number: i32) -> io::Result<()> {
        self.signal(Signal::try_from(number)?)
    }

    /// Signals it; that it has ended meanwhile is no error.
    fn signal(&self, signal: Signal) -> io::Result<()> {
        let result = if let Some(pidfd) = &self.pidfd {
            let number = rustix::process::Signal::from_named_raw(signal as i32)
                .ok_or_else(|| io::Error::other("a signal without a name"))?;
            pidfd_send_signal(pidfd, number).map_err(io::Error::from)
        } else if self.has_ended() {
            Ok(())
        } else {
            kill(Pid::from_raw(self.pid), signal).map_err(io::Error::from)
        };
        match result {
            Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => Ok(()),
            other => other,
        }
    }

    /// Whether it has ended. A zombie has, though nobody reaped it yet: PID 1 of many containers never does.
    pub fn has_ended(&self) -> bool {
        if let Some(pidfd) = &self.pidfd {
            let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
            if let Ok(ready) = poll(&mut fds, Some(&Timespec::default())) {
                return ready > 0;
            }
        }
        Stat::read(self.pid).map_or(true, |stat| {
            stat.ended() || stat.start_ticks != self.start_ticks
        })
    }

    /// How it ended, if it has and is a child of ours that nobody has waited for. Reaps it.
    pub fn reap(&self) -> Option<ExitStatus> {
        let pid = rustix::process::Pid::from_raw(self.pid)?;
        let ended = waitpid(Some(pid), WaitOptions::NOHANG).ok()??;
        Some(ExitStatus::from_raw(ended.1.as_raw()))
    }

    /// Waits until it has ended, but no longer than `limit`. At once where the kernel has no pidfds.
    pub fn wait(&self, limit: Duration) {
        let seconds = i64::try_from(limit.as_secs()).unwrap_or(i64::MAX);
        let limit = Timespec {
            tv_sec: seconds,
            tv_nsec: limit.subsec_nanos().into(),
        };
        if let Some(pidfd) = &self.pidfd {
            let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
            poll(&mut fds, Some(&limit)).ok();
        }
    }

    /// Whether it is stopped (SIGSTOP, or a debugger): it will not answer.
    pub fn is_stopped(&self) -> bool {
        Stat::read(self.pid).is_ok_and(|stat| matches!(stat.state, 'T' | 't'))
    }
}

/// Ends (SIGKILL) the process group that the child `leader` leads. The child must not be reaped
/// yet: until then neither its PID nor its group's number can mean somebody else's.
pub fn end_group(leader: u32) {
    if let Some(leader) = i32::try_from(leader).ok().filter(|leader| *leader > 1) {
        killpg(Pid::from_raw(leader), Signal::SIGKILL).ok();
    }
}

/// Waits until every child of ours in the process group `leader` has ended, and reaps it, but no longer
/// than `limit`: what hangs in the kernel, on a file system that is gone, cannot even be killed. Only
/// for groups that are being ended, and whose processes nobody else waits for.
pub fn reap_group(leader: u32, limit: Duration) {
    let Some(leader) = i32::try_from(leader).ok().filter(|leader| *leader > 1) else {
        return;
    };
    let began = Instant::now();
    loop {
        match nix::sys::wait::waitpid(Pid::from_raw(-leader), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) if began.elapsed() < limit => {
                // No descriptor tells of the end of any of a group.
                poll(&mut [], Some(&REAP_AGAIN)).ok();
            }
            Ok(WaitStatus::StillAlive) => return,
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            // Until there is none: ECHILD.
            Err(_) => return,
        }
    }
}

/// How often it is looked for children of a group that have ended.
const REAP_AGAIN: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 1_000_000,
};

/// The clock that start times are measured by, in ticks since boot.
pub fn now_ticks() -> io::Result<u64> {
    // USER_HZ is 100 on every platform we run on.
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)?;
    let part = |number: i64| u64::try_from(number).unwrap_or_default();
    Ok(part(now.tv_sec()) * 100 + part(now.tv_nsec()) / 10_000_000)
}

/// Living processes whose working directory is `dir` or below it, with their command names.
/// Only those that we may look at are seen.
pub fn working_below(dir: &Path) -> io::Result<Vec<(i32, String)>> {
    let dir = fs::canonicalize(dir)?;
    let mut found = Vec::new();
    for pid in all_pids()? {
        let cwd = fs::read_link(proc_path(pid).join("cwd"));
        let alive = || Stat::read(pid).is_ok_and(|stat| !stat.ended());
        if pid != own_pid() && cwd.is_ok_and(|cwd| cwd.starts_with(&dir)) && alive() {
            found.push((pid, command_name(pid)));
        }
    }
    Ok(found)
}

/// A process whose title says that it is a node of a cluster of ours. A title proves nothing: it
/// is for people to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Titled {
    /// Its PID.
    pub pid: i32,
    /// `rcluster:default/1`.
    pub title: String,
    /// Its working directory, deleted or not.
    pub dir: PathBuf,
}

/// Processes with a title that begins with `start` in one of its words, and whose working directory
/// is gone. Only those that we may look at are seen.
pub fn titled_without_dir(start: &str) -> io::Result<Vec<Titled>> {
    let mut found = Vec::new();
    for pid in all_pids()? {
        let path = proc_path(pid);
        let Ok(text) = fs::read(path.join("cmdline")) else {
            continue;
        };
        let text = String::from_utf8_lossy(&text);
        let title = text.split([' ', '\0']).find(|word| word.starts_with(start));
        let Some((title, dir)) = title.zip(fs::read_link(path.join("cwd")).ok()) else {
            continue;
        };
        // The link's text ends in ` (deleted)`, which a directory's name may too.
        let gone = FileId::at(&path.join("cwd")).is_ok_and(|id| FileId::at(&dir).ok() != Some(id));
        if gone && pid != own_pid() && Stat::read(pid).is_ok_and(|stat| !stat.ended()) {
            found.push(Titled {
                pid,
                title: crate::cluster::printable(title, 80),
                dir,
            });
        }
    }
    Ok(found)
}

/// The name of the program that `pid` runs, as `ps` shows it; `?` if it is gone.
pub fn command_name(pid: i32) -> String {
    fs::read_to_string(proc_path(pid).join("comm")).map_or("?".to_owned(), |name| {
        crate::cluster::printable(name.trim(), 32)
    })
}

pub(super) fn all_pids() -> io::Result<Vec<i32>> {
    Ok(fs::read_dir("/proc")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect())
}

pub(super) fn proc_path(pid: i32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}"))
}

/// What `/proc/PID/stat` says.
#[derive(Debug)]
struct Stat {
    state: char,
    start_ticks: u64,
}

impl Stat {
    fn read(pid: i32) -> io::Result<Self> {
        let text = fs::read_to_string(proc_path(pid).join("stat"))?;
        Self::parse(&text).ok_or_else(|| io::Error::other("/proc/PID/stat has another form"))
    }

    fn parse(text: &str) -> Option<Self> {
        // The name in the second field may contain anything, brackets and spaces too: begin behind it.
        let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        Some(Self {
            state,
            start_ticks: fields.nth(18)?.parse().ok()?,
        })
    }

    fn ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_name_with_brackets_does_not_confuse_the_reading_of_stat() {
        let text = "7 (a) R (b) S 1 7 7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 12345 0 0";
        let stat = Stat::parse(text).expect("valid");
        assert_eq!((stat.state, stat.start_ticks), ('S', 12345));
        assert!(Stat::parse("").is_none() && Stat::parse("7 (x) S 1").is_none());
    }

    #[test]
    fn a_process_is_found_by_its_record_and_a_stranger_with_its_pid_is_not() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("spawn");
        let epoch = Epoch::now().expect("proc");
        let record = Process::of_child(child.id()).expect("alive").record();
        assert!(matches!(
            find(&epoch, &record).expect("proc"),
            Found::Running(_)
        ));

        let later = Record {
            start_ticks: record.start_ticks + 1,
            ..record.clone()
        };
        assert!(matches!(find(&epoch, &later).expect("proc"), Found::Dead));
        let reboot = Epoch {
            boot_id: "other".into(),
            ..epoch.clone()
        };
        assert!(matches!(find(&reboot, &record).expect("proc"), Found::Dead));
        let container = Epoch {
            pid_namespace: 1,
            ..epoch.clone()
        };
        assert!(matches!(
            find(&container, &record).expect("proc"),
            Found::Elsewhere
        ));
        let renamed = Epoch {
            host: "other".into(),
            ..epoch.clone()
        };
        assert!(matches!(
            find(&renamed, &record).expect("proc"),
            Found::Running(_)
        ));
        let machine = Epoch {
            host: "other".into(),
            boot_id: "other".into(),
            ..epoch.clone()
        };
        assert!(matches!(
            find(&machine, &record).expect("proc"),
            Found::Elsewhere
        ));
        for pid in [0, 1, -1, own_pid(), i32::MAX] {
            let start_ticks = Stat::read(pid).map_or(0, |stat| stat.start_ticks);
            assert!(
                matches!(
                    find(&epoch, &Record { pid, start_ticks }).expect("proc"),
                    Found::Dead
                ),
                "{pid}"
            );
        }

        let Found::Running(process) = find(&epoch, &record).expect("proc") else {
            panic!("it runs")
        };
        process.kill().expect("signal");
        // Not reaped: a zombie counts as ended, and signalling it is no error.
        while !process.has_ended() {
            std::thread::yield_now();
        }
        assert!(matches!(find(&epoch, &record).expect("proc"), Found::Dead));
        process.terminate().expect("no error");
        child.wait().expect("reap");
        process.terminate().expect("no error");
    }

    #[test]
    fn an_unrecorded_process_is_found_by_directory_log_and_time() {
        let tmp = tempfile::tempdir().expect("tempdir");
        let log = fs::File::create(tmp.path().join("log")).expect("create");
        let epoch = Epoch::now().expect("proc");
        let intent = Intent {
            since_ticks: now_ticks().expect("clock"),
            dir: FileId::at(tmp.path()).expect("stat"),
            log: FileId::at(&tmp.path().join("log")).expect("stat"),
        };
        let found = |intent: &Intent| {
            matches!(
                find_intended(&epoch, intent).expect("proc"),
                Found::Running(_)
            )
        };
        // A stranger in the directory, such as a shell, is not ours.
        let mut stranger = Command::new("sleep")
            .arg("60")
            .current_dir(tmp.path())
            .spawn()
            .expect("spawn");
        assert!(!found(&intent));
        let mut ours = Command::new("sleep")
            .arg("60")
            .current_dir(tmp.path())
            .stdout(log)
            .spawn()
            .expect("spawn");
        assert!(found(&intent));
        assert!(!found(&Intent {
            since_ticks: intent.since_ticks + 100_000,
            ..intent.clone()
        }));
        let below = working_below(tmp.path()).expect("proc");
        assert_eq!(below.len(), 2, "{below:?}");
        for child in [&mut stranger, &mut ours] {
            child.kill().expect("kill");
            child.wait().expect("reap");
        }
        assert!(working_below(tmp.path()).expect("proc").is_empty());
    }
}
