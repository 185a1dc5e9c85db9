//! `logs --export`: what a CI job keeps of a cluster, without its secrets and its data.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};

use super::answer::Answer;
use super::context::Context;
use super::logs::chosen;
use crate::cluster::NodeAddr;
use crate::error::{Error, NodeProblem, Result};
use crate::plan::{Secrets, Target};
use crate::server::LogReader;
use crate::store::{Cluster, LOG_FILE};
use crate::sys::dir::Dir;
use crate::sys::limits::existing;

/// No configuration and no nodes.conf is larger.
const FILE_LIMIT: u64 = 16 << 20;

/// Shorter words would be found everywhere.
const SHORTEST_SECRET: usize = 4;

/// What stands where a secret was.
const REMOVED: &str = "(removed)";

/// What was exported.
#[derive(Clone, Debug)]
pub struct Exported {
    /// The cluster.
    pub name: String,
    /// Where to, absolute.
    pub directory: PathBuf,
    /// The files, relative to it.
    pub files: Vec<PathBuf>,
    /// What could not be read.
    pub problems: Vec<NodeProblem>,
}

/// Copies logs, configurations without secrets, and `nodes.conf` of the nodes that `targets` mean
/// into `directory`, which must be empty or not there, along with `documents`: names and texts.
pub async fn export(
    context: &Context,
    targets: &[Target],
    directory: &Path,
    documents: &[(&str, String)],
) -> Result<Exported> {
    let (cluster, nodes) = chosen(context, targets).await?;
    let directory = std::path::absolute(directory).map_err(Error::io("find", directory))?;
    refuse_home(context, &directory)?;
    let out = empty_dir(&directory)?;
    let mut exported = Exported {
        name: context.name.to_string(),
        directory: directory.clone(),
        files: Vec::new(),
        problems: Vec::new(),
    };
    let secrets = match cluster.secrets() {
        Ok(secrets) => words(&secrets),
        Err(error) => {
            let problem = NodeProblem::new(&exported.name, error.with_causes());
            exported.problems.push(problem);
            Vec::new()
        }
    };
    let failed = |name: &Path| {
        let path = directory.join(name);
        move |error| Error::io("write", &path)(error)
    };
    for (name, text) in documents {
        let name = PathBuf::from(name);
        // A word less, it might be JSON no more: its texts have lost theirs before (`scrub`).
        let is_json = name.extension().is_some_and(|end| end == "json");
        let text = if is_json {
            text.clone()
        } else {
            scrubbed(text, &secrets)
        };
        write(&out, &name, text.as_bytes()).map_err(failed(&name))?;
        exported.files.push(name);
    }
    for (_, addr) in nodes {
        let port = addr.port.to_string();
        let Some(dir) = node_dir(&cluster, addr, &mut exported.problems) else {
            continue;
        };
        out.make(&port).map_err(failed(Path::new(&port)))?;
        let into = out.sub(&port).map_err(failed(Path::new(&port)))?;
        for file in [LOG_FILE, "redis.conf", "nodes.conf"] {
            let name = Path::new(&port).join(file);
            let copied = if file == LOG_FILE {
                copy_log(&dir, &into, &secrets)
            } else {
                copy_text(&dir, &into, file, &secrets)
            };
            match copied {
                Ok(Copied::Whole) => exported.files.push(name),
                Ok(Copied::Beginning) => {
                    exported.files.push(name);
                    exported.problems.push(NodeProblem::new(
                        addr,
                        format!("its {file} is too long: only the first 16 MiB were copied"),
                    ));
                }
                Ok(Copied::Nothing) => {}
                Err(Failure::Reading(error)) => exported.problems.push(NodeProblem::new(
                    addr,
                    format!("its {file} cannot be read: {error}"),
                )),
                Err(Failure::Writing(error)) => return Err(failed(&name)(error)),
            }
        }
    }
    Ok(exported)
}

/// Removes secrets from what `answer` tells in servers' words: one that does not know `AUTH` repeats
/// what it was sent.
pub fn scrub(context: &Context, answer: &mut Answer) -> Result<()> {
    let (cluster, _) = context.existing()?;
    // Secrets that cannot be read have been told to nobody.
    if let Ok(secrets) = cluster.secrets() {
        scrub_problems(&mut answer.problems, &words(&secrets));
    }
    Ok(())
}

fn scrub_problems(problems: &mut [NodeProblem], secrets: &[String]) {
    for problem in problems {
        problem.message = scrubbed(&problem.message, secrets);
        for line in &mut problem.log {
            *line = scrubbed(line, secrets);
        }
    }
}

/// Refuses a directory within the home: `clean` would leave it and the cluster's directory behind, and
/// nobody would take it for a cluster.
fn refuse_home(context: &Context, path: &Path) -> Result<()> {
    let is_inside = || -> io::Result<bool> {
        let home = context.home.path().canonicalize()?;
        Ok(existing(path).canonicalize()?.starts_with(home))
    };
    // A home or a path that cannot be looked at is told by whoever uses it.
    if is_inside().unwrap_or(false) {
        return Err(Error::usage(
            format!("{} lies in the home, among the clusters", path.display()),
            "name a directory outside of it",
        ));
    }
    Ok(())
}

/// Opens `path`, making it if need be; refuses one with something in it.
fn empty_dir(path: &Path) -> Result<Dir> {
    let conflict = |message: String| Error::Conflict {
        message,
        hint: "name a directory that is empty, or not there yet".into(),
    };
    match fs::symlink_metadata(path) {
        Ok(meta) if !meta.is_dir() && !path.is_dir() => {
            return Err(conflict(format!("{} is no directory", path.display())));
        }
        Ok(_) => {}
        Err(_) => fs::create_dir_all(path).map_err(Error::io("make", path))?,
    }
    let dir = Dir::open(path).map_err(Error::io("open", path))?;
    if dir.entries().map_err(Error::io("list", path))?.is_empty() {
        Ok(dir)
    } else {
        Err(conflict(format!("{} is not empty", path.display())))
    }
}

fn node_dir(cluster: &Cluster, addr: NodeAddr, problems: &mut Vec<NodeProblem>) -> Option<Dir> {
    match cluster.node(addr.port) {
        Ok(dir) => dir,
        Err(error) => {
            problems.push(NodeProblem::new(addr, error.with_causes()));
            None
        }
    }
}

/// On which side copying failed: what cannot be read is left out, what cannot be written ends it.
enum Failure {
    Reading(io::Error),
    Writing(io::Error),
}

/// How much was copied.
enum Copied {
    Whole,
    Beginning,
    /// There is no such file.
    Nothing,
}

/// Copies the log line by line.
fn copy_log(from: &Dir, to: &Dir, secrets: &[String]) -> Result<Copied, Failure> {
    let Some(mut log) = LogReader::open(from, LOG_FILE).map_err(Failure::Reading)? else {
        return Ok(Copied::Nothing);
    };
    let mut out = BufWriter::new(to.new_file(LOG_FILE).map_err(Failure::Writing)?);
    loop {
        let line = match log.next_line().map_err(Failure::Reading)? {
            Some(line) => Some(line),
            None => log.rest(),
        };
        let Some(line) = line else {
            break;
        };
        writeln!(out, "{}", scrubbed(&line, secrets)).map_err(Failure::Writing)?;
    }
    out.flush().map_err(Failure::Writing)?;
    Ok(Copied::Whole)
}

fn copy_text(from: &Dir, to: &Dir, name: &str, secrets: &[String]) -> Result<Copied, Failure> {
    let Some(file) = from.open_file(name).map_err(Failure::Reading)? else {
        return Ok(Copied::Nothing);
    };
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, FILE_LIMIT + 1), &mut bytes)
        .map_err(Failure::Reading)?;
    let is_cut = bytes.len() as u64 > FILE_LIMIT;
    if is_cut {
        // Half a line might be half a password, which is not found.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n');
        bytes.truncate(whole.unwrap_or_default());
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<String> = text
        .lines()
        .map(|line| scrubbed(&without_secret(line), secrets))
        .collect();
    write(to, Path::new(name), (lines.join("\n") + "\n").as_bytes()).map_err(Failure::Writing)?;
    Ok(if is_cut {
        Copied::Beginning
    } else {
        Copied::Whole
    })
}

fn write(dir: &Dir, name: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = name.to_str().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file: File = dir.new_file(name)?;
    file.write_all(bytes)
}

/// A line of `redis.conf`, without the value of a directive that holds a secret.
fn without_secret(line: &str) -> String {
    const SECRET: [&str; 7] = [
        "requirepass",
        "masterauth",
        "primaryauth",
        "user",
        "tls-key-file-pass",
        "tls-client-key-file-pass",
        "sentinel",
    ];
    let name = line.split_whitespace().next().unwrap_or_default();
    let plain = name.trim_matches(['"', '\'']).to_ascii_lowercase();
    if SECRET.contains(&plain.as_str()) {
        format!("{plain} {REMOVED}")
    } else {
        line.to_owned()
    }
}

/// What must not be in any file: passwords, and those in ACL rules and their digests.
fn words(secrets: &Secrets) -> Vec<String> {
    let passwords = [&secrets.password, &secrets.replication_password];
    let passwords = passwords
        .into_iter()
        .flatten()
        .map(|password| password.expose_secret().to_owned());
    let acl = secrets.acl.as_ref().map(SecretString::expose_secret);
    let rules = acl.unwrap_or_default().split_whitespace();
    let in_rules = rules.filter_map(|rule| rule.strip_prefix(['>', '<', '#', '!']));
    let mut words: Vec<String> = passwords
        .chain(in_rules.map(str::to_owned))
        .filter(|word| word.len() >= SHORTEST_SECRET)
        .collect();
    // One may be part of another.
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    words
}

fn scrubbed(text: &str, secrets: &[String]) -> String {
    secrets.iter().fold(text.to_owned(), |text, secret| {
        if text.contains(secret.as_str()) {
            text.replace(secret.as_str(), REMOVED)
        } else {
            text
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_with_secrets_lose_their_values() {
        for (line, wanted) in [
            ("requirepass hunter2", "requirepass (removed)"),
            ("  \"MasterAuth\" 'hunter2'", "masterauth (removed)"),
            ("user default on >hunter2 ~* +@all", "user (removed)"),
            ("tls-key-file-pass \"x y\"", "tls-key-file-pass (removed)"),
            ("masteruser repl", "masteruser repl"),
            ("port 7000", "port 7000"),
            ("", ""),
        ] {
            assert_eq!(without_secret(line), wanted);
        }
    }

    #[test]
    fn what_servers_say_loses_passwords() {
        let said = "ERR unknown command 'AUTH', with args beginning with: 'hunter2'";
        let mut problems = [NodeProblem::new("127.0.0.1:30001", said)];
        problems[0].log.push(said.into());
        scrub_problems(&mut problems, &["hunter2".to_owned()]);
        let text = format!("{problems:?}");
        assert!(!text.contains("hunter2"), "{text}");
        assert_eq!(text.matches(REMOVED).count(), 2, "{text}");
    }

    #[test]
    fn passwords_are_found_wherever_they_are() {
        let secrets = Secrets {
            password: Some("hunter2hunter2".to_owned().into()),
            replication_password: Some("hunter2".to_owned().into()),
            acl: Some("user a on >s3cret #abcdef ~* +@all >x".to_owned().into()),
        };
        let words = words(&secrets);
        let text = scrubbed("AUTH hunter2hunter2, hunter2; s3cret #abcdef x", &words);
        assert_eq!(text, "AUTH (removed), (removed); (removed) #(removed) x");
    }
}
