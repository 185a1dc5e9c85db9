//! `doctor`: whether this machine is fit to run a cluster. Contacts nobody but nodes of the home's own
//! clusters, and leaves nothing behind. While it tries ports it holds the home's lock on them, and it
//! raises its own soft limit of open files, as `up` would.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::answer::State;
use super::context::Context;
use super::limits;
use super::list::list;
use super::wish::StartWish;
use crate::error::{NodeProblem, Result};
use crate::plan::{
    ClusterSpec, Finding, Needs, PortChoice, Surroundings, judge_limits, judge_port_range,
    judge_surroundings, size,
};
use crate::server::{self, Binary, Ports, PortsError, PortsWish};
use crate::store::{ClusterName, PortLock};
use crate::sys::dir::{Dir, Trial, try_out};
use crate::sys::{self, limits::existing, mounts::file_system, surroundings::surroundings};

/// The longest name of a Unix socket, `sun_path` without its last zero.
const LONGEST_SOCKET: usize = 107;

/// The longest name of a node's directory below that of its cluster.
const DEEPEST: &str = "nodes/65535";

/// File systems that are not on this machine: servers wait for them with every write to disk.
const REMOTE: [&str; 9] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "9p",
    "ceph",
    "glusterfs",
    "fuse.sshfs",
    "afs",
];

/// What is to be done about a home that cannot be cured.
const ELSEWHERE: &str = "keep clusters elsewhere with --home DIR";

/// More than this is not written to try a disk.
const LONGEST_TRIAL: u64 = 8 << 20;

/// For which cluster the machine is to be fit.
#[derive(Clone, Debug, Default)]
pub struct DoctorWish {
    /// `--primaries`.
    pub primaries: Option<usize>,
    /// `--replicas`.
    pub replicas: Option<usize>,
    /// `--server`.
    pub server: Option<String>,
}

/// Checks everything that a new cluster depends on, and looks for what old ones left.
pub async fn doctor(context: &Context, wish: &DoctorWish) -> Result<Vec<Finding>> {
    let start = StartWish {
        primaries: wish.primaries,
        replicas: wish.replicas,
        ..StartWish::default()
    };
    start.check()?;
    let spec = start.spec()?;
    let around = surroundings();
    let mut findings = judge_surroundings(&around);
    let binary = context.find_server(wish.server.as_deref()).await;
    findings.extend(server_found(&binary));
    let binary = binary.ok();
    let needs = limits::needs(
        &spec,
        binary.as_ref().map(Binary::tasks),
        spec.node_count(),
        true,
    );
    findings.extend(home(context, &needs));
    let machine = sys::limits::machine(context.home.path(), needs.tasks());
    let can_be = existing(context.home.path()).is_dir();
    let limits = judge_limits(&needs, &machine).into_iter();
    // Of a home that cannot be, one line says all.
    findings.extend(limits.filter(|finding| can_be || finding.id != "home_writable"));
    // As `up` does, for the test of all ports at once.
    let soft = machine
        .open_files
        .and_then(|limit| needs.soft_open_files(&limit));
    soft.map(sys::limits::set_open_files);
    findings.extend(ports(context, &start, &spec, binary.as_ref(), &around));
    if can_be {
        findings.extend(clusters(context).await);
    }
    findings.push(orphans());
    Ok(findings)
}

fn server_found(binary: &Result<Binary>) -> Vec<Finding> {
    let binary = match binary {
        Ok(binary) => binary,
        Err(error) => {
            // The home's own findings say what is to be done about it.
            let fix = error.hint().unwrap_or_else(|| ELSEWHERE.into());
            return vec![Finding::fail("server", error.with_causes(), fix)];
        }
    };
    let server = format!("{binary} at {}", binary.path.display());
    let client = match binary.client() {
        Some(path) => Finding::ok("client", path.display().to_string()),
        None => Finding::warn(
            "client",
            format!(
                "there is no {}-cli, neither beside the server nor on PATH",
                binary.kind
            ),
            "install it to talk to a cluster by hand (Debian: redis-tools); rcluster does without",
        ),
    };
    vec![Finding::ok("server", server), client]
}

/// The home itself: whose it is, what it lies on, whether files can be written and locked there.
fn home(context: &Context, needs: &Needs) -> Vec<Finding> {
    let path = context.home.path();
    let place = existing(path);
    let mut findings = vec![owner(path)];
    if !place.is_dir() {
        return findings;
    }
    let kind = file_system(place).unwrap_or_else(|| "unknown".into());
    let text = format!("{} is on a file system of type {kind}", place.display());
    findings.push(if REMOTE.contains(&kind.as_str()) {
        Finding::warn(
            "home_file_system",
            format!("{text}: servers wait for the network whenever they write to disk"),
            "keep clusters on a disk of this machine, with --home DIR",
        )
    } else {
        Finding::ok("home_file_system", text)
    });
    findings.extend(trial(place, needs.disk_bytes().min(LONGEST_TRIAL)));
    findings.push(path_length(path, &context.name));
    findings
}

fn owner(path: &Path) -> Finding {
    const ID: &str = "home";
    let shown = path.display();
    let looked = fs::metadata(path).and_then(|meta| Ok((meta, Dir::open(path)?.distrust()?)));
    match looked {
        Ok((meta, None)) => Finding::ok(
            ID,
            format!("{shown} is ours, mode {:04o}", meta.mode() & 0o7777),
        ),
        Ok((meta, Some(why))) => Finding::warn(
            ID,
            format!(
                "{shown}, of user {} and mode {:04o}, is not safe: {why}",
                meta.uid(),
                meta.mode() & 0o7777
            ),
            format!(
                "make it yours alone (chmod go-w {shown}), or keep clusters elsewhere with --home DIR"
            ),
        ),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            let place = existing(path);
            if place.is_dir() {
                return Finding::ok(ID, format!("{shown} will be made"));
            }
            Finding::fail(
                ID,
                format!(
                    "{shown} cannot be made: {} is no directory",
                    place.display()
                ),
                ELSEWHERE,
            )
        }
        Err(error) => Finding::fail(ID, format!("{shown} cannot be used: {error}"), ELSEWHERE),
    }
}

fn trial(place: &Path, length: u64) -> Option<Finding> {
    const ID: &str = "home_trial";
    let shown = place.display();
    Some(match try_out(place, length) {
        Ok(Trial::Fit) => Finding::ok(
            ID,
            format!("{} were written and locked in {shown}", size(length)),
        ),
        Ok(Trial::NotTried) => Finding::ok(
            ID,
            format!("{shown} knows no files without a name: writing and locking were not tried"),
        ),
        Ok(Trial::LocksIdle) => Finding::fail(
            ID,
            format!("locks (flock) in {shown} keep nobody out"),
            "keep clusters on a disk of this machine, with --home DIR",
        ),
        // Said by `home_writable` already.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            return None;
        }
        Err(error) => Finding::fail(
            ID,
            format!(
                "{} cannot be written and locked in {shown}: {error}",
                size(length)
            ),
            "make room there, have a quota raised, or keep clusters elsewhere with --home DIR",
        ),
    })
}

fn path_length(home: &Path, name: &ClusterName) -> Finding {
    const ID: &str = "home_path";
    let longest = home.join(name.as_str()).join(DEEPEST).join(server::SOCKET);
    let length = longest.as_os_str().as_bytes().len();
    let text = format!("a socket in a node's directory would have a name of {length} bytes");
    if length <= LONGEST_SOCKET {
        return Finding::ok(ID, format!("{text}, of {LONGEST_SOCKET} at most"));
    }
    let rest = length - home.as_os_str().as_bytes().len();
    Finding::warn(
        ID,
        format!("{text}, and {LONGEST_SOCKET} is the most: --unix-socket will not work there"),
        format!(
            "choose a --home of at most {} bytes if you want --unix-socket",
            LONGEST_SOCKET.saturating_sub(rest)
        ),
    )
}

/// The ports that `start` and `up` take if nobody says otherwise.
fn ports(
    context: &Context,
    start: &StartWish,
    spec: &ClusterSpec,
    binary: Option<&Binary>,
    around: &Surroundings,
) -> Vec<Finding> {
    const ID: &str = "ports";
    let [client, bus] = start.ports();
    let wish = PortsWish {
        hosts: spec.binds().collect(),
        tls: None,
        nodes: spec.node_count(),
        client,
        bus,
        cluster_port: binary.is_none_or(|binary| binary.capabilities().cluster_port),
        // Without a range nothing is left out.
        ephemeral: around.ephemeral.clone().unwrap_or(0..=0),
        taken: BTreeSet::default(),
        random: 0,
    };
    let count = u16::try_from(spec.node_count().saturating_sub(1)).unwrap_or(u16::MAX);
    let block = |first: u16| -> RangeInclusive<u16> { first..=first.saturating_add(count) };
    let shown = |ports: &RangeInclusive<u16>| format!("{}-{}", ports.start(), ports.end());
    // Testing takes the ports for a moment: not while somebody chooses his.
    let known = PortLock::is_known(&context.home);
    let lock = if known {
        PortLock::attempt(&context.home).ok().flatten()
    } else {
        None
    };
    if known && lock.is_none() {
        return vec![Finding::ok(
            ID,
            "not tested: another rcluster is choosing ports",
        )];
    }
    match server::reserve(&wish) {
        Ok(Ports { client, bus, .. }) => {
            let blocks = [block(client), block(bus)];
            let free = format!(
                "{} and {} (bus) are free",
                shown(&blocks[0]),
                shown(&blocks[1])
            );
            vec![
                judge_port_range(around.ephemeral.as_ref(), &blocks),
                Finding::ok(ID, free),
            ]
        }
        Err(PortsError::InUse(conflicts)) => {
            let range = match client {
                PortChoice::Base(client) => vec![judge_port_range(
                    around.ephemeral.as_ref(),
                    &[block(client)],
                )],
                PortChoice::Auto => Vec::new(),
            };
            range
                .into_iter()
                .chain([taken(context, &conflicts)])
                .collect()
        }
        Err(PortsError::Impossible(why, fix)) => vec![Finding::fail(ID, why, fix)],
    }
}

/// Ports that somebody holds: a cluster of this home is welcome to them.
fn taken(context: &Context, conflicts: &[NodeProblem]) -> Finding {
    const ID: &str = "ports";
    let mut owners = BTreeMap::new();
    for name in context.home.names().unwrap_or_default() {
        let manifest = context.home.cluster(&name).ok().flatten();
        let manifest = manifest.and_then(|cluster| cluster.manifest().ok().flatten());
        for node in manifest.iter().flat_map(|manifest| &manifest.nodes) {
            for port in node.addr.ports() {
                owners.insert(port, name.to_string());
            }
        }
    }
    let port = |problem: &NodeProblem| problem.node.parse().map(|addr: SocketAddr| addr.port());
    let owner = |problem: &NodeProblem| owners.get(&port(problem).ok()?).cloned();
    let strange: Vec<String> = conflicts
        .iter()
        .filter(|problem| owner(problem).is_none())
        .map(|problem| format!("{} ({})", problem.node, problem.message))
        .collect();
    if strange.is_empty() {
        let owners: BTreeSet<String> = conflicts.iter().filter_map(owner).collect();
        let owners: Vec<String> = owners.into_iter().collect();
        return Finding::ok(
            ID,
            format!(
                "{} of the ports from 30001 on are taken by clusters of this home: {}",
                conflicts.len(),
                owners.join(", ")
            ),
        );
    }
    Finding::warn(
        ID,
        format!("ports are in use: {}", strange.join(", ")),
        "pass --port auto or another --port BASE, or end who holds them",
    )
}

/// What is wrong with the clusters that there are.
async fn clusters(context: &Context) -> Vec<Finding> {
    const ID: &str = "clusters";
    let listed = match list(context).await {
        Ok(listed) => listed,
        Err(error) => {
            let fix = format!("make {} readable", context.home.path().display());
            return vec![Finding::fail(ID, error.with_causes(), fix)];
        }
    };
    let mut findings = Vec::new();
    for cluster in &listed {
        let Ok(name) = cluster.name.parse::<ClusterName>() else {
            continue;
        };
        let (name, quoted) = (&name, format!("cluster \"{}\"", cluster.name));
        match &cluster.state {
            Err(why) => findings.push(Finding::fail(
                ID,
                format!("{quoted}: {why}"),
                "put its files back from a backup, or move its directory away",
            )),
            Ok(answer) => {
                // What is said about a node that does not run is no news of one that was stopped.
                let stopped = matches!(answer.state, State::Stopped | State::Unformed);
                let problems: Vec<String> = answer
                    .problems
                    .iter()
                    .filter(|problem| !stopped || problem.node == cluster.name)
                    .map(ToString::to_string)
                    .collect();
                let Some(first) = problems.first() else {
                    continue;
                };
                let more = match problems.len() - 1 {
                    0 => String::new(),
                    more => format!(", and {more} problems more"),
                };
                findings.push(Finding::warn(
                    ID,
                    format!("{quoted}: {first}{more}"),
                    format!("look at it: {}", command(context, name, "status")),
                ));
            }
        }
    }
    let names: Vec<&str> = listed.iter().map(|cluster| cluster.name.as_str()).collect();
    let strange = strange(context, &names);
    if !strange.is_empty() {
        let names: Vec<String> = strange
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        findings.push(Finding::warn(
            ID,
            format!("no cluster, but in the home: {}", names.join(", ")),
            "run `down` on what a killed start began; move the rest away",
        ));
    }
    if findings.is_empty() {
        let count = listed.len();
        findings.push(Finding::ok(
            ID,
            match count {
                0 => "there are none yet".to_owned(),
                1 => "there is 1, and nothing is wrong with it".to_owned(),
                _ => format!("there are {count}, and nothing is wrong with them"),
            },
        ));
    }
    findings
}

/// Entries of the home that are no clusters and not our own.
fn strange(context: &Context, clusters: &[&str]) -> Vec<PathBuf> {
    let Ok(Some(home)) = context.home.open() else {
        return Vec::new();
    };
    let entries = home.entries().unwrap_or_default();
    entries
        .into_iter()
        .filter(|entry| {
            let name = entry.name.to_string_lossy();
            !name.starts_with('.') && !clusters.contains(&name.as_ref())
        })
        .map(|entry| context.home.path().join(entry.name))
        .collect()
}

/// Servers that say they are nodes of ours, but whose directory somebody has deleted: no verb finds
/// them any more.
fn orphans() -> Finding {
    const ID: &str = "orphans";
    let found = match sys::process::titled_without_dir("rcluster:") {
        Ok(found) => found,
        Err(error) => {
            return Finding::warn(
                ID,
                format!("/proc cannot be read: {error}"),
                "look with: pgrep -af rcluster:",
            );
        }
    };
    if found.is_empty() {
        return Finding::ok(ID, "no server runs whose directory is gone");
    }
    let each = found
        .iter()
        .map(|orphan| format!("pid {} ({})", orphan.pid, orphan.title));
    let pids: Vec<String> = found.iter().map(|orphan| orphan.pid.to_string()).collect();
    Finding::warn(
        ID,
        format!(
            "servers run whose directory is gone: {}",
            each.collect::<Vec<_>>().join(", ")
        ),
        format!("if nobody needs them, end them: kill {}", pids.join(" ")),
    )
}

/// The command line of `verb` for the cluster `name`.
fn command(context: &Context, name: &ClusterName, verb: &str) -> String {
    if *name == context.name {
        // What stands for the program names the cluster that is meant already.
        format!("{{rcluster}} {verb}")
    } else if context.name.as_str() == "default" {
        format!("{{rcluster}} -n {name} {verb}")
    } else {
        format!(
            "rcluster -n {name} --home {} {verb}",
            context.home.path().display()
        )
    }
}
