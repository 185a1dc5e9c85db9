//! Whether a machine is set up for servers: the kernel and its settings. None of it stops a start.

use std::ops::RangeInclusive;

use super::finding::Finding;

/// The oldest kernel we know: 5.3 brought `pidfd_open`, and 5.4 is the one that people have.
const OLDEST_KERNEL: (u32, u32) = (5, 4);

/// `tcp-backlog`, as servers have it by default.
const BACKLOG: u64 = 511;

/// What was read of the kernel; `None` where it cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// `6.1.0-13-amd64`.
    pub release: Option<String>,
    /// `x86_64`.
    pub arch: String,
    /// Why a process cannot be held and signalled by a pidfd; `None` if it can.
    pub no_pidfd: Option<String>,
    /// Whether `/proc` says what our own process is.
    pub proc_readable: bool,
    /// Whether processes of other users are seen in it.
    pub proc_whole: bool,
    /// `vm.overcommit_memory`.
    pub overcommit: Option<u64>,
    /// `always [madvise] never`.
    pub huge_pages: Option<String>,
    /// `net.core.somaxconn`.
    pub backlog: Option<u64>,
    /// `net.ipv4.ip_local_port_range`.
    pub ephemeral: Option<RangeInclusive<u16>>,
    /// Why 127.0.0.1 cannot be used; `None` if it can.
    pub no_loopback: Option<String>,
    /// Whether `::1` can be used.
    pub loopback6: bool,
}

/// Judges all of it, but for the ports, which depend on what is asked for.
pub fn judge(around: &Surroundings) -> Vec<Finding> {
    vec![
        platform(around),
        pidfd(around),
        proc(around),
        overcommit(around),
        huge_pages(around),
        backlog(around),
        loopback(around),
    ]
}

fn platform(around: &Surroundings) -> Finding {
    const ID: &str = "platform";
    let Some(release) = &around.release else {
        return Finding::warn(
            ID,
            "the kernel does not say its release",
            "have /proc/sys/kernel/osrelease readable",
        );
    };
    let text = format!("Linux {release} on {}", around.arch);
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|number| number.parse::<u32>().ok());
    let version = numbers.next().zip(numbers.next());
    if version.is_some_and(|version| version < OLDEST_KERNEL) {
        return Finding::fail(
            ID,
            format!("{text} is older than 5.4"),
            "take a kernel from 5.4 on",
        );
    }
    if !["x86_64", "aarch64"].contains(&around.arch.as_str()) {
        return Finding::warn(
            ID,
            format!("{text}: rcluster is tried on x86_64 and aarch64 only"),
            "run the tests here first: scripts/test",
        );
    }
    Finding::ok(ID, text)
}

fn pidfd(around: &Surroundings) -> Finding {
    match &around.no_pidfd {
        None => Finding::ok("pidfd", "processes are held and signalled by pidfd"),
        Some(why) => Finding::warn(
            "pidfd",
            format!(
                "pidfds are refused ({why}): who a process is, is compared right before each signal instead"
            ),
            "allow pidfd_open and pidfd_send_signal, by a newer container runtime or seccomp profile",
        ),
    }
}

fn proc(around: &Surroundings) -> Finding {
    if !around.proc_readable {
        return Finding::fail(
            "proc",
            "/proc does not tell of processes: no server can be known again",
            "mount it: mount -t proc proc /proc",
        );
    }
    let others = if around.proc_whole {
        ""
    } else {
        "; processes of other users are hidden (hidepid): who holds a port cannot always be named"
    };
    Finding::ok("proc", format!("/proc is readable{others}"))
}

fn overcommit(around: &Surroundings) -> Finding {
    const ID: &str = "overcommit";
    let fix = "run as root: sysctl -w vm.overcommit_memory=1 (and write it to /etc/sysctl.d/)";
    match around.overcommit {
        Some(0) => Finding::warn(
            ID,
            "vm.overcommit_memory is 0: a server with much data may be refused the child that saves or copies it",
            fix,
        ),
        Some(2) => Finding::warn(
            ID,
            "vm.overcommit_memory is 2: each server reserves some 50 MiB that it does not use, and a child that saves as much as its parent",
            fix,
        ),
        Some(value) => Finding::ok(ID, format!("vm.overcommit_memory is {value}")),
        None => Finding::ok(ID, "vm.overcommit_memory cannot be read"),
    }
}

fn huge_pages(around: &Surroundings) -> Finding {
    const ID: &str = "huge_pages";
    let chosen = around
        .huge_pages
        .as_deref()
        .and_then(|text| text.split_once('[')?.1.split_once(']'))
        .map(|(chosen, _)| chosen);
    match chosen {
        Some("always") => Finding::warn(
            ID,
            "transparent huge pages are always used: saving takes more memory and time, unless the server switches them off for itself (disable-thp)",
            "run as root: echo madvise >/sys/kernel/mm/transparent_hugepage/enabled",
        ),
        Some(chosen) => Finding::ok(ID, format!("transparent huge pages: {chosen}")),
        None => Finding::ok(ID, "there are no transparent huge pages"),
    }
}

fn backlog(around: &Surroundings) -> Finding {
    const ID: &str = "backlog";
    match around.backlog {
        Some(value) if value < BACKLOG => Finding::warn(
            ID,
            format!(
                "net.core.somaxconn is {value}, below the {BACKLOG} of tcp-backlog: of many connections at once some are refused"
            ),
            format!("run as root: sysctl -w net.core.somaxconn={BACKLOG}"),
        ),
        Some(value) => Finding::ok(ID, format!("net.core.somaxconn is {value}")),
        None => Finding::ok(ID, "net.core.somaxconn cannot be read"),
    }
}

fn loopback(around: &Surroundings) -> Finding {
    const ID: &str = "loopback";
    match &around.no_loopback {
        Some(why) => Finding::fail(
            ID,
            format!("127.0.0.1 cannot be used: {why}"),
            "bring the interface up, as root: ip link set lo up",
        ),
        None if around.loopback6 => Finding::ok(ID, "127.0.0.1 and ::1 can be used"),
        None => Finding::ok(
            ID,
            "127.0.0.1 can be used; ::1 cannot, so --bind ::1 will not work",
        ),
    }
}

/// Whether the blocks of `ports` lie outside the range from which the kernel serves outgoing
/// connections.
pub fn judge_port_range(
    ephemeral: Option<&RangeInclusive<u16>>,
    ports: &[RangeInclusive<u16>],
) -> Finding {
    const ID: &str = "port_range";
    let block = |ports: &RangeInclusive<u16>| format!("{}-{}", ports.start(), ports.end());
    let names: Vec<String> = ports.iter().map(block).collect();
    let names = names.join(" and ");
    let Some(range) = ephemeral else {
        return Finding::ok(ID, "the kernel's port range cannot be read");
    };
    let overlaps =
        |ports: &RangeInclusive<u16>| ports.start() <= range.end() && range.start() <= ports.end();
    let inside: Vec<String> = ports
        .iter()
        .filter(|ports| overlaps(ports))
        .map(block)
        .collect();
    if inside.is_empty() {
        return Finding::ok(
            ID,
            format!(
                "ports {names} lie outside {}, from which the kernel serves outgoing connections",
                block(range)
            ),
        );
    }
    Finding::warn(
        ID,
        format!(
            "ports {} lie in {}, from which the kernel serves outgoing connections: now and then one will be taken",
            inside.join(" and "),
            block(range)
        ),
        "pass --port auto, or run as root: sysctl -w net.ipv4.ip_local_port_range='32768 60999'",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Verdict;

    fn good() -> Surroundings {
        Surroundings {
            release: Some("6.1.0-13-amd64".into()),
            arch: "x86_64".into(),
            proc_readable: true,
            proc_whole: true,
            overcommit: Some(1),
            huge_pages: Some("always [madvise] never\n".into()),
            backlog: Some(4096),
            ephemeral: Some(32768..=60999),
            loopback6: true,
            ..Surroundings::default()
        }
    }

    type Fault = fn(&mut Surroundings);

    #[test]
    fn each_fault_changes_its_own_line_and_no_other() {
        let wanted = judge(&good());
        assert!(
            wanted
                .iter()
                .all(|finding| finding.verdict == Verdict::Ok && finding.fix.is_none())
        );
        let faults: [(&str, Verdict, Fault); 14] = [
            ("platform", Verdict::Fail, |s| {
                s.release = Some("5.3.18".into());
            }),
            ("platform", Verdict::Fail, |s| {
                s.release = Some("4.19.0-26-amd64".into());
            }),
            ("platform", Verdict::Warn, |s| s.release = None),
            ("platform", Verdict::Warn, |s| s.arch = "riscv64".into()),
            ("pidfd", Verdict::Warn, |s| {
                s.no_pidfd = Some("ENOSYS".into());
            }),
            ("proc", Verdict::Fail, |s| s.proc_readable = false),
            ("overcommit", Verdict::Warn, |s| s.overcommit = Some(0)),
            ("overcommit", Verdict::Warn, |s| s.overcommit = Some(2)),
            ("huge_pages", Verdict::Warn, |s| {
                s.huge_pages = Some("[always] madvise never\n".into());
            }),
            ("backlog", Verdict::Warn, |s| s.backlog = Some(510)),
            ("backlog", Verdict::Warn, |s| s.backlog = Some(128)),
            ("loopback", Verdict::Fail, |s| {
                s.no_loopback = Some("unreachable".into());
            }),
            ("backlog", Verdict::Ok, |s| s.backlog = Some(511)),
            ("platform", Verdict::Ok, |s| {
                s.release = Some("5.4.0".into());
            }),
        ];
        for (id, verdict, fault) in faults {
            let mut around = good();
            fault(&mut around);
            let found = judge(&around);
            for (was, is) in wanted.iter().zip(&found) {
                assert_eq!(was.id, is.id);
                if is.id == id {
                    assert_eq!(is.verdict, verdict, "{is:?}");
                    assert_eq!(is.fix.is_some(), verdict != Verdict::Ok, "{is:?}");
                } else {
                    assert_eq!(was, is);
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_no_failure() {
        let around = Surroundings {
            proc_readable: true,
            ..Surroundings::default()
        };
        assert!(
            judge(&around)
                .iter()
                .all(|finding| finding.verdict != Verdict::Fail)
        );
    }

    #[test]
    fn ports_in_the_kernels_range_are_told() {
        let range = 32768..=60999;
        let judge = |ports: &[RangeInclusive<u16>]| judge_port_range(Some(&range), ports);
        assert_eq!(judge(&[30001..=30006, 31001..=31006]).verdict, Verdict::Ok);
        for bus in [40001..=40006, 32763..=32768, 60999..=61004, 1..=65535] {
            let found = judge(&[30001..=30006, bus.clone()]);
            assert_eq!(found.verdict, Verdict::Warn, "{bus:?}");
            assert!(
                found.message.contains(&bus.start().to_string())
                    && !found.message.contains("30001")
            );
        }
        for free in [32762..=32767, 61000..=61005] {
            assert_eq!(judge(&[free]).verdict, Verdict::Ok);
        }
        assert_eq!(judge_port_range(None, &[]).verdict, Verdict::Ok);
    }
}
