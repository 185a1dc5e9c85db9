//! Every example of README.md and docs/ is run, on the ports and paths that it shows.
//!
//! A page gets a home and a network of its own, so that 30001 is free and `~/.local/state/rcluster` is
//! the test's. What a page may say of its blocks is told in docs/README.md ("How the examples are
//! tested"); [`SKIPPED`] is how many blocks may be left out, and why.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use serde_json::Value;

use crate::sandbox::Sandbox;

/// The reasons for which a block may be left out, and how many may be.
const SKIPPED: &[(&str, usize)] = &[
    ("builds", 4),
    ("is run by scripts/packaging/check", 4),
    ("needs Docker", 2),
    ("needs GitHub", 2),
    ("needs Homebrew", 1),
    ("needs a terminal", 3),
    ("needs other machines", 2),
    ("needs the package index", 2),
];

/// No example takes as long.
const LIMIT: Duration = Duration::from_secs(120);

/// Languages of blocks that are no commands; whoever adds one says who reads it.
const OTHER_LANGUAGES: &[&str] = &[
    "json", "toml", "yaml", "rust", "python", "js", "text", "ini",
];

/// What stands between two fences, and what the page says of it.
struct Block {
    place: String,
    language: String,
    skip: Option<String>,
    each: bool,
    file: Option<String>,
    before: Vec<String>,
    after: Vec<String>,
    text: String,
}

/// README.md and all of docs/.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).expect("docs/");
    let mut pages: Vec<PathBuf> = docs
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "md"))
        .collect();
    pages.push(root.join("README.md"));
    pages.sort();
    pages
}

fn title(page: &Path) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let inner = page.strip_prefix(root).unwrap_or(page);
    inner.display().to_string()
}

/// The blocks of a page, in order.
fn blocks(page: &Path) -> Vec<Block> {
    let text = fs::read_to_string(page).expect("readable");
    let mut blocks = Vec::new();
    let mut said: Vec<String> = Vec::new();
    let mut open: Option<(Block, usize)> = None;
    for (number, line) in text.lines().enumerate() {
        let place = format!("{}:{}", title(page), number + 1);
        let bare = line.trim_start();
        if let Some((block, indent)) = &mut open {
            if bare == "```" {
                blocks.extend(open.take().map(|(block, _)| block));
            } else {
                let spaces = line.len() - bare.len();
                block.text.push_str(&line[spaces.min(*indent)..]);
                block.text.push('\n');
            }
        } else if let Some(language) = bare.strip_prefix("```") {
            open = Some((
                block(place, language, &std::mem::take(&mut said)),
                line.len() - bare.len(),
            ));
        } else if let Some(marker) = bare.strip_prefix("<!-- test:") {
            let marker = marker.strip_suffix("-->");
            said.push(
                marker
                    .unwrap_or_else(|| panic!("{place}: a marker is one line"))
                    .trim()
                    .to_owned(),
            );
        } else {
            assert!(
                said.is_empty() || bare.is_empty(),
                "{place}: a marker stands right before its block"
            );
        }
    }
    assert!(
        open.is_none() && said.is_empty(),
        "{}: a block is open",
        title(page)
    );
    blocks
}

fn block(place: String, language: &str, markers: &[String]) -> Block {
    let mut block = Block {
        place,
        language: language.to_owned(),
        skip: None,
        each: false,
        file: None,
        before: Vec::new(),
        after: Vec::new(),
        text: String::new(),
    };
    for marker in markers {
        let (word, rest) = marker.split_once(' ').unwrap_or((marker, ""));
        match word {
            "skip" => block.skip = Some(rest.to_owned()),
            "each" => block.each = true,
            "file" => block.file = Some(rest.to_owned()),
            "before" => block.before.push(rest.to_owned()),
            "after" => block.after.push(rest.to_owned()),
            _ => panic!("{}: no such marker: {marker}", block.place),
        }
    }
    block
}

/// One command of a `console` block, what was shown to be typed into it, and what it shows.
#[derive(Debug, Default)]
struct Step {
    command: String,
    shown: Vec<String>,
}

/// The steps of a `console` block.
fn steps(block: &Block) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut more = false;
    for line in block.text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step {
                command: command.to_owned(),
                shown: Vec::new(),
            });
            more = command.ends_with('\\');
        } else {
            let step = steps.last_mut();
            let step = step.unwrap_or_else(|| panic!("{}: begins with no command", block.place));
            if more {
                step.command.push('\n');
                step.command
                    .push_str(line.strip_prefix("> ").unwrap_or(line));
                more = line.ends_with('\\');
            } else {
                step.shown.push(line.to_owned());
            }
        }
    }
    steps
}

/// What is typed after a prompt such as `127.0.0.1:30001> `.
fn typed(line: &str) -> Option<&str> {
    let (prompt, typed) = line.split_once("> ")?;
    let is_address = prompt.contains(':') && !prompt.contains(' ') && !prompt.is_empty();
    is_address.then_some(typed)
}

/// Joins what ends in a backslash; leaves out empty lines and comments.
fn logical_lines(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// A line without what differs from run to run and from machine to machine: times, versions, PIDs,
/// node ids, and how wide the columns are.
fn normal(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut normal: Vec<String> = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let bare = word.trim_matches([',', ';', ':', '.', '(', ')', '"']);
        let before = at.checked_sub(1).map_or("", |at| words[at]);
        let after = words
            .get(at + 1)
            .map_or("", |word| word.trim_matches([',', ';', ':', '.', ')']));
        let number = bare.parse::<f64>().is_ok();
        let version =
            bare.split('.').count() == 3 && bare.split('.').all(|part| part.parse::<u16>().is_ok());
        let hex = bare.bytes().all(|byte| byte.is_ascii_hexdigit())
            && (bare.len() == 40 || bare.len() == 8)
            && bare.bytes().any(|byte| byte.is_ascii_alphabetic());
        let stands_for = if number && matches!(after, "s" | "ms") {
            "<time>"
        } else if version && matches!(before, "redis" | "valkey") {
            "<version>"
        } else if number && (before == "pid" || before == "running" && !words.contains(&"nodes")) {
            "<pid>"
        } else if hex {
            "<id>"
        } else {
            normal.push((*word).to_owned());
            continue;
        };
        let unit = word.replace(bare, stands_for);
        normal.push(unit);
    }
    normal.join(" ")
}

/// Whether `line` is what `pattern` shows, where `…` stands for anything.
fn is_like(pattern: &str, line: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('…') else {
        return pattern == line;
    };
    let Some(line) = line.strip_prefix(head) else {
        return false;
    };
    let ends = line.char_indices().map(|(at, _)| at).chain([line.len()]);
    ends.into_iter().any(|at| is_like(rest, &line[at..]))
}

/// Whether `lines` are what is shown, where a line `…` stands for any number of lines.
fn are_like(shown: &[String], lines: &[String]) -> bool {
    match shown.split_first() {
        None => lines.is_empty(),
        Some((first, rest)) if first == "…" => {
            (0..=lines.len()).any(|at| are_like(rest, &lines[at..]))
        }
        Some((first, rest)) => lines
            .split_first()
            .is_some_and(|(line, others)| is_like(first, line) && are_like(rest, others)),
    }
}

/// A shell on a network of its own, in which a page's commands are run one after the other.
struct Shell {
    sandbox: Sandbox,
    child: Child,
    input: ChildStdin,
    replies: Receiver<String>,
    count: usize,
}

/// How `unshare` gives us a network here, if it does.
fn network() -> Option<&'static str> {
    ["-n", "-rn"].into_iter().find(|option| {
        let tried = Command::new("unshare")
            .args([option, "ip", "link", "set", "lo", "up"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        tried.is_ok_and(|status| status.success())
    })
}

impl Shell {
    fn new(network: &str) -> Self {
        let sandbox = Sandbox::new();
        let me = sandbox.path().join("me");
        let (project, bin) = (me.join("project"), me.join("bin"));
        for dir in [&project, &bin] {
            fs::create_dir_all(dir).expect("made");
        }
        symlink(env!("CARGO_BIN_EXE_rcluster"), bin.join("rcluster")).expect("linked");
        let path = std::env::var("PATH").expect("PATH");
        let mut child = Command::new("unshare")
            .args([network, "bash", "--norc", "-c"])
            .arg("ip link set lo up && while read -r file; do . \"$file\" >\"$file.out\" 2>&1 </dev/null; echo $?; done")
            .env_clear()
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("HOME", &me)
            .env("TMPDIR", sandbox.path())
            .env("LANG", "C.UTF-8")
            .env("TERM", "dumb")
            .env("COLUMNS", "200")
            .current_dir(&project)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let (send, replies) = mpsc::channel();
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        let input = child.stdin.take().expect("a pipe");
        Self {
            sandbox,
            child,
            input,
            replies,
            count: 0,
        }
    }

    /// Runs a command, whatever it needs to be one; its exit code and what it said.
    fn run(&mut self, command: &str) -> Result<(i32, String), String> {
        self.count += 1;
        let file = self.sandbox.path().join(format!("step-{}", self.count));
        fs::write(&file, format!("{command}\n")).expect("written");
        writeln!(self.input, "{}", file.display()).map_err(|_| "the shell is gone".to_owned())?;
        let code = self.replies.recv_timeout(LIMIT);
        let said = fs::read(file.with_extension("out")).unwrap_or_default();
        let said = self.as_shown(&String::from_utf8_lossy(&said));
        match code {
            Ok(code) => Ok((code.parse().expect("a code"), said)),
            Err(_) => Err(format!("did not end within {LIMIT:?}, and said:\n{said}")),
        }
    }

    /// The test's home is the reader's.
    fn as_shown(&self, said: &str) -> String {
        let me = self.sandbox.path().join("me");
        said.replace(me.to_str().expect("UTF-8"), "/home/me")
    }

    /// Runs a client with a prompt on a terminal, and types each line when it is asked for.
    fn talk(&mut self, step: &Step) -> Result<String, String> {
        let quoted = step.command.replace('\'', r"'\''");
        let mut lines = step.shown.iter().filter_map(|line| typed(line));
        let pipes = self.sandbox.path().join("typed");
        self.run(&format!("rm -f '{0}'; mkfifo '{0}'", pipes.display()))?;
        self.count += 1;
        let file = self.sandbox.path().join(format!("step-{}", self.count));
        fs::write(
            &file,
            // No user's shell between, as in `sandbox::on_a_terminal`.
            format!(
                "SHELL=/bin/sh script -qfec 'exec {quoted}' /dev/null <'{}'\n",
                pipes.display()
            ),
        )
        .expect("written");
        writeln!(self.input, "{}", file.display()).map_err(|_| "the shell is gone".to_owned())?;
        let mut keyboard = fs::OpenOptions::new()
            .write(true)
            .open(&pipes)
            .expect("opened");
        let out = file.with_extension("out");
        let mut seen = 0;
        loop {
            let said = crate::sandbox::wait_for("a prompt", || {
                let said = fs::read_to_string(&out).ok()?;
                (said.len() > seen && said.ends_with("> ")).then_some(said)
            });
            let Some(line) = lines.next() else {
                break;
            };
            seen = said.len() + line.len();
            writeln!(keyboard, "{line}").map_err(|error| error.to_string())?;
        }
        let said = fs::read_to_string(&out).map_err(|error| error.to_string())?;
        // The end of the input ends the client.
        keyboard.write_all(b"\x04").ok();
        drop(keyboard);
        self.replies
            .recv_timeout(LIMIT)
            .map_err(|_| "the client did not end".to_owned())?;
        let said = said.replace('\r', "");
        let (said, _prompt) = said.rsplit_once('\n').unwrap_or((said.as_str(), ""));
        Ok(said.to_owned())
    }

    /// Runs one block, and says what is not as it shows.
    fn block(&mut self, block: &Block) -> Result<(), String> {
        self.unseen(&block.before)?;
        if let Some(name) = &block.file {
            let path = self.sandbox.path().join("me/project").join(name);
            fs::create_dir_all(path.parent().expect("a directory")).expect("made");
            fs::write(path, &block.text).expect("written");
            return self.unseen(&block.after);
        }
        if block.each {
            self.tear_down()?;
        }
        match (block.language.as_str(), block.each) {
            ("console", each) => {
                for step in steps(block) {
                    self.console(&step)?;
                    if each {
                        self.tear_down()?;
                    }
                }
            }
            (_, true) => {
                for line in logical_lines(&block.text) {
                    self.script(&line)?;
                    self.tear_down()?;
                }
            }
            _ => self.script(&block.text)?,
        }
        self.unseen(&block.after)
    }

    fn unseen(&mut self, commands: &[String]) -> Result<(), String> {
        for command in commands {
            let (code, said) = self.run(command)?;
            if code != 0 {
                return Err(format!("`{command}` ended with {code}:\n{said}"));
            }
        }
        Ok(())
    }

    /// A script of its own, as it would be saved.
    fn script(&mut self, text: &str) -> Result<(), String> {
        let path = self.sandbox.path().join("script");
        fs::write(&path, text).expect("written");
        let (code, said) = self.run(&format!("bash -eu '{}'", path.display()))?;
        if code == 0 {
            Ok(())
        } else {
            Err(format!("`{text}` ended with {code}:\n{said}"))
        }
    }

    fn console(&mut self, step: &Step) -> Result<(), String> {
        let interactive = step.shown.iter().any(|line| typed(line).is_some());
        let (code, said) = if interactive {
            (0, self.talk(step)?)
        } else {
            self.run(&step.command)?
        };
        let fails = step.shown.iter().any(|line| line.starts_with("error: "));
        if code != 0 && !fails {
            return Err(format!("`{}` ended with {code}:\n{said}", step.command));
        }
        let lines = |lines: &mut dyn Iterator<Item = &str>| -> Vec<String> {
            let kept = lines.map(normal).filter(|line| !line.is_empty());
            kept.collect()
        };
        let shown = lines(&mut step.shown.iter().map(String::as_str));
        let said_lines = lines(&mut said.lines());
        if shown.is_empty() || are_like(&shown, &said_lines) {
            return Ok(());
        }
        Err(format!(
            "`{}` shows\n{}\nbut said\n{said}",
            step.command,
            step.shown.join("\n")
        ))
    }

    /// Ends every cluster of the page's home.
    fn tear_down(&mut self) -> Result<(), String> {
        const PLAIN: &str = "cd ~/project && unset RCLUSTER_NAME RCLUSTER_HOME &&";
        let (_, listed) = self.run(&format!("({PLAIN} rcluster --config none list --json)"))?;
        let listed: Value = serde_json::from_str(&listed).map_err(|_| listed)?;
        for cluster in listed["clusters"].as_array().into_iter().flatten() {
            let name = cluster["name"].as_str().unwrap_or_default();
            let down = format!("({PLAIN} rcluster --config none -n {name} down --yes)");
            self.unseen(&[down])?;
        }
        Ok(())
    }

    /// Ends the shell, and what is left behind it: which was to be nothing.
    fn end(mut self) -> Vec<String> {
        self.child.kill().expect("our own child");
        self.child.wait().expect("reaped");
        self.sandbox.kill_survivors()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Runs a page from its beginning; what is not as it says.
fn run_page(page: &Path, network: &str) -> Vec<String> {
    let blocks = blocks(page);
    let runs = |block: &&Block| {
        block.skip.is_none()
            && (matches!(block.language.as_str(), "console" | "sh" | "bash")
                || block.file.is_some())
    };
    if blocks.iter().find(runs).is_none() {
        return Vec::new();
    }
    let mut shell = Shell::new(network);
    let mut wrong = Vec::new();
    for block in blocks.iter().filter(runs) {
        if let Err(why) = shell.block(block) {
            wrong.push(format!("{}: {why}", block.place));
        }
    }
    if let Err(why) = shell.tear_down() {
        wrong.push(format!("{}: {why}", title(page)));
    }
    let left = shell.end();
    if !left.is_empty() {
        wrong.push(format!("{}: it leaves {left:?}", title(page)));
    }
    wrong
}

#[test]
fn every_example_of_the_guide_does_what_the_page_shows() {
    let Some(network) = network() else {
        // Without a network of its own a page cannot have port 30001.
        assert!(
            std::env::var_os("CI").is_none(),
            "unshare gives no network here, so that the guide cannot be run"
        );
        return;
    };
    let only = std::env::var("RCLUSTER_TEST_PAGE").ok();
    let pages: Vec<PathBuf> = pages()
        .into_iter()
        .filter(|page| {
            only.as_ref()
                .is_none_or(|only| title(page).contains(only.as_str()))
        })
        .collect();
    let wrong: Vec<String> = std::thread::scope(|scope| {
        // Two at a time are enough for a machine that runs other tests too.
        let halves: Vec<_> = (0..2)
            .map(|half| {
                let pages: Vec<&PathBuf> = pages.iter().skip(half).step_by(2).collect();
                scope.spawn(move || -> Vec<String> {
                    let wrong = pages.into_iter().map(|page| run_page(page, network));
                    wrong.flatten().collect()
                })
            })
            .collect();
        let found = halves.into_iter().map(|half| half.join().expect("it ran"));
        found.flatten().collect()
    });
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n\n"));
}

#[test]
fn few_examples_are_left_out_and_each_says_why() {
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    let mut listed = String::new();
    for block in pages().iter().flat_map(|page| blocks(page)) {
        let known = matches!(block.language.as_str(), "console" | "sh" | "bash");
        assert!(
            known || OTHER_LANGUAGES.contains(&block.language.as_str()),
            "{}: a block in no language that is known: {:?}",
            block.place,
            block.language
        );
        let Some(reason) = block.skip else {
            continue;
        };
        let kind = SKIPPED.iter().find(|(kind, _)| reason.starts_with(kind));
        let (kind, _) =
            kind.unwrap_or_else(|| panic!("{}: no reason to skip: {reason:?}", block.place));
        *count.entry(kind).or_default() += 1;
        writeln!(listed, "{}: {reason}", block.place).expect("written");
    }
    for (kind, most) in SKIPPED {
        let found = count.get(kind).copied().unwrap_or_default();
        assert!(
            found <= *most,
            "{found} blocks are left out because an example {kind}, {most} may be:\n{listed}"
        );
    }
}

#[test]
fn links_of_the_guide_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).expect("readable");
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split([')', ' ']).next().unwrap_or_default();
            if target.contains("://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() {
                page.clone()
            } else {
                page.parent().unwrap_or(root).join(file)
            };
            let text = if path.is_dir() {
                Some(String::new())
            } else {
                fs::read_to_string(&path).ok()
            };
            let is_there = text.is_some_and(|text| {
                anchor.is_empty()
                    || text
                        .lines()
                        .any(|line| line.starts_with('#') && slug(line) == anchor)
            });
            if !is_there {
                wrong.push(format!("{}: {target}", title(&page)));
            }
        }
    }
    assert!(wrong.is_empty(), "links that lead nowhere: {wrong:#?}");
}

/// The anchor that a heading gets.
fn slug(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = words
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().replace(' ', "-")
}

#[test]
fn every_page_is_in_the_index() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let index = fs::read_to_string(root.join("docs/README.md")).expect("the index");
    for page in pages() {
        let name = page
            .file_name()
            .and_then(|name| name.to_str())
            .expect("UTF-8");
        assert!(
            name == "README.md" || index.contains(&format!("({name})")),
            "{name} is not in docs/README.md"
        );
    }
}

#[test]
fn the_reader_of_pages_sees_what_differs() {
    let like = |shown: &str, said: &str| is_like(&normal(shown), &normal(said));
    assert!(like(
        "ready after 0.10 s; next: x",
        "ready after 1.70 s;  next: x"
    ));
    assert!(!like(
        "ready after 0.10 s; next: x",
        "ready after 0.10 s; next: y"
    ));
    assert!(like("starting redis 7.0.15 at", "starting redis 8.2.3 at"));
    assert!(!like("127.0.0.1:30001", "127.0.0.1:30002"));
    assert!(like("a … c", "a b b c") && !like("a … c", "a b"));
    assert!(like(
        "1 running 4711 primary ce8ba57b",
        "1 running 5 primary 423dac69"
    ));
    let list = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(are_like(&list("a\n…\nd"), &list("a\nb\nc\nd")));
    assert!(are_like(&list("a\n…"), &list("a")));
    assert!(!are_like(&list("a\n…\nd"), &list("a\nb")));
    assert!(!are_like(&list("a"), &list("a\nb")));
    assert_eq!(typed("127.0.0.1:30001> SET a b"), Some("SET a b"));
    assert_eq!(
        typed("-> Redirected to slot [7056] located at 127.0.0.1:30002"),
        None
    );
    assert_eq!(logical_lines("a \\\n  b\n\n# c\nd"), ["a    b", "d"]);
}

/// Every code of the contract has a row on the page, and a command that ends with it.
#[test]
fn the_page_of_exit_codes_shows_each_of_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/exit-codes.md")).expect("the page");
    let codes = (0..=10).chain([125, 126, 127, 129, 130, 137, 143]);
    for code in codes {
        assert!(
            page.lines().any(|line| line == format!("exit {code}")),
            "no command on the page ends with {code}"
        );
    }
}

/// A step that fails in the middle of a recipe fails the recipe, and the trap ends the cluster.
#[test]
fn shell_recipes_end_their_cluster_when_a_step_fails() {
    let Some(network) = network() else {
        return;
    };
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ci.md");
    let recipes: Vec<Block> = blocks(&page)
        .into_iter()
        .filter(|block| block.language == "sh" && block.text.contains("trap "))
        .collect();
    assert!(recipes.len() >= 2, "the recipes were not found");
    for recipe in recipes {
        let step = "SET wat 2";
        assert!(recipe.text.contains(step), "{}", recipe.place);
        let endings = [("exit 7", 7), ("kill -TERM $$", 143), ("kill -INT $$", 130)];
        for (program, (end, wanted)) in ["bash", "dash"]
            .into_iter()
            .flat_map(|program| endings.map(|ending| (program, ending)))
        {
            let fails = recipe
                .text
                .replace(step, &format!("FROBNICATE; {end}; true"));
            let mut shell = Shell::new(network);
            let path = shell.sandbox.path().join("recipe");
            fs::write(&path, fails).expect("written");
            let (code, said) = shell
                .run(&format!("{program} -eu '{}'", path.display()))
                .expect("it ends");
            let place = format!("{}, {program}, {end}", recipe.place);
            assert_eq!(code, wanted, "{place}: {said}");
            let logs = shell.sandbox.path().join("me/project/logs");
            assert_eq!(logs.is_dir(), recipe.text.contains("--export"), "{said}");
            let (_, listed) = shell.run("rcluster list --json").expect("it ends");
            let listed: Value = serde_json::from_str(&listed).expect("JSON");
            assert_eq!(
                listed["clusters"],
                Value::Array(Vec::new()),
                "{place}: {said}"
            );
        }
    }
}
