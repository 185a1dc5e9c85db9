//! Manual pages, and the examples of `--help`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use rcluster::cli::{CommandLine, command};

use crate::sandbox::{self, Ran, Sandbox};

/// The words of every verb, `["server", "install"]`; none for the program itself.
fn verbs() -> Vec<Vec<String>> {
    let mut root = command();
    root.build();
    let mut found = vec![Vec::new()];
    let mut open = vec![(Vec::new(), &root)];
    while let Some((path, above)) = open.pop() {
        for verb in above.get_subcommands().filter(|verb| !verb.is_hide_set()) {
            let path = [path.clone(), vec![verb.get_name().to_owned()]].concat();
            found.push(path.clone());
            open.push((path, verb));
        }
    }
    assert!(found.len() > 15, "the verbs were not found: {found:?}");
    found
}

fn help(sandbox: &Sandbox, verb: &[String]) -> String {
    let words: Vec<&str> = verb.iter().map(String::as_str).chain(["--help"]).collect();
    let ran = sandbox.run_words(&words);
    assert_eq!(ran.code, Some(0), "{ran}");
    ran.out
}

/// The options at the beginning of help's lines.
fn options(help: &str) -> BTreeSet<String> {
    let lines = help.lines().map(str::trim_start);
    let lines = lines.filter(|line| line.starts_with('-'));
    let words = lines.flat_map(|line| line.split([' ', '[', '=', ',']).take(3));
    let words = words.filter(|word| word.starts_with("--") && word.len() > 2);
    words.map(str::to_owned).collect()
}

fn page_of(verb: &[String]) -> String {
    let words = ["rcluster".to_owned()]
        .into_iter()
        .chain(verb.iter().cloned());
    words.collect::<Vec<_>>().join("-")
}

/// The commands of rcluster in a line of a shell, each as words.
fn commands(line: &str) -> Vec<Vec<OsString>> {
    // What stands behind two spaces says what it does.
    let command = line.trim().split("   ").next().unwrap_or_default();
    let command = command.split("  ").next().unwrap_or_default();
    let pieces = command.split(['|', ';', '&', '(', ')', '<', '>', '`']);
    let pieces = pieces.map(|piece| piece.trim().trim_matches('"'));
    let pieces = pieces.filter_map(|piece| Some(&piece[piece.find("rcluster ")?..]));
    pieces
        .map(|piece| {
            let words = piece.split_ascii_whitespace();
            let plain = |word: &str| word.trim_matches(['\'', '"']).into();
            words.map(plain).collect()
        })
        .collect()
}

#[test]
fn every_verb_has_examples_before_its_options_that_can_be_typed() {
    let sandbox = Sandbox::new();
    for verb in verbs() {
        let help = help(&sandbox, &verb);
        let at = |text: &str| help.find(text);
        let first = at("\nExamples:\n").unwrap_or_else(|| panic!("no examples: {verb:?}\n{help}"));
        assert!(
            at("\nOptions:\n").is_none_or(|options| first < options),
            "{help}"
        );
        assert!(
            at("\nCommands:\n").is_none_or(|verbs| first < verbs),
            "{help}"
        );
        let lines = help[first..].lines().skip(2);
        let lines: Vec<&str> = lines.take_while(|line| line.starts_with("  ")).collect();
        let most = if verb.is_empty() { 9 } else { 6 };
        assert!((2..=most).contains(&lines.len()), "{verb:?}: {lines:?}");
        let mut of_this = 0;
        for line in lines {
            for words in commands(line) {
                let read = CommandLine::read(&words, |_| false);
                let read = read.unwrap_or_else(|refusal| panic!("{line}\n{}", refusal.text));
                if let Err(refused) = read.with(&[], |_| false) {
                    panic!("{line}\n{refused:?}");
                }
                let mut rest = words.iter().map(|word| word.to_string_lossy());
                of_this += usize::from(verb.iter().all(|name| rest.any(|word| word == *name)));
            }
        }
        assert!(of_this > 0, "none is of {verb:?}: {help}");
    }
}

#[test]
fn the_commands_of_the_installation_guide_can_be_typed() {
    let guide = include_str!("../../docs/install.md");
    let blocks = guide.split("\n```").skip(1).step_by(2);
    let lines = blocks.flat_map(str::lines);
    let lines = lines.filter(|line| line.contains("rcluster "));
    let lines = lines.map(|line| line.split(" # ").next().unwrap_or(line));
    let lines: Vec<&str> = lines.filter(|line| line.starts_with("rcluster ")).collect();
    assert!(lines.len() >= 6, "the guide was not read: {lines:?}");
    for words in lines.into_iter().flat_map(commands) {
        if let Err(refusal) = CommandLine::read(&words, |_| false) {
            panic!("{words:?}\n{}", refusal.text);
        }
    }
}

#[test]
fn every_verb_has_a_page_with_all_its_options() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path().join("share/man/man1");
    sandbox.ok("man --out share/man/man1");
    let mut pages = BTreeSet::new();
    for verb in verbs() {
        let name = page_of(&verb);
        let path = dir.join(format!("{name}.1"));
        let roff = fs::read_to_string(&path).unwrap_or_else(|_| panic!("no page: {name}"));
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o644, "everybody may read it: {name}");
        let plain = roff.replace("\\-", "-");
        let options = options(&help(&sandbox, &verb));
        assert!(options.len() >= 8, "{name}: {options:?}");
        for option in options {
            assert!(
                plain.contains(&format!("\\fB{option}\\fR")),
                "{option} is not in {name}"
            );
        }
        for section in [
            "NAME",
            "SYNOPSIS",
            "EXAMPLES",
            "EXIT STATUS",
            "FILES",
            "ENVIRONMENT",
        ] {
            let quoted = format!("\n.SH \"{section}\"\n");
            assert!(
                roff.contains(&format!("\n.SH {section}\n")) || roff.contains(&quoted),
                "{name} has no {section}"
            );
        }
        assert!(plain.contains("RCLUSTER_NAME"), "{name}");
        let words: Vec<&str> = verb.iter().map(String::as_str).collect();
        let alone = sandbox.run_words(&[&["man"], words.as_slice()].concat());
        assert_eq!(alone.out, roff, "{name}");
        pages.insert(format!("{name}.1"));
    }
    let written: BTreeSet<String> = fs::read_dir(&dir)
        .expect("there")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect();
    assert_eq!(written, pages);
    let mode = |dir: &str| {
        fs::metadata(sandbox.path().join(dir))
            .expect("there")
            .permissions()
            .mode()
    };
    assert_eq!(
        (mode("share") & 0o777, mode("share/man/man1") & 0o777),
        (0o755, 0o755)
    );
}

#[test]
fn a_page_has_the_exit_codes_of_its_verb() {
    let sandbox = Sandbox::new();
    let status = |verb: &[String]| {
        let words: Vec<&str> = verb.iter().map(String::as_str).collect();
        let page = sandbox
            .run_words(&[&["man"], words.as_slice()].concat())
            .out;
        let page = page.replace("\\-", "-").replace("\\*(Aq", "'");
        let (_, after) = page.split_once("EXIT STATUS").expect("the section");
        after.split_once(".SH").expect("the next").0.to_owned()
    };
    let mut own = Vec::new();
    for verb in verbs().into_iter().filter(|verb| !verb.is_empty()) {
        let help = help(&sandbox, &verb);
        let Some((_, said)) = help.split_once("\nExit codes: ") else {
            continue;
        };
        let said = said.split("\n\n").next().expect("a paragraph");
        let said = said.lines().collect::<Vec<_>>().join(" ");
        // That of `run` is a table there, since no other code is its own.
        if verb != ["run"] {
            assert!(
                status(&verb).contains(said.trim_end_matches('.')),
                "{verb:?}: {said}"
            );
        }
        own.push(verb.join(" "));
    }
    for verb in ["call", "env", "logs", "run"] {
        assert!(own.iter().any(|name| name == verb), "{verb}: {own:?}");
    }
    let call = status(&["call".to_owned()]);
    assert!(call.contains("8 all refused for want of rights"), "{call}");
    assert!(status(&["run".to_owned()]).contains("\\fB125\\fR"));
}

#[test]
fn mandoc_and_groff_have_nothing_to_say() {
    let sandbox = Sandbox::new();
    sandbox.ok("man --out pages");
    let mut pages: Vec<String> = fs::read_dir(sandbox.path().join("pages"))
        .expect("there")
        .map(|entry| entry.expect("an entry").path().display().to_string())
        .collect();
    pages.sort();
    let run = |program: &str, arguments: &[&str], pages: &[String]| {
        let mut command = Command::new(program);
        command.args(arguments).args(pages);
        Ran::of(command, program)
    };
    let ran = run("mandoc", &["-Tlint", "-Wwarning"], &pages);
    let odd = ran.out.lines().chain(ran.err.lines());
    // A build that nobody gave a day has none.
    let odd: Vec<&str> = odd.filter(|line| !line.contains("missing date")).collect();
    assert_eq!(odd, Vec::<&str>::new());
    for page in pages {
        let ran = run("groff", &["-ww", "-man", "-Tascii", "-P-c"], &[page]);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran}");
        assert!(ran.out.contains("rcluster"), "{ran}");
    }
}

#[test]
fn a_page_is_found_by_the_words_of_its_verb() {
    let sandbox = Sandbox::new();
    sandbox.file("rcluster.toml", "= nonsense");
    let page = sandbox.ok("man server install").out;
    for line in ["man server-install", "man rcluster-server-install"] {
        assert_eq!(sandbox.ok(line).out, page, "{line}");
    }
    let document = sandbox.ok("man server install --json").json();
    assert_eq!(document["page"], "rcluster-server-install");
    assert_eq!(document["roff"], page.as_str());
    let document = sandbox.ok("man --out x --json").json();
    assert_eq!(document["pages"][0], "rcluster.1");
    for line in [
        "man frobnicate",
        "man install",
        "man up --out x",
        "man \u{1b}[2J",
    ] {
        let ran = sandbox.fails(line, 2);
        assert!(!ran.err.contains('\u{1b}'), "{ran}");
    }
    sandbox.file("taken", "");
    sandbox.fails("man --out taken/x", 1);
}

#[test]
fn on_a_terminal_a_page_is_shown_and_without_man_the_help() {
    let sandbox = Sandbox::new();
    let program = env!("CARGO_BIN_EXE_rcluster");
    let shown = |path: &str| {
        let mut command = sandbox::on_a_terminal(&format!("{program} man stop"));
        command
            .env("MANPAGER", "cat")
            .env("TERM", "dumb")
            .env("PATH", path);
        command.current_dir(sandbox.path()).stdin(Stdio::null());
        Ran::of(command, "man stop")
    };
    let path = std::env::var("PATH").expect("UTF-8");
    let page = shown(&path);
    assert!(page.out.contains("RCLUSTER-STOP(1)"), "{page}");
    assert!(!page.out.contains(".SH"), "{page}");
    let help = shown("/nonexistent");
    assert!(help.out.contains("`man` is not installed"), "{help}");
    assert!(help.out.contains("Usage: rcluster stop"), "{help}");

    // One that is there and fails is not said to be missing.
    for (text, why) in [
        (
            "#!/bin/sh\necho no such option >&2\nexit 3\n",
            "`man` failed (exit status: 3)",
        ),
        ("not a program\n", "`man` could not be started"),
    ] {
        let bin = sandbox.path().join("bin");
        fs::create_dir_all(&bin).expect("made");
        fs::write(bin.join("man"), text).expect("written");
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(bin.join("man"), mode).expect("set");
        let help = shown(bin.to_str().expect("UTF-8"));
        assert!(help.out.contains(why), "{help}");
        assert!(!help.out.contains("is not installed"), "{help}");
        assert!(help.out.contains("Usage: rcluster stop"), "{help}");
    }
}
