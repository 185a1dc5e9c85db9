//! The control groups that this process is in: of both versions, mounted anywhere.

use std::path::{Path, PathBuf};

use super::limits::Kernel;
use super::mounts::{Mount, mounts};
use crate::plan::{Cap, Limiter};

/// What a group limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Controller {
    /// Threads and processes.
    Pids,
    /// Memory.
    Memory,
}

impl Controller {
    fn name(self) -> &'static str {
        match self {
            Self::Pids => "pids",
            Self::Memory => "memory",
        }
    }
}

/// One group on the way from ours up to the root.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Level {
    /// Its directory.
    pub(super) dir: PathBuf,
    /// Whether it is of the second version.
    unified: bool,
}

/// The groups of `controller`, ours first: each may limit.
pub(super) fn levels(kernel: &Kernel, controller: Controller) -> Vec<Level> {
    let Some((groups, mounts)) = kernel.text("proc/self/cgroup").zip(mounts(kernel)) else {
        return Vec::new();
    };
    let name = controller.name();
    // A controller is in one hierarchy only: where it has one of the first version, that one.
    let old = mounts.iter().find(|mount| {
        mount.kind == "cgroup" && mount.super_options.split(',').any(|option| option == name)
    });
    let (mount, path) = match old {
        Some(mount) => (
            Some(mount),
            groups.lines().find_map(|line| {
                let (names, path) = line.split_once(':')?.1.split_once(':')?;
                names.split(',').any(|own| own == name).then_some(path)
            }),
        ),
        None => (
            mounts.iter().find(|mount| mount.kind == "cgroup2"),
            groups.lines().find_map(|line| line.strip_prefix("0::")),
        ),
    };
    let Some((mount, path)) = mount.zip(path) else {
        return Vec::new();
    };
    let unified = old.is_none();
    chain(mount, path)
        .into_iter()
        .map(|dir| Level { dir, unified })
        .collect()
}

/// The directories from the group `path` up to where its hierarchy is mounted.
fn chain(mount: &Mount, path: &str) -> Vec<PathBuf> {
    // In a container the mount may show a part of the hierarchy, or the path lead out of it.
    let inner = Path::new(path).strip_prefix(&mount.root).ok();
    let inner = inner
        .filter(|inner| !inner.components().any(|part| part.as_os_str() == ".."))
        .unwrap_or(Path::new(""));
    inner
        .ancestors()
        .map(|part| {
            if part.as_os_str().is_empty() {
                mount.point.clone()
            } else {
                mount.point.join(part)
            }
        })
        .collect()
}

impl Level {
    /// The limit on memory, if there is one. The cache of files counts as free: the kernel drops it.
    pub(super) fn memory(&self, kernel: &Kernel, swap_free: u64) -> Option<Cap> {
        let (limit, used, cache, swap) = if self.unified {
            (
                "memory.max",
                "memory.current",
                ["active_file ", "inactive_file "],
                "memory.swap",
            )
        } else {
            (
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                ["total_active_file ", "total_inactive_file "],
                "",
            )
        };
        let file = self.dir.join(limit);
        // Version 1 writes the largest number of pages for "no limit".
        let limit = kernel.number(&file).filter(|limit| *limit < 1 << 62)?;
        let used = kernel.number(self.dir.join(used))?;
        let stat = kernel
            .text(self.dir.join("memory.stat"))
            .unwrap_or_default();
        let cache: u64 = cache
            .iter()
            .filter_map(|name| stat.lines().find_map(|line| line.strip_prefix(name)))
            .filter_map(|number| number.trim().parse::<u64>().ok())
            .sum();
        let swap = |name: &str| kernel.number(self.dir.join(format!("{swap}.{name}")));
        let swap_room = match swap("max") {
            Some(max) => swap_free.min(max.saturating_sub(swap("current").unwrap_or(0))),
            None => swap_free,
        };
        Some(Cap {
            by: Limiter::Cgroup(file),
            used: used.saturating_sub(cache),
            limit: limit.saturating_add(swap_room),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::fs;

    /// A directory that stands for `/`.
    pub(crate) struct Tree(tempfile::TempDir);

    impl Tree {
        pub(crate) fn new() -> Self {
            Self(tempfile::tempdir().expect("tempdir"))
        }

        pub(crate) fn kernel(&self) -> Kernel {
            Kernel::new(self.0.path())
        }

        pub(crate) fn write(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("mkdir");
            fs::write(path, text).expect("written");
        }
    }

    fn dirs(tree: &Tree, controller: Controller) -> Vec<String> {
        let levels = levels(&tree.kernel(), controller);
        levels
            .iter()
            .map(|level| level.dir.display().to_string())
            .collect()
    }

    #[test]
    fn the_unified_hierarchy_is_walked_to_its_root() {
        let tree = Tree::new();
        tree.write(
            "proc/self/mountinfo",
            "30 25 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n",
        );
        tree.write("proc/self/cgroup", "0::/user.slice/user-1000.slice\n");
        let wanted = [
            "/sys/fs/cgroup/user.slice/user-1000.slice",
            "/sys/fs/cgroup/user.slice",
            "/sys/fs/cgroup",
        ];
        assert_eq!(dirs(&tree, Controller::Pids), wanted);
        let base = "sys/fs/cgroup/user.slice";
        tree.write(&format!("{base}/pids.max"), "100\n");
        tree.write(&format!("{base}/pids.current"), "90\n");
        tree.write(&format!("{base}/user-1000.slice/pids.max"), "max\n");
        tree.write(&format!("{base}/user-1000.slice/pids.current"), "5\n");
        tree.write(&format!("{base}/memory.max"), "1000000\n");
        tree.write(&format!("{base}/memory.current"), "900000\n");
        tree.write(
            &format!("{base}/memory.stat"),
            "anon 100\ninactive_file 200000\nactive_file 100000\ntotal_active_file 5\n",
        );
        let read = |swap_free| -> Vec<u64> {
            let kernel = tree.kernel();
            let levels = levels(&kernel, Controller::Memory);
            let caps = levels
                .iter()
                .filter_map(|level| level.memory(&kernel, swap_free));
            caps.map(|cap| cap.room()).collect()
        };
        assert_eq!(read(0), [400_000]);
        assert_eq!(read(50_000), [450_000]);
        tree.write(&format!("{base}/memory.swap.max"), "10000\n");
        tree.write(&format!("{base}/memory.swap.current"), "4000\n");
        assert_eq!(read(50_000), [406_000]);
    }

    #[test]
    fn the_old_hierarchies_are_found_wherever_they_are_mounted() {
        let tree = Tree::new();
        tree.write(
            "proc/self/mountinfo",
            "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
             35 31 0:32 /docker/abc /odd\\040place/memory rw master:7 - cgroup cgroup rw,memory\n\
             39 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
             41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
        );
        tree.write(
            "proc/self/cgroup",
            "8:pids:/a\n4:memory:/docker/abc/x\n3:cpuset:/\n0::/\n",
        );
        let wanted = ["/sys/fs/cgroup/pids/a", "/sys/fs/cgroup/pids"];
        assert_eq!(dirs(&tree, Controller::Pids), wanted);
        let wanted = ["/odd place/memory/x", "/odd place/memory"];
        assert_eq!(dirs(&tree, Controller::Memory), wanted);
        let base = "odd place/memory";
        tree.write(
            &format!("{base}/memory.limit_in_bytes"),
            "9223372036854771712\n",
        );
        tree.write(&format!("{base}/memory.usage_in_bytes"), "5\n");
        tree.write(&format!("{base}/x/memory.limit_in_bytes"), "1000\n");
        tree.write(&format!("{base}/x/memory.usage_in_bytes"), "900\n");
        tree.write(
            &format!("{base}/x/memory.stat"),
            "total_inactive_file 300\n",
        );
        let kernel = tree.kernel();
        let caps: Vec<Cap> = levels(&kernel, Controller::Memory)
            .iter()
            .filter_map(|level| level.memory(&kernel, 0))
            .collect();
        assert_eq!(caps.len(), 1);
        assert_eq!(caps[0].room(), 400);
    }

    #[test]
    fn a_path_that_leads_out_of_the_mount_means_the_mount() {
        let tree = Tree::new();
        tree.write(
            "proc/self/mountinfo",
            "30 25 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
        );
        for path in ["/../../other", "/"] {
            tree.write("proc/self/cgroup", &format!("0::{path}\n"));
            assert_eq!(dirs(&tree, Controller::Pids), ["/sys/fs/cgroup"], "{path}");
        }
        tree.write("proc/self/cgroup", "");
        assert!(dirs(&tree, Controller::Pids).is_empty());
    }
}
