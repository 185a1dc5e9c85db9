//! Whether a machine has room for the nodes of a cluster: what they need, what there is, and what
//! follows from it.
//!
//! The needs are a little above what was taken by `up` of 3 + 3 and 30 + 30 nodes (2 cores). Of
//! threads, open files and disk, less was tried too: servers died, or the cluster never got ready.
//!
//! | server | threads | at most at once, 6 nodes | own memory, 6 / 60 nodes | open files, 6 / 60 | disk, 6 / 60 |
//! |---|---|---|---|---|---|
//! | redis 6.2.14, libc | 4 | 28 | 1.8 / 2.7 MiB | 21 / 129 | 28 / 32 KiB |
//! | redis 7.0.15, jemalloc | 5 to 7 | 41 | 3.8 / 4.6 MiB | 21 / 129 | 40 / 44 KiB |
//! | redis 8.2.3, jemalloc | 6 | 40 | 3.1 / 3.7 MiB | 25 / 133 | 40 / 56 KiB |
//! | valkey 8.1.8, libc | 4 | 29 | 2.8 / 3.3 MiB | 23 / 131 | 40 / 52 KiB |
//! | valkey 9.1.2, libc | 6 | 42 | 2.6 / 3.1 MiB | 23 / 131 | 36 / 60 KiB |
//!
//! Own memory is what no other process shares; the kernel keeps 0.4 MiB (6 nodes) to 0.9 MiB (60)
//! for each node beside it, most of it for the sockets of the bus. 120 nodes of redis 7.0.15 take
//! 5.5 and 1.4 MiB each, and 249 open files.

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use crate::plan::finding::Finding;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// What a server asks for if nobody says otherwise: `maxclients` of 10000, and 32 for itself. With
/// less it lowers `maxclients`.
const STOCK_OPEN_FILES: u64 = 10_032;

/// Files that a server keeps back for itself (`CONFIG_MIN_RESERVED_FDS`).
const RESERVED_OPEN_FILES: u64 = 32;

/// Clients that every node can take at least: our own connection, replicas, and a few more.
const SOME_CLIENTS: u64 = 32;

/// Below this many clients for each node a server is hardly of use.
const FEW_CLIENTS: u64 = 128;

/// Below this a disk is called nearly full.
const LITTLE_DISK: u64 = 100 * MIB;

/// What is about to be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// All nodes of the cluster: each keeps two connections to every other.
    pub nodes: u64,
    /// Those of them that do not run yet.
    pub starting: u64,
    /// Whether their directories are to be made.
    pub fresh: bool,
    /// Threads of one server, and the child that writes its first snapshot.
    pub tasks_each: u64,
}

impl Needs {
    /// Open files of each server, and of us while we start them.
    pub fn open_files(&self) -> u64 {
        // A server's two links to every other node, what it keeps back, and some clients. With two
        // clients it is the least that worked (44 for 6 nodes, 156 for 60); we hold 2 for each
        // node and 14 more.
        2 * self.nodes.saturating_sub(1) + RESERVED_OPEN_FILES + SOME_CLIENTS
    }

    /// The soft limit of open files to be set; `None` if that in force is enough.
    ///
    /// What the nodes need, or what a stock server asks for, and no more: a limit of a thousand
    /// million, as some containers have it, makes programs that go through all of them slow.
    pub fn soft_open_files(&self, now: &OpenFiles) -> Option<u64> {
        let wanted = self.open_files().max(STOCK_OPEN_FILES).min(now.hard);
        (now.soft < wanted).then_some(wanted)
    }

    /// Threads and processes.
    pub fn tasks(&self) -> u64 {
        self.starting * self.tasks_each
    }

    /// Bytes of memory that empty servers take, with what the kernel keeps for them.
    pub fn memory(&self) -> u64 {
        self.starting * (5 * MIB + 25 * KIB * self.nodes)
    }

    /// Bytes of memory below which no server known starts.
    pub fn least_memory(&self) -> u64 {
        self.starting * 2 * MIB
    }

    /// Bytes that servers reserve without using them: they count where overcommit is forbidden.
    pub fn committed(&self) -> u64 {
        self.starting * 50 * MIB
    }

    /// Bytes on disk.
    pub fn disk_bytes(&self) -> u64 {
        let each = if self.fresh {
            48 * KIB + KIB / 2 * self.nodes
        } else {
            16 * KIB
        };
        32 * KIB + self.starting * each
    }

    /// Files and directories on disk.
    pub fn disk_files(&self) -> u64 {
        let each = if self.fresh { 10 } else { 4 };
        10 + self.starting * each
    }
}

/// What a machine has, as far as it could be read: a limit that is not there does not limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Open files of one process.
    pub open_files: Option<OpenFiles>,
    /// Open files of all processes together.
    pub system_files: Option<Cap>,
    /// Threads and processes.
    pub tasks: Vec<Cap>,
    /// Bytes of memory.
    pub memory: Vec<Cap>,
    /// Where the clusters are kept.
    pub disk: Option<Disk>,
}

/// `RLIMIT_NOFILE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFiles {
    /// The limit in force.
    pub soft: u64,
    /// How far we may raise it.
    pub hard: u64,
    /// How far anybody may (`fs.nr_open`).
    pub ceiling: u64,
}

/// Something of which there is only so much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cap {
    /// Who sets the limit.
    pub by: Limiter,
    /// How much is in use.
    pub used: u64,
    /// How much there may be.
    pub limit: u64,
}

impl Cap {
    /// How much is left.
    pub fn room(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }
}

/// Who sets a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Limiter {
    /// A control group: the file with the limit.
    Cgroup(PathBuf),
    /// The user's number of processes, `RLIMIT_NPROC`.
    User,
    /// A setting of the kernel: `kernel.threads-max`.
    Kernel(&'static str),
    /// How much memory the machine has.
    Memory,
    /// What may be reserved where overcommit is forbidden.
    Commit,
}

impl Limiter {
    fn name(&self) -> String {
        match self {
            Self::Cgroup(file) => file.display().to_string(),
            Self::User => "the user's limit (`ulimit -u`)".into(),
            Self::Kernel(name) => (*name).into(),
            Self::Memory => "the machine".into(),
            Self::Commit => "the commit limit (vm.overcommit_memory is 2)".into(),
        }
    }

    /// How to make it `limit` at least.
    fn fix(&self, limit: u64) -> String {
        match self {
            Self::Cgroup(file) => format!(
                "raise {} to {limit} (TasksMax= or MemoryMax= of a systemd unit, --pids-limit or --memory of a container)",
                file.display()
            ),
            Self::User => format!(
                "run `ulimit -u {limit}` before; where that is refused, raise the hard limit as root (nproc in /etc/security/limits.conf, LimitNPROC= of a systemd unit)"
            ),
            Self::Kernel(name) => format!("run as root: sysctl -w {name}={limit}"),
            Self::Memory => "end what takes memory, or add swap".into(),
            Self::Commit => "run as root: sysctl -w vm.overcommit_memory=1".into(),
        }
    }
}

/// The file system of the home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The home, or the nearest directory above it that exists.
    pub path: PathBuf,
    /// Bytes that we may still write.
    pub bytes: u64,
    /// Files that we may still make; `None` where their number has no limit.
    pub files: Option<u64>,
    /// Nobody may write.
    pub read_only: bool,
    /// We may write.
    pub writable: bool,
}

/// Holds `needs` against `machine`: a finding for each limit, in a fixed order.
pub fn judge(needs: &Needs, machine: &Machine) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(limit) = &machine.open_files {
        findings.push(open_files(needs, limit));
    }
    if let Some(cap) = &machine.system_files {
        findings.push(system_files(needs, cap));
    }
    findings.push(tasks(needs, &machine.tasks));
    findings.push(memory(needs, &machine.memory));
    if let Some(disk) = &machine.disk {
        findings.push(writable(disk));
        findings.push(disk_bytes(needs, disk));
        findings.extend(disk.files.map(|files| disk_files(needs, disk, files)));
    }
    findings
}

fn open_files(needs: &Needs, limit: &OpenFiles) -> Finding {
    const ID: &str = "open_files";
    let (who, needed) = (who(needs.nodes, "need"), needs.open_files());
    let fix = |wanted: u64| {
        let first = if wanted > limit.ceiling {
            format!("run as root: sysctl -w fs.nr_open={wanted}; then ")
        } else {
            String::new()
        };
        format!(
            "{first}run `ulimit -n {wanted}` before; where that is refused, raise the hard limit as root (nofile in /etc/security/limits.conf, LimitNOFILE= of a systemd unit, --ulimit nofile={wanted} of a container)"
        )
    };
    if limit.hard < needed {
        return Finding::fail(
            ID,
            format!(
                "{who} {needed} open files each, and the limit is {}",
                limit.hard
            ),
            format!("{}, or start fewer nodes", fix(needed)),
        );
    }
    let links = 2 * (needs.nodes.saturating_sub(1));
    let clients = limit.hard.saturating_sub(RESERVED_OPEN_FILES + links);
    if clients < FEW_CLIENTS {
        return Finding::warn(
            ID,
            format!(
                "{who} {needed} open files each, and the limit of {} leaves each of them {clients} for clients",
                limit.hard
            ),
            fix(STOCK_OPEN_FILES),
        );
    }
    let raised = needs
        .soft_open_files(limit)
        .map(|soft| format!(", raised to {soft} at a start"))
        .unwrap_or_default();
    Finding::ok(
        ID,
        format!(
            "{who} {needed} open files each, and the limit is {} (hard: {}){raised}",
            limit.soft, limit.hard
        ),
    )
}

fn system_files(needs: &Needs, cap: &Cap) -> Finding {
    const ID: &str = "open_files_system";
    // Two links to every other node, and some 30 files beside them.
    let needed = needs.starting * (2 * needs.nodes + 30);
    let text = format!(
        "{} {needed} open files together, and {} ({}) leaves {}",
        who(needs.starting, "need"),
        cap.by.name(),
        cap.limit,
        cap.room()
    );
    let fix = cap.by.fix(cap.used + 2 * needed);
    if cap.room() < needed {
        Finding::fail(ID, text, fix)
    } else if cap.room() < 2 * needed {
        Finding::warn(ID, text, fix)
    } else {
        Finding::ok(ID, text)
    }
}

fn tasks(needs: &Needs, caps: &[Cap]) -> Finding {
    let needed = needs.tasks();
    let head = format!(
        "{} {needed} threads and processes",
        who(needs.starting, "need")
    );
    let limits: Vec<Limit> = caps
        .iter()
        .map(|cap| Limit {
            cap,
            least: needed,
            // Our own verbs and clients want some too.
            good: needed + needed / 4,
            show: |number| number.to_string(),
        })
        .collect();
    narrowest("pids", &head, &limits)
}

fn memory(needs: &Needs, caps: &[Cap]) -> Finding {
    let head = format!(
        "{} {} of memory while empty",
        who(needs.starting, "take"),
        size(needs.memory())
    );
    let limits: Vec<Limit> = caps
        .iter()
        .map(|cap| {
            let (least, good) = match cap.by {
                Limiter::Commit => (needs.committed() / 2, needs.committed()),
                _ => (needs.least_memory(), needs.memory() + needs.memory() / 2),
            };
            Limit {
                cap,
                least,
                good,
                show: size,
            }
        })
        .collect();
    narrowest("memory", &head, &limits)
}

/// A limit, and what is asked of it.
struct Limit<'a> {
    cap: &'a Cap,
    /// With less room it cannot work.
    least: u64,
    /// With less room it is tight.
    good: u64,
    show: fn(u64) -> String,
}

/// The finding of several limits on one thing: every one that is too low, else those that are
/// tight, else the one with the least room.
fn narrowest(id: &'static str, head: &str, limits: &[Limit]) -> Finding {
    let told = |chosen: &[&Limit]| {
        let each = chosen.iter().map(|Limit { cap, show, .. }| {
            format!(
                "{} ({}) leaves {}",
                cap.by.name(),
                show(cap.limit),
                show(cap.room())
            )
        });
        format!("{head}, and {}", each.collect::<Vec<_>>().join(", and "))
    };
    let fixes = |chosen: &[&Limit]| {
        let each = chosen
            .iter()
            .map(|Limit { cap, good, .. }| cap.by.fix(cap.used.saturating_add(*good)));
        format!(
            "{}; or start fewer nodes",
            each.collect::<Vec<_>>().join("; ")
        )
    };
    let below = |bound: fn(&Limit) -> u64| -> Vec<&Limit> {
        limits
            .iter()
            .filter(|limit| limit.cap.room() < bound(limit))
            .collect()
    };
    let (short, tight) = (below(|limit| limit.least), below(|limit| limit.good));
    if !short.is_empty() {
        return Finding::fail(id, told(&short), fixes(&short));
    }
    if !tight.is_empty() {
        return Finding::warn(id, told(&tight), fixes(&tight));
    }
    match limits.iter().min_by_key(|limit| limit.cap.room()) {
        Some(limit) => Finding::ok(id, told(&[limit])),
        None => Finding::ok(id, format!("{head}, and no limit was found")),
    }
}

fn writable(disk: &Disk) -> Finding {
    const ID: &str = "home_writable";
    let path = disk.path.display();
    if disk.read_only {
        Finding::fail(
            ID,
            format!("{path} is on a file system that is mounted read-only"),
            "keep clusters elsewhere with --home DIR, or mount it writable",
        )
    } else if disk.writable {
        Finding::ok(ID, format!("{path} can be written to"))
    } else {
        Finding::fail(
            ID,
            format!("we may not write to {path}"),
            "keep clusters elsewhere with --home DIR, or have its owner give you the right",
        )
    }
}

fn disk_bytes(needs: &Needs, disk: &Disk) -> Finding {
    let needed = needs.disk_bytes();
    let text = format!(
        "{} {} on disk while empty, and {} has {} free",
        who(needs.starting, "need"),
        size(needed),
        disk.path.display(),
        size(disk.bytes)
    );
    room_on_disk("disk_space", text, disk.bytes, needed, needed + LITTLE_DISK)
}

fn disk_files(needs: &Needs, disk: &Disk, files: u64) -> Finding {
    let needed = needs.disk_files();
    let text = format!(
        "{} {needed} files and directories, and the file system of {} has {files} left (inodes)",
        who(needs.starting, "need"),
        disk.path.display()
    );
    room_on_disk("disk_inodes", text, files, needed, 4 * needed)
}

fn room_on_disk(id: &'static str, text: String, free: u64, least: u64, good: u64) -> Finding {
    let fix = "make room there, or keep clusters elsewhere with --home DIR";
    if free < least {
        Finding::fail(id, text, fix)
    } else if free < good {
        Finding::warn(id, text, fix)
    } else {
        Finding::ok(id, text)
    }
}

/// `6 nodes need`, `1 node needs`.
fn who(nodes: u64, verb: &str) -> String {
    match nodes {
        1 => format!("1 node {verb}s"),
        _ => format!("{nodes} nodes {verb}"),
    }
}

/// Bytes for people, rounded down: `31 MiB`.
pub fn size(bytes: u64) -> String {
    const GIB: u64 = 1 << 30;
    match bytes {
        _ if bytes >= 10 * GIB => format!("{} GiB", bytes / GIB),
        _ if bytes >= 10 * MIB => format!("{} MiB", bytes / MIB),
        _ => format!("{} KiB", bytes / KIB),
    }
}
