//! The end of a server's log, for people who ask why it died.

use std::io;
use std::path::Path;

use crate::cluster::printable;
use crate::sys::dir::Dir;

/// How much of a log's end is read.
const LOG_END: u64 = 64 << 10;

/// The end of the log at `path`; not through a link, and without waiting if it is a pipe.
pub fn log_end(path: &Path) -> io::Result<Vec<u8>> {
    let (dir, name) = path
        .parent()
        .zip(path.file_name())
        .ok_or(io::ErrorKind::InvalidInput)?;
    Dir::open(dir)?.read_end(name, LOG_END)
}

/// The last `lines` lines of the log's end, fit for a terminal.
pub fn tail(log_end: &[u8], lines: usize) -> Vec<String> {
    let text = String::from_utf8_lossy(log_end);
    let all: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    all.iter()
        .skip(all.len().saturating_sub(lines))
        .map(|line| printable(line, 300))
        .collect()
}

/// What a log's end says about the reason of a death, in one line.
pub fn fatal_line(log_end: &[u8]) -> Option<String> {
    let lines = tail(log_end, 20);
    let is_reason = |line: &&String| {
        [
            "Failed listening",
            "Aborting",
            "Fatal",
            "Bad directive",
            "Unrecoverable",
            "Could not create",
            "Can't open",
            "unix socket path",
            "Failed to load",
            "Failed opening",
            "Can't load module",
            "Module Configuration detected",
        ]
        .iter()
        .any(|start| line.contains(start))
    };
    // After a bad configuration the reason is the line below the one it quotes.
    let config = lines
        .iter()
        .position(|line| line.contains("FATAL CONFIG FILE ERROR"));
    match config {
        Some(start) => Some(lines.get(start + 1..)?.join(" ")),
        None => lines
            .iter()
            .rev()
            .find(is_reason)
            .map(|line| after_prefix(line).to_owned()),
    }
}

/// Why a replica will never get in sync, in the words of its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncTrouble {
    /// Its primary does not let it in.
    Refused(String),
    /// It cannot read what its primary sends.
    Unreadable(String),
}

/// What the last lines of a replica's log say about replication that cannot succeed.
pub fn sync_trouble(log_end: &[u8]) -> Option<SyncTrouble> {
    tail(log_end, 8).iter().rev().find_map(|line| {
        let message = || after_prefix(line).to_owned();
        let has = |words: &[&str]| words.iter().any(|word| line.contains(word));
        // `-WRONGPASS` and the like are the primary's answers to AUTH, PING, REPLCONF and PSYNC.
        if has(&["-WRONGPASS", "-NOAUTH", "-NOPERM", "-DENIED"]) {
            Some(SyncTrouble::Refused(message()))
        } else if has(&[
            "Can't handle RDB format version",
            "Failed trying to load the MASTER",
            "Failed trying to load the PRIMARY",
        ]) {
            Some(SyncTrouble::Unreadable(message()))
        } else {
            None
        }
    })
}

/// The message of a log line, without `pid:role date time mark`.
fn after_prefix(line: &str) -> &str {
    [" # ", " * ", " - "]
        .iter()
        .find_map(|mark| line.split_once(mark))
        .map_or(line, |(_, message)| message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_death_is_found() {
        let port = b"1:C 1 Jan 2026 00:00:00.000 # oO0Oo\n1:M 1 Jan 2026 00:00:00.000 # Failed listening on port 30001 (TCP), aborting.\n";
        assert_eq!(
            fatal_line(port).as_deref(),
            Some("Failed listening on port 30001 (TCP), aborting.")
        );
        let config = b"\n*** FATAL CONFIG FILE ERROR (Redis 7.0.15) ***\nReading the configuration file, at line 3\n>>> 'nonsense 1'\nBad directive or wrong number of arguments\n";
        assert_eq!(
            fatal_line(config).as_deref(),
            Some(
                "Reading the configuration file, at line 3 >>> 'nonsense 1' Bad directive or wrong number of arguments"
            )
        );
        let acl = b"1:M 1 Jan 2026 00:00:00.000 # Server initialized\n1:M 1 Jan 2026 00:00:00.000 # Aborting Redis startup because of ACL errors: users.acl:1: Syntax error.\n";
        assert_eq!(
            fatal_line(acl).as_deref(),
            Some("Aborting Redis startup because of ACL errors: users.acl:1: Syntax error.")
        );
        let users = b"1:M 1 Jan 2026 00:00:00.000 # Aborting Redis startup because of ACL errors: WARNING: Duplicate user 'a' found on line 5.\n\n";
        assert!(fatal_line(users).is_some_and(|line| line.starts_with("Aborting Redis startup")));
        assert_eq!(fatal_line(b""), None);
    }

    #[test]
    fn the_tail_is_the_last_lines() {
        assert_eq!(tail(b"a\n\nb\nc\x1b[2J\n", 2), ["b", "c [2J"]);
    }
}
