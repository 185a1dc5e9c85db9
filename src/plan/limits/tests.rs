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
