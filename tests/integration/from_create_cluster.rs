//! `docs/from-create-cluster.md`, from top to bottom: every command is run, every option is there.

use std::fs;
use std::path::Path;

use crate::sandbox::{Ran, Sandbox, free_ports, nodes, redis, wait_for};

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/from-create-cluster.md");
    fs::read_to_string(path).expect("the page is there")
}

/// What stands between backquotes on a line.
fn spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The first block of that kind of the page.
fn block<'a>(page: &'a str, kind: &str) -> &'a str {
    let (_, after) = page.split_once(&format!("```{kind}\n")).expect("a block");
    after.split_once("```").expect("its end").0
}

/// The page between two headings.
fn section<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    let (_, after) = page.split_once(from).expect("a heading");
    after.split_once(to).expect("the next heading").0
}

/// Verbs that have no end by themselves.
fn is_endless(line: &str) -> bool {
    line.starts_with("watch") || line.starts_with("logs -f") || line == "cli"
}

/// Runs one command of the page, which must do what the page says.
fn run(sandbox: &Sandbox, line: &str) {
    let verb = line.split(' ').next().expect("a verb");
    let help = sandbox.run(&format!("{verb} --help"));
    assert_eq!(
        help.code,
        Some(0),
        "the page names a verb that is not there: {line}"
    );
    if line.starts_with("logs -f") {
        follow(sandbox, line);
    } else if !is_endless(line) {
        let ran: Ran = sandbox.ok(line);
        ran.nothing_odd();
    }
}

/// Runs `logs -f …` until it has shown lines; it is still there to be interrupted.
fn follow(sandbox: &Sandbox, line: &str) {
    let followed = sandbox.record(line);
    wait_for("lines of a log", || {
        followed.out().contains('\n').then_some(())
    });
    followed.interrupt();
}

#[test]
fn every_verb_of_the_script_has_the_one_that_the_page_names() {
    let (sandbox, page) = (Sandbox::new(), page());
    let base = free_ports(6);
    fs::write(
        sandbox.path().join("rcluster.toml"),
        format!("port = {base}\n"),
    )
    .expect("written");
    let table = section(&page, "## Verbs", "## Settings");
    for verb in [
        "start",
        "create",
        "create -f",
        "watch",
        "tail 1",
        "tailall",
        "call CMD…",
        "restart",
        "clean-logs",
        "stop",
        "clean",
    ] {
        assert!(
            table.contains(&format!("\n| `{verb}` | `rcluster ")),
            "no line for {verb}"
        );
    }
    let commands: Vec<String> = table
        .lines()
        .flat_map(spans)
        .filter_map(|span| span.strip_prefix("rcluster "))
        .map(|line| line.replace("30001", &base.to_string()))
        .collect();
    assert!(commands.len() >= 13, "{commands:?}");
    for line in &commands {
        run(&sandbox, line);
    }
    sandbox.gone("down --yes");
}

#[test]
fn every_setting_of_the_script_has_the_option_that_the_page_names() {
    let (sandbox, page) = (Sandbox::new(), page());
    let table = section(&page, "## Settings", "A `config.sh` like this");
    let help = sandbox.ok("up --help").out;
    for setting in [
        "PORT=",
        "NODES=",
        "REPLICAS=",
        "TIMEOUT=",
        "CLUSTER_HOST=",
        "BIN_PATH=",
        "PROTECTED_MODE=",
        "ADDITIONAL_OPTIONS=",
    ] {
        assert!(
            table.contains(&format!("`{setting}")),
            "no line for {setting}"
        );
    }
    let spans = table.lines().flat_map(spans);
    let options: Vec<&str> = spans
        .filter(|span| span.starts_with("--"))
        .flat_map(|span| span.split(' '))
        .filter(|word| word.starts_with("--"))
        .collect();
    assert!(options.len() >= 8, "{options:?}");
    for option in options {
        assert!(help.contains(&format!("{option} ")), "up has no {option}");
    }

    // The file of the page, on ports of our own, and the session with it.
    let base = free_ports(4);
    let toml = block(&page, "toml").replace("30001", &base.to_string());
    fs::write(sandbox.path().join("rcluster.toml"), toml).expect("written");
    for line in block(&page, "console").lines() {
        let line = line.strip_prefix("$ rcluster ").expect("a command");
        run(&sandbox, line);
        if line != "up" {
            continue;
        }
        let status = sandbox.status();
        assert_eq!(
            (&status["primaries"], &status["replicas"]),
            (&4.into(), &0.into())
        );
        let first = u64::from(base);
        assert_eq!(nodes(&status)[0]["port"], first);
        for (name, value) in [
            ("maxmemory", "104857600"),
            ("protected-mode", "no"),
            ("cluster-node-timeout", "3000"),
        ] {
            let reply = redis(first, &["CONFIG", "GET", name]);
            assert_eq!(reply, format!("{name}\n{value}"));
        }
    }
    sandbox.gone("down --yes");
}

#[test]
fn what_is_told_beside_the_tables_is_true_too() {
    let (sandbox, page) = (Sandbox::new(), page());
    let (_, rest) = page.split_once("## What is different").expect("a heading");
    for line in spans(&rest.replace('\n', " ")).filter_map(|span| span.strip_prefix("rcluster ")) {
        if line == "--help" {
            assert!(sandbox.ok(line).out.contains("Exit codes:"));
        } else {
            run(&sandbox, line);
        }
    }
    let help = sandbox.ok("stop --help").out;
    assert!(help.contains("--grace") && help.contains("15s"), "{help}");
    assert!(sandbox.ok("up --help").out.contains("--bus-port"));
    sandbox.ok("down -n other --yes");
    assert_eq!(sandbox.survivors().len(), 0);
}
