//! How much there is of what servers need: open files, processes, memory, disk. Read here, judged
//! in [`plan::limits`](crate::plan::judge_limits).

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{AccessFlags, access};

use super::cgroup::{self, Controller};
use crate::plan::{Cap, Disk, Limiter, Machine, OpenFiles};

/// `CAP_SYS_ADMIN`, which is above the number of open files of the system.
const SYS_ADMIN: u32 = 21;

/// `CAP_SYS_RESOURCE`, which is above the user's number of processes.
const SYS_RESOURCE: u32 = 24;

/// Sets the soft limit of open files for this process and the servers it spawns.
pub fn set_open_files(soft: u64) -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, soft.min(hard), hard)?;
    Ok(())
}

/// The soft limit of open files of this process.
pub(super) fn soft_open_files() -> Option<u64> {
    getrlimit(Resource::RLIMIT_NOFILE)
        .ok()
        .map(|(soft, _)| soft)
}

/// What this machine has. `tasks` is how many processes are about to be started: whose limit is
/// far away is not counted exactly.
pub fn machine(home: &Path, tasks: u64) -> Machine {
    let kernel = Kernel::new(Path::new("/"));
    let nproc = getrlimit(Resource::RLIMIT_NPROC).ok();
    Machine {
        open_files: open_files(&kernel),
        system_files: kernel.system_files(),
        tasks: kernel.tasks(tasks, nproc.map(|(soft, _)| soft)),
        memory: kernel.memory(),
        disk: disk(home),
    }
}

fn open_files(kernel: &Kernel) -> Option<OpenFiles> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    Some(OpenFiles {
        soft,
        hard,
        ceiling: kernel.number("proc/sys/fs/nr_open").unwrap_or(u64::MAX),
    })
}

/// The file system of `home`, or of where it will be made.
fn disk(home: &Path) -> Option<Disk> {
    let path = existing(home);
    let stat = statvfs(path).ok()?;
    Some(Disk {
        path: path.to_owned(),
        // What is kept back for root is not counted for root either: `df` shows it so.
        bytes: stat.blocks_available().saturating_mul(stat.fragment_size()),
        // File systems that make inodes as they need them say that they have none.
        files: (stat.files() > 0).then_some(stat.files_available()),
        read_only: stat.flags().contains(FsFlags::ST_RDONLY),
        writable: access(path, AccessFlags::W_OK | AccessFlags::X_OK).is_ok(),
    })
}

/// `path`, or the nearest directory above it that exists.
pub fn existing(path: &Path) -> &Path {
    path.ancestors()
        .find(|path| path.symlink_metadata().is_ok())
        .unwrap_or(Path::new("/"))
}

/// The kernel's files below `/proc` and `/sys`; elsewhere in tests.
#[derive(Debug)]
pub(super) struct Kernel {
    root: PathBuf,
}

impl Kernel {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// The text of the file `path`, absolute or not, below the root.
    pub(super) fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        let path = path.as_ref();
        let path = path.strip_prefix("/").unwrap_or(path);
        fs::read_to_string(self.root.join(path)).ok()
    }

    /// The number that a file holds; `None` for `max`, too.
    pub(super) fn number(&self, path: impl AsRef<Path>) -> Option<u64> {
        self.text(path)?.trim().parse().ok()
    }

    /// Whether this process is above a limit by its capability `number`. Capabilities in a user
    /// namespace of its own do not count.
    fn is_above(&self, number: u32) -> bool {
        let whole = self
            .text("proc/self/uid_map")
            .is_some_and(|map| map.split_ascii_whitespace().eq(["0", "0", "4294967295"]));
        let effective = self.text("proc/self/status").and_then(|status| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("CapEff:"))?;
            u64::from_str_radix(line.trim(), 16).ok()
        });
        whole && effective.is_some_and(|effective| effective & (1 << number) != 0)
    }

    fn system_files(&self) -> Option<Cap> {
        let limit = self.number("proc/sys/fs/file-max")?;
        let used = self.text("proc/sys/fs/file-nr")?;
        let used = used.split_ascii_whitespace().next()?.parse().ok()?;
        (!self.is_above(SYS_ADMIN)).then_some(Cap {
            by: Limiter::Kernel("fs.file-max"),
            used,
            limit,
        })
    }

    fn tasks(&self, wanted: u64, nproc: Option<u64>) -> Vec<Cap> {
        let mut caps = Vec::new();
        // `0.55 1.44 1.34 5/111 13303`: 111 threads on the whole system.
        let system = self.text("proc/loadavg").and_then(|text| {
            let field = text.split_ascii_whitespace().nth(3)?.split_once('/')?.1;
            field.parse::<u64>().ok()
        });
        let settings = [
            ("kernel.threads-max", "proc/sys/kernel/threads-max"),
            ("kernel.pid_max", "proc/sys/kernel/pid_max"),
        ];
        for (name, path) in settings {
            if let (Some(limit), Some(used)) = (self.number(path), system) {
                let by = Limiter::Kernel(name);
                caps.push(Cap { by, used, limit });
            }
        }
        if let Some(limit) = nproc.filter(|limit| *limit != RLIM_INFINITY)
            && !(super::user() == 0 && self.is_whole_user())
            && !self.is_above(SYS_ADMIN)
            && !self.is_above(SYS_RESOURCE)
        {
            // Looking at every process takes long; the user has no more than the system.
            let far = system.filter(|system| limit.saturating_sub(*system) > 4 * wanted + 1000);
            let used = far.or_else(|| self.tasks_of(super::user()));
            caps.extend(used.map(|used| Cap {
                by: Limiter::User,
                used,
                limit,
            }));
        }
        for level in cgroup::levels(self, Controller::Pids) {
            let (file, used) = (level.dir.join("pids.max"), level.dir.join("pids.current"));
            if let (Some(limit), Some(used)) = (self.number(&file), self.number(used)) {
                let by = Limiter::Cgroup(file);
                caps.push(Cap { by, used, limit });
            }
        }
        caps
    }

    /// Whether user 0 is the machine's own: that one has no limit.
    fn is_whole_user(&self) -> bool {
        self.text("proc/self/uid_map")
            .is_some_and(|map| map.split_ascii_whitespace().take(2).eq(["0", "0"]))
    }

    /// The threads of all processes of a user that can be seen.
    fn tasks_of(&self, user: u32) -> Option<u64> {
        let threads = |name: &str| {
            // Links: `.`, `..`, and one for each thread. The cheapest there is: no text is made.
            let meta = fs::metadata(self.root.join("proc").join(name).join("task")).ok()?;
            (meta.uid() == user).then(|| meta.nlink().saturating_sub(2).max(1))
        };
        let processes = fs::read_dir(self.root.join("proc")).ok()?;
        let found = processes.flatten().filter_map(|entry| {
            let name = entry.file_name();
            let name = name.to_str()?;
            name.parse::<u32>().ok()?;
            threads(name)
        });
        Some(found.sum())
    }

    fn memory(&self) -> Vec<Cap> {
        let mut caps = Vec::new();
        let info = self.text("proc/meminfo").unwrap_or_default();
        let field = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name))?;
            let number: u64 = line
                .trim_start_matches(':')
                .split_ascii_whitespace()
                .next()?
                .parse()
                .ok()?;
            Some(number * 1024)
        };
        let swap_free = field("SwapFree").unwrap_or(0);
        if let (Some(total), Some(free)) = (field("MemTotal"), field("MemAvailable")) {
            let limit = total + field("SwapTotal").unwrap_or(0);
            caps.push(Cap {
                by: Limiter::Memory,
                used: limit.saturating_sub(free + swap_free),
                limit,
            });
        }
        if self.number("proc/sys/vm/overcommit_memory") == Some(2)
            && let (Some(limit), Some(used)) = (field("CommitLimit"), field("Committed_AS"))
        {
            let by = Limiter::Commit;
            caps.push(Cap { by, used, limit });
        }
        for level in cgroup::levels(self, Controller::Memory) {
            caps.extend(level.memory(self, swap_free));
        }
        caps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::cgroup::tests::Tree;

    const CAPS_OF_ROOT: &str = "Name:\tx\nCapEff:\t000001ffffffffff\n";
    const CAPS_OF_NOBODY: &str = "Name:\tx\nCapEff:\t0000000000000000\n";
    const WHOLE: &str = "         0          0 4294967295\n";

    fn tree() -> Tree {
        let tree = Tree::new();
        tree.write("proc/self/uid_map", WHOLE);
        tree.write("proc/self/status", CAPS_OF_NOBODY);
        tree.write("proc/sys/fs/file-max", "1000\n");
        tree.write("proc/sys/fs/file-nr", "413\t0\t1000\n");
        tree.write("proc/loadavg", "0.55 1.44 1.34 5/111 13303\n");
        tree.write("proc/sys/kernel/threads-max", "5000\n");
        tree.write("proc/sys/kernel/pid_max", "32768\n");
        tree.write(
            "proc/meminfo",
            "MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:  600 kB\nSwapTotal: 50 kB\nSwapFree: 40 kB\nCommitLimit: 700 kB\nCommitted_AS: 650 kB\n",
        );
        tree
    }

    #[test]
    fn the_kernels_numbers_are_read() {
        let tree = tree();
        let kernel = tree.kernel();
        let files = kernel.system_files().expect("a limit");
        assert_eq!((files.used, files.limit), (413, 1000));
        let caps = kernel.tasks(48, None);
        let read: Vec<(&Limiter, u64)> = caps.iter().map(|cap| (&cap.by, cap.room())).collect();
        assert_eq!(
            read,
            [
                (&Limiter::Kernel("kernel.threads-max"), 4889),
                (&Limiter::Kernel("kernel.pid_max"), 32657)
            ]
        );
        let memory = kernel.memory();
        assert_eq!(memory.len(), 1);
        assert_eq!(memory[0].room(), 640 * 1024);
        tree.write("proc/sys/vm/overcommit_memory", "2\n");
        let memory = kernel.memory();
        assert_eq!(memory[1].by, Limiter::Commit);
        assert_eq!(memory[1].room(), 50 * 1024);
    }

    #[test]
    fn capabilities_lift_limits_but_not_those_of_a_namespace() {
        let tree = tree();
        let kernel = tree.kernel();
        tree.write("proc/self/status", CAPS_OF_ROOT);
        assert_eq!(kernel.system_files(), None);
        tree.write("proc/self/uid_map", "         0       1000          1\n");
        assert!(kernel.system_files().is_some());
        assert!(
            kernel
                .tasks(48, Some(10))
                .iter()
                .any(|cap| cap.by == Limiter::User)
        );
    }

    #[test]
    fn the_users_processes_are_counted_only_where_it_matters() {
        let tree = tree();
        tree.write("proc/self/uid_map", "         0       1000          1\n");
        let kernel = tree.kernel();
        let user = |limit| {
            let caps = kernel.tasks(48, Some(limit));
            let cap = caps.into_iter().find(|cap| cap.by == Limiter::User);
            cap.expect("a limit").used
        };
        assert_eq!(user(100_000), 111, "the whole system's");
        // Two processes are ours; a directory has two links.
        tree.write("proc/1/task/x", "");
        tree.write("proc/22/task/x", "");
        assert_eq!(user(60), 2);
        assert!(
            !kernel
                .tasks(48, Some(RLIM_INFINITY))
                .iter()
                .any(|cap| cap.by == Limiter::User)
        );
    }

    #[test]
    fn nothing_readable_is_no_limit() {
        let tree = Tree::new();
        let kernel = tree.kernel();
        assert_eq!(kernel.system_files(), None);
        assert_eq!(kernel.tasks(48, None), []);
        assert_eq!(kernel.memory(), []);
    }

    #[test]
    fn this_machine_is_read() {
        let home = std::env::temp_dir().join("not/there/yet");
        let machine = machine(&home, 48);
        let files = machine.open_files.expect("a limit");
        assert!(files.soft <= files.hard && files.hard <= files.ceiling);
        assert!(
            machine.tasks.iter().all(|cap| cap.room() > 0),
            "{machine:?}"
        );
        assert!(machine.memory.iter().any(|cap| cap.by == Limiter::Memory));
        let disk = machine.disk.expect("a file system");
        assert_eq!(disk.path, std::env::temp_dir());
        assert!(disk.writable && !disk.read_only && disk.bytes > 0);
        // This process is seen, with its threads.
        let kernel = Kernel::new(Path::new("/"));
        assert!(kernel.tasks_of(crate::sys::user()).expect("proc") >= 2);
    }
}
