//! Deleting what we and our servers made, and nothing else.
//!
//! Below the held cluster directory, by name, never through a link. A file that no server of ours
//! writes stays where it is, and so does the directory around it.

use std::io;
use std::path::PathBuf;

use super::home::{Cluster, LOG_FILE, NODES, is_temporary};
use super::journal::Journal;
use super::manifest::Manifest;
use super::processes::Processes;
use crate::error::{Error, Result};
use crate::plan::Directive;
use crate::sys::dir::{Dir, Entry, Kind};

/// What a node's directory has before its server has written any data.
const CONFIGURATION: [&str; 4] = ["redis.conf", "nodes.conf", LOG_FILE, "users.acl"];

/// A server's Unix socket, there after it was killed.
const SOCKET: &str = "redis.sock";

/// The names under which the servers keep their data.
#[derive(Clone, Debug)]
pub struct DataNames {
    snapshot: String,
    append_file: String,
    append_dir: String,
}

impl DataNames {
    /// The names that `directives` set, else the servers' defaults.
    pub fn of(directives: &[Directive]) -> Self {
        let value = |name: &str, default: &str| {
            let set = directives
                .iter()
                .rev()
                .find(|directive| directive.name() == name);
            set.map_or(default, |directive| directive.value())
                .trim_matches(['"', '\''])
                .to_owned()
        };
        Self {
            snapshot: value("dbfilename", "dump.rdb"),
            append_file: value("appendfilename", "appendonly.aof"),
            append_dir: value("appenddirname", "appendonlydir"),
        }
    }

    /// Whether a server, or we for it, write a file of this name into its working directory.
    fn is_file(&self, name: &str) -> bool {
        CONFIGURATION.contains(&name)
            || name == self.snapshot
            || name == self.append_file
            // Unfinished replacements: of CONFIG REWRITE, of nodes.conf, of snapshots and rewrites.
            || name.starts_with("redis.conf.")
            || name.starts_with("nodes.conf.tmp")
            || name.starts_with("users.acl.tmp")
            || is_temporary_data(name)
    }

    /// Whether a server writes a file of this name into its append-only directory (7.0 and newer).
    fn is_append_file(&self, name: &str) -> bool {
        // The one of a server whose first snapshot is not finished is "temp-appendonly.aof.incr".
        let finished = name.strip_prefix("temp-").unwrap_or(name);
        finished
            .strip_prefix(self.append_file.as_str())
            // Without an end it is that of an older server, which a newer one took over.
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            || is_temporary_data(name)
    }
}

fn is_temporary_data(name: &str) -> bool {
    name.starts_with("temp-")
        // `.incr`: the append-only file that a server begins; killed meanwhile, it leaves it so.
        && [".rdb", ".aof", ".manifest", ".incr"]
            .iter()
            .any(|end| name.ends_with(end))
        || name.starts_with("temp_") && name.contains(".aof")
}

impl Cluster {
    /// Deletes what the node on `port` holds, and its directory. What is not ours is left and
    /// added to `left`.
    pub fn remove_node(&self, port: u16, names: &DataNames, left: &mut Vec<PathBuf>) -> Result<()> {
        let Some(node) = self.node(port)? else {
            return Ok(());
        };
        let path = self.node_path(port);
        let mut work = || -> io::Result<()> {
            sweep(&node, &names.append_dir, left, |name| names.is_file(name))?;
            if let Ok(append) = node.sub(names.append_dir.as_str()) {
                sweep(&append, "", left, |name| names.is_append_file(name))?;
                remove_if_empty(&node, &names.append_dir)?;
            }
            remove_if_empty(&self.dir.sub(NODES)?, &port.to_string())
        };
        work().map_err(Error::io("delete", &path))
    }

    /// Whether the node on `port` may hold data: whether a server has made more in its directory
    /// than its log, or anybody else anything.
    pub fn has_data(&self, port: u16, names: &DataNames) -> Result<bool> {
        let Some(node) = self.node(port)? else {
            return Ok(false);
        };
        let entries = node
            .entries()
            .map_err(Error::io("list", &self.node_path(port)))?;
        Ok(entries.iter().any(|entry| {
            let name = entry.name.to_str().unwrap_or_default();
            // One with the ending is ours too: it was being replaced when we were killed.
            let configuration = name.strip_suffix(".tmp").unwrap_or(name);
            let harmless = CONFIGURATION.contains(&configuration) || name == SOCKET;
            !harmless || name == names.snapshot
        }))
    }

    /// Deletes our own files, the manifest last: until then the directory is a cluster that is
    /// being cleaned. Only the lock is left.
    pub fn remove_files(&self, left: &mut Vec<PathBuf>) -> Result<()> {
        let mut work = || -> io::Result<()> {
            if let Ok(nodes) = self.dir.sub(NODES) {
                for Entry { name, .. } in nodes.entries()? {
                    let path = nodes.path().join(&name);
                    if !left.iter().any(|known| known.starts_with(&path)) {
                        left.push(path);
                    }
                }
                remove_if_empty(&self.dir, NODES)?;
            }
            for Entry { name, .. } in self.dir.entries()? {
                if is_temporary(&name) {
                    self.dir.unlink(&name)?;
                }
            }
            self.remove_secrets(left)?;
            for file in [Processes::FILE, Journal::FILE, Manifest::FILE] {
                self.dir.unlink(file)?;
            }
            for Entry { name, .. } in self.dir.entries()? {
                let path = self.path().join(&name);
                if name != "lock" && !left.iter().any(|known| known.starts_with(&path)) {
                    left.push(path);
                }
            }
            Ok(())
        };
        work().map_err(Error::io("delete", self.path()))
    }
}

/// Deletes the files in `dir` that are `ours`; what else is there, but for the directory
/// `except`, goes to `left`.
fn sweep(
    dir: &Dir,
    except: &str,
    left: &mut Vec<PathBuf>,
    ours: impl Fn(&str) -> bool,
) -> io::Result<()> {
    for Entry { name, kind } in dir.entries()? {
        let is_ours = match kind {
            Kind::File => name.to_str().is_some_and(&ours),
            Kind::Socket => name == SOCKET,
            Kind::Dir | Kind::Other => false,
        };
        if is_ours {
            dir.unlink(&name)?;
        } else if kind != Kind::Dir || name != except {
            left.push(dir.path().join(name));
        }
    }
    Ok(())
}

fn remove_if_empty(dir: &Dir, name: &str) -> io::Result<()> {
    match dir.rmdir(name) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        other => other.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_killed_while_it_wrote_leaves_is_known() {
        let names = DataNames::of(&[]);
        // Names of Redis 7.0's aof.c, replication.c and rdb.c.
        for name in [
            "temp-appendonly.aof.incr",
            "temp-appendonly.aof.manifest",
            "temp-rewriteaof-4711.aof",
            "temp-rewriteaof-bg-4711.aof",
            "appendonly.aof.1.base.rdb",
            "appendonly.aof.1.incr.aof",
            "appendonly.aof",
        ] {
            assert!(names.is_append_file(name), "{name}");
        }
        for name in [
            "temp-4711.rdb",
            "temp-1700000000.4711.rdb",
            "nodes.conf.tmp-4711-1",
        ] {
            assert!(names.is_file(name), "{name}");
        }
        for name in ["incr", "temp-", "my.incr", "temp", "appendonly.aofx"] {
            assert!(!names.is_append_file(name), "{name}");
        }
    }
}
