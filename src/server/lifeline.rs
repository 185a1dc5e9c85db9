//! Servers that must not outlive us, even if we are killed.
//!
//! Two shells each wait for the end of a pipe that we hold and whose other end the kernel closes
//! when we end, by whatever signal. The first leads the process group that the servers are spawned
//! into, and then ends the group, itself included: a group's number cannot mean somebody else's
//! processes while its leader lives. The second is in a group of its own, and deletes the
//! directory when the group is gone.
//!
//! `PR_SET_PDEATHSIG` would do less: it is bound to the thread that spawned, and lost by servers
//! that somebody else started again.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::spawn::environment;
use crate::sys::process::{end_group, reap_group};

/// How long what was killed may take to be gone.
pub const DEATH: Duration = Duration::from_secs(2);

/// What we say when nothing is left to do.
const OVER: &[u8] = b"over\n";

/// Ends its process group unless it is told that all is over.
const LEADER: &str = r#"trap '' HUP INT QUIT TERM
read -r word || word=
[ "$word" = over ] || kill -s KILL 0"#;

/// Deletes the directory `$2` when the group `$1` is gone, unless it is told that all is over. What
/// follows is run first, while the leader ends the group, with the name of each directory in `$2`: it
/// ends servers that somebody else started there. A group of zombies counts as there, and where PID 1 reaps nobody it stays so: then the
/// directory has to wait for the last try.
const CLEANER: &str = r#"trap '' HUP INT QUIT TERM
read -r word || word=
[ "$word" = over ] && exit
group=$1 dir=$2 tries=0
shift 2
for cluster in "$dir"/*/; do
    cluster=${cluster%/}
    [ $# -eq 0 ] || "$@" "${cluster##*/}"
done
while [ "$tries" -lt 40 ] && kill -s 0 -- "-$group" 2>/dev/null; do
    sleep 0.05 || sleep 1
    tries=$((tries + 1))
done
rm -rf -- "$dir""#;

/// Ends a group of servers, and deletes a directory, when it is dropped, or by our own end, whatever
/// ends us.
#[derive(Debug)]
pub struct Lifeline {
    /// Whether the group has not been ended.
    holds: bool,
    leader: Guard,
    cleaner: Guard,
}

impl Lifeline {
    /// A lifeline for servers that live in `dir`. If we are killed, `last` is run with the name of each
    /// directory in `dir` as one more argument, before `dir` is deleted.
    pub fn new(dir: &Path, last: &[OsString]) -> io::Result<Self> {
        let leader = Guard::new(LEADER, &[])?;
        let mut arguments = vec![leader.0.id().to_string().into(), dir.into()];
        arguments.extend_from_slice(last);
        Ok(Self {
            holds: true,
            leader,
            cleaner: Guard::new(CLEANER, &arguments)?,
        })
    }

    /// The process group that servers are spawned into.
    pub fn group(&self) -> u32 {
        self.leader.0.id()
    }

    /// Ends what is left of the group, at once, and waits until its processes have ended. The
    /// directory is still deleted should we be killed now.
    pub fn cut(&mut self) {
        // Only once: its leader reaped, the group's number may become somebody else's.
        if std::mem::replace(&mut self.holds, false) {
            end_group(self.leader.0.id());
            reap_group(self.leader.0.id(), DEATH);
        }
    }

    /// The directory is gone: nothing is left to do.
    pub fn release(mut self) {
        self.cut();
        self.cleaner.release();
    }
}

impl Drop for Lifeline {
    /// Ends the group, and has the directory deleted.
    fn drop(&mut self) {
        self.cut();
    }
}

/// A shell that waits for the end of its standard input.
#[derive(Debug)]
struct Guard(Child);

impl Guard {
    fn new(script: &str, arguments: &[OsString]) -> io::Result<Self> {
        Command::new("/bin/sh")
            .args(["-c", script, "rcluster-lifeline"])
            .args(arguments)
            // Nobody's directory is held, and nothing of our environment is told.
            .current_dir("/")
            .env_clear()
            .envs(environment())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map(Self)
    }

    /// Tells it that all is over, and waits for it.
    fn release(&mut self) {
        if let Some(mut pipe) = self.0.stdin.take() {
            pipe.write_all(OVER).ok();
        }
        self.0.wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifeline_that_is_cut_ends_its_group_and_leaves_no_zombie() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut lifeline = Lifeline::new(dir.path(), &[]).expect("a shell");
        let group = i32::try_from(lifeline.group()).expect("a group");
        let mut sleepers: Vec<Child> = (0..3)
            .map(|_| {
                let mut sleep = Command::new("sleep");
                sleep.arg("600").process_group(group);
                sleep.spawn().expect("a child")
            })
            .collect();
        lifeline.cut();
        lifeline.release();
        for sleeper in &mut sleepers {
            assert!(!Path::new(&format!("/proc/{}", sleeper.id())).exists());
            assert!(sleeper.wait().is_err(), "it was not reaped");
        }
        assert!(dir.path().exists());
    }
}
