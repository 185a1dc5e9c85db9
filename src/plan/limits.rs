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

use std::path::PathBuf;

use super::finding::Finding;

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plan::Verdict;

    const SIX: Needs = Needs {
        nodes: 6,
        starting: 6,
        fresh: true,
        tasks_each: 8,
    };

    fn cap(by: Limiter, room: u64) -> Cap {
        Cap {
            by,
            used: 1000,
            limit: 1000 + room,
        }
    }

    fn group(name: &str) -> Limiter {
        Limiter::Cgroup(PathBuf::from("/sys/fs/cgroup").join(name))
    }

    /// A machine with `room` for a multiple of what is needed.
    fn machine(needs: &Needs, room: u64) -> Machine {
        Machine {
            open_files: Some(OpenFiles {
                soft: needs.open_files() * room,
                hard: needs.open_files() * room,
                ceiling: 1 << 20,
            }),
            system_files: Some(cap(
                Limiter::Kernel("fs.file-max"),
                needs.starting * (2 * needs.nodes + 30) * room,
            )),
            tasks: vec![cap(Limiter::User, needs.tasks() * room)],
            memory: vec![cap(Limiter::Memory, needs.memory() * room)],
            disk: Some(Disk {
                path: "/home".into(),
                bytes: needs.disk_bytes() * room + LITTLE_DISK,
                files: Some(needs.disk_files() * room),
                read_only: false,
                writable: true,
            }),
        }
    }

    fn verdict(findings: &[Finding], id: &str) -> Verdict {
        let mut found = findings.iter().filter(|finding| finding.id == id);
        let verdict = found.next().unwrap_or_else(|| panic!("{id}")).verdict;
        assert!(found.next().is_none(), "{id} twice");
        verdict
    }

    #[test]
    fn with_room_for_all_nothing_is_said() {
        let findings = judge(&SIX, &machine(&SIX, 10));
        assert_eq!(findings.len(), 7);
        assert!(
            findings
                .iter()
                .all(|finding| finding.verdict == Verdict::Ok && finding.fix.is_none()),
            "{findings:?}"
        );
    }

    #[test]
    fn where_nothing_can_be_read_nothing_is_refused() {
        let findings = judge(&SIX, &Machine::default());
        assert!(
            findings
                .iter()
                .all(|finding| finding.verdict == Verdict::Ok)
        );
        assert_eq!(findings.len(), 2);
    }

    #[test]
    fn each_limit_is_refused_just_below_what_is_needed_and_not_at_it() {
        type Narrow = fn(&mut Machine, u64);
        let disk = |machine: &mut Machine, change: fn(&mut Disk, u64), room| {
            change(machine.disk.as_mut().expect("a disk"), room);
        };
        let cases: [(&str, u64, Narrow); 8] = [
            ("open_files", SIX.open_files(), |m, room| {
                let limit = m.open_files.as_mut().expect("a limit");
                (limit.soft, limit.hard) = (1, room);
            }),
            ("open_files_system", 6 * 42, |m, room| {
                m.system_files = Some(cap(Limiter::Kernel("fs.file-max"), room));
            }),
            ("pids", 48, |m, room| {
                m.tasks.push(cap(group("pids.max"), room));
            }),
            ("pids", 48, |m, room| {
                m.tasks
                    .insert(0, cap(Limiter::Kernel("kernel.pid_max"), room));
            }),
            ("memory", 6 * 2 * MIB, |m, room| {
                m.memory.push(cap(group("memory.max"), room));
            }),
            ("memory", 6 * 25 * MIB, |m, room| {
                m.memory.push(cap(Limiter::Commit, room));
            }),
            ("disk_space", SIX.disk_bytes(), |m, room| {
                m.disk.as_mut().expect("a disk").bytes = room;
            }),
            ("disk_inodes", SIX.disk_files(), |m, room| {
                m.disk.as_mut().expect("a disk").files = Some(room);
            }),
        ];
        for (id, needed, narrow) in cases {
            for (room, fails) in [(0, true), (needed - 1, true), (needed, false)] {
                let mut machine = machine(&SIX, 10);
                narrow(&mut machine, room);
                let findings = judge(&SIX, &machine);
                let failed = verdict(&findings, id) == Verdict::Fail;
                assert_eq!(failed, fails, "{id} with {room}: {findings:?}");
                let others = findings.iter().filter(|finding| finding.id != id);
                assert_eq!(others.clone().count(), 6);
                assert!(others.clone().all(|finding| finding.verdict == Verdict::Ok));
            }
        }
        for (read_only, writable) in [(true, true), (false, false), (true, false)] {
            let mut machine = machine(&SIX, 10);
            disk(&mut machine, |disk, _| disk.read_only = true, 0);
            let it = machine.disk.as_mut().expect("a disk");
            (it.read_only, it.writable) = (read_only, writable);
            assert_eq!(
                verdict(&judge(&SIX, &machine), "home_writable"),
                Verdict::Fail
            );
        }
    }

    #[test]
    fn every_limit_that_is_too_low_is_named_with_its_numbers() {
        let mut machine = machine(&SIX, 10);
        machine.tasks = vec![
            cap(group("a/pids.max"), 40),
            cap(group("pids.max"), 100_000),
            cap(Limiter::User, 7),
        ];
        let findings = judge(&SIX, &machine);
        let found = findings.iter().find(|finding| finding.id == "pids");
        let found = found.expect("pids");
        assert_eq!(
            found.message,
            "6 nodes need 48 threads and processes, and /sys/fs/cgroup/a/pids.max (1040) leaves 40, and the user's limit (`ulimit -u`) (1007) leaves 7"
        );
        let fix = found.fix.as_deref().expect("a fix");
        assert!(
            fix.contains("raise /sys/fs/cgroup/a/pids.max to 1060"),
            "{fix}"
        );
        assert!(
            fix.contains("`ulimit -u 1060`") && fix.contains("fewer nodes"),
            "{fix}"
        );
    }

    #[test]
    fn too_few_open_files_come_with_the_command_that_cures() {
        let mut machine = Machine {
            open_files: Some(OpenFiles {
                soft: 64,
                hard: 64,
                ceiling: 1 << 20,
            }),
            ..Machine::default()
        };
        let told = |machine: &Machine| {
            let finding = judge(&SIX, machine).swap_remove(0);
            format!("{}: {}", finding.message, finding.fix.unwrap_or_default())
        };
        let text = told(&machine);
        assert!(
            text.starts_with(
                "6 nodes need 74 open files each, and the limit is 64: run `ulimit -n 74`"
            ),
            "{text}"
        );
        assert!(!text.contains("nr_open"));
        machine.open_files = Some(OpenFiles {
            soft: 64,
            hard: 64,
            ceiling: 70,
        });
        assert!(told(&machine).contains("sysctl -w fs.nr_open=74"));
    }

    #[test]
    fn the_soft_limit_is_raised_to_what_is_needed_and_never_lowered() {
        let soft = |soft, hard| {
            SIX.soft_open_files(&OpenFiles {
                soft,
                hard,
                ceiling: 1 << 30,
            })
        };
        assert_eq!(soft(1024, 1 << 30), Some(STOCK_OPEN_FILES));
        assert_eq!(soft(1024, 4096), Some(4096));
        assert_eq!(soft(20_000, 1 << 30), None);
        assert_eq!(soft(STOCK_OPEN_FILES, 1 << 30), None);
        assert_eq!(soft(4096, 4096), None);
        let many = Needs { nodes: 1000, ..SIX };
        assert_eq!(many.open_files(), 2062);
    }

    #[test]
    fn the_needs_are_those_that_were_measured() {
        // What was taken is below what is asked for, and not far below.
        let of = |nodes, tasks_each| Needs {
            nodes,
            starting: nodes,
            fresh: true,
            tasks_each,
        };
        let between = |asked: u64, taken: u64| {
            assert!(taken <= asked && asked <= 2 * taken, "{asked} for {taken}");
        };
        for (nodes, tasks_each, tasks) in [
            (6, 5, 28),
            (6, 8, 41),
            (6, 5, 29),
            (6, 7, 42),
            (60, 8, 391),
            (60, 7, 392),
        ] {
            between(of(nodes, tasks_each).tasks(), tasks);
        }
        for (nodes, kib) in [(6, 3_940 + 443), (60, 4_739 + 944), (120, 5_675 + 1_420)] {
            between(of(nodes, 8).memory(), nodes * kib * KIB);
        }
        for (nodes, bytes, files) in [
            (6, 258_048, 64),
            (60, 3_743_744, 517),
            (120, 8_249_344, 1_027),
        ] {
            between(of(nodes, 8).disk_bytes(), bytes);
            between(of(nodes, 8).disk_files(), files);
        }
        for (nodes, least) in [(6, 44), (60, 156)] {
            between(of(nodes, 8).open_files(), least);
        }
    }

    #[test]
    fn sizes_are_for_people() {
        for (bytes, text) in [
            (0, "0 KiB"),
            (346_112, "338 KiB"),
            (10 * MIB - 1, "10239 KiB"),
            (31 * MIB, "31 MiB"),
            (22 << 30, "22 GiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    proptest! {
        /// More nodes never fit where fewer did not, and whatever is wrong comes with numbers and
        /// a cure.
        #[test]
        fn more_nodes_never_come_out_better(
            nodes in 1_u64..1000,
            more in 0_u64..1000,
            tasks_each in 5_u64..140,
            fresh: bool,
            hard in 0_u64..5000,
            rooms in prop::array::uniform6(0_u64..1 << 32),
        ) {
            let [files, pids, threads, memory, bytes, inodes] = rooms;
            let machine = Machine {
                open_files: Some(OpenFiles { soft: hard / 2, hard, ceiling: 1 << 20 }),
                system_files: Some(cap(Limiter::Kernel("fs.file-max"), files)),
                tasks: vec![cap(Limiter::User, pids % 10_000), cap(group("pids.max"), threads)],
                memory: vec![cap(Limiter::Memory, memory), cap(group("memory.max"), memory / 2)],
                disk: Some(Disk {
                    path: "/".into(),
                    bytes,
                    files: Some(inodes % 20_000),
                    read_only: false,
                    writable: true,
                }),
            };
            let of = |nodes| judge(&Needs { nodes, starting: nodes, fresh, tasks_each }, &machine);
            let (few, many) = (of(nodes), of(nodes + more));
            prop_assert_eq!(few.len(), many.len());
            for (few, many) in few.iter().zip(&many) {
                prop_assert_eq!(few.id, many.id);
                prop_assert!(few.verdict <= many.verdict, "{:?} {:?}", few, many);
                prop_assert_eq!(many.fix.is_some(), many.verdict != Verdict::Ok);
                if many.id != "home_writable" {
                    prop_assert!(many.message.contains(|c: char| c.is_ascii_digit()));
                }
            }
        }
    }
}
