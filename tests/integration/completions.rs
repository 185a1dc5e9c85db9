//! What TAB offers, in real shells on a real terminal.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::sandbox::{self, Ran, Sandbox, edit_json, ports, signal};

/// Far longer than a shell takes to start on a loaded machine.
const LIMIT: Duration = Duration::from_secs(60);

/// TAB, then the key to which each shell's settings give "show the line".
const COMPLETE_AND_SHOW: &str = "\t\x14";

/// What the shells of these tests have in common.
fn environment(sandbox: &Sandbox, command: &mut Command) {
    let own = Path::new(env!("CARGO_BIN_EXE_rcluster"));
    let mut path = vec![own.parent().expect("a directory").to_owned()];
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    path.extend(std::env::split_paths(&inherited));
    let keep = sandbox.command(&[]);
    for (name, value) in keep.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
        .env("PATH", std::env::join_paths(path).expect("a PATH"))
        .env("HOME", sandbox.path())
        .env("ZDOTDIR", sandbox.path())
        .env("LC_ALL", "C.UTF-8")
        .current_dir(sandbox.path());
}

/// A shell on a terminal of its own.
struct Terminal {
    child: Child,
    output: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    fn new(sandbox: &Sandbox, shell: &str) -> Self {
        let mut command = sandbox::on_a_terminal(shell);
        environment(sandbox, &mut command);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("script(1) is there; scripts/test installs what the tests need");
        let mut pipe = child.stdout.take().expect("a pipe");
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = pipe.read(&mut buffer) {
                sender.send(buffer[..read].to_vec()).ok();
            }
        });
        let mut terminal = Self {
            child,
            output,
            seen: String::new(),
        };
        terminal.until("ready> ");
        terminal
    }

    fn bash(sandbox: &Sandbox) -> Self {
        let rc = sandbox.file(
            "rc.bash",
            "PS1='ready> '\nsource ./completions.bash\n\
             bind 'set show-all-if-ambiguous on' 'set enable-bracketed-paste off'\n\
             bind 'set page-completions off'\nbind 'set bell-style none'\n\
             bind 'set enable-bracketed-paste off'\n\
             bind -x '\"\\C-t\": printf \"\\n[[%s]]\\n\" \"$READLINE_LINE\"'\n",
        );
        Self::new(sandbox, &format!("bash --noprofile --rcfile {rc} -i"))
    }

    fn zsh(sandbox: &Sandbox) -> Self {
        sandbox.file(
            ".zshrc",
            "PS1='ready> '\nfpath=($ZDOTDIR $fpath)\nautoload -Uz compinit\ncompinit -u -d ./.zcompdump\n\
             setopt no_beep no_always_last_prompt\nzle_bracketed_paste=()\n\
             show() { print -r -- ''; print -r -- \"[[$BUFFER]]\" }\nzle -N show\nbindkey '^T' show\n",
        );
        Self::new(sandbox, "zsh -i")
    }

    /// Types `line` and TAB; returns what is offered, if more than one thing is, and the line.
    fn complete(&mut self, line: &str) -> (String, String) {
        self.seen.clear();
        self.send(&format!("{line}{COMPLETE_AND_SHOW}"));
        let text = self.until("]]");
        let (offered, completed) = text.rsplit_once("[[").expect("a line");
        let answer = (offered.to_owned(), completed.replace("]]", ""));
        // A new line for the next.
        self.seen.clear();
        self.send("\x15\n");
        self.until("ready> ");
        answer
    }

    fn send(&mut self, keys: &str) {
        let pipe = self.child.stdin.as_mut().expect("a pipe");
        pipe.write_all(keys.as_bytes()).expect("the shell reads");
        pipe.flush().expect("the shell reads");
    }

    /// What is written up to and with `end`.
    fn until(&mut self, end: &str) -> String {
        let began = Instant::now();
        loop {
            if let Some(at) = self.seen.find(end) {
                return self.seen[..at + end.len()].replace('\r', "");
            }
            let rest = LIMIT.saturating_sub(began.elapsed());
            match self.output.recv_timeout(rest) {
                Ok(bytes) => self.seen += &String::from_utf8_lossy(&bytes),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("no {end:?} in {:?}", self.seen)
                }
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The shell ends with its terminal, and script(1) with its input.
        drop(self.child.stdin.take());
        signal("HUP", self.child.id());
        self.child.wait().ok();
    }
}

/// What fish offers for `line`, without descriptions.
fn fish(sandbox: &Sandbox, line: &str) -> Vec<String> {
    let mut command = Command::new("fish");
    command.args(["--no-config", "-c"]);
    command.args(["source ./completions.fish; complete -C $argv[1]", line]);
    environment(sandbox, &mut command);
    let ran = Ran::of(command, line);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran}");
    let words = ran.out.lines().map(|line| line.split('\t').next());
    words
        .map(|word| word.unwrap_or_default().to_owned())
        .collect()
}

/// What rcluster answers to the shells' scripts.
fn asked(sandbox: &Sandbox, words: &[&str]) -> Vec<String> {
    let ran = Ran::of(
        sandbox.command(&[&["__complete", "fish", "rcluster"], words].concat()),
        &format!("{words:?}"),
    );
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran}");
    let words = ran.out.lines().map(|line| line.split('\t').next());
    words
        .map(|word| word.unwrap_or_default().to_owned())
        .collect()
}

/// A home with the stopped clusters `default` (3 nodes) and `search`, with two installed servers,
/// and the scripts of all shells. Returns the first port of `default`.
fn furnished() -> (Sandbox, u64) {
    let sandbox = Sandbox::new();
    let base = ports(&sandbox.up("--replicas 0"))[0];
    sandbox.ok("stop");
    sandbox.ok("up -n search --primaries 1 --replicas 0 --port auto");
    sandbox.ok("stop -n search");
    for name in ["valkey-9.1.2", "mine"] {
        let dir = sandbox.home().join(".servers").join(name);
        fs::create_dir_all(dir).expect("made");
    }
    for (shell, name) in [
        ("bash", "completions.bash"),
        ("zsh", "_rcluster"),
        ("fish", "completions.fish"),
    ] {
        let script = sandbox.ok(&format!("completions {shell}"));
        sandbox.file(name, script.out);
    }
    (sandbox, base)
}

/// Names that are no names, each as dangerous as a name can be: as clusters and as servers.
fn haunt(sandbox: &Sandbox) -> PathBuf {
    let trap = sandbox.path().join("trapped");
    let names = [
        "a;touch trapped",
        "$(touch trapped)",
        "`touch trapped`",
        "se'\"",
        "se\nsea",
        "se\tb",
        "\u{1b}]0;se\u{7}",
        "--sea",
        "search and more",
        "..se",
        "SEARCH",
        ":files 0",
    ];
    for name in names {
        for dir in [sandbox.home(), sandbox.home().join(".servers")] {
            let made = dir.join(name);
            fs::create_dir_all(&made).expect("made");
            let manifest = sandbox.home().join("search/manifest.json");
            fs::copy(manifest, made.join("manifest.json")).expect("copied");
        }
    }
    // One with a good name, and all the rest in its files.
    edit_json(&sandbox.home().join("search/manifest.json"), |manifest| {
        manifest["server"]["version"] =
            "$(touch trapped)`touch trapped`\u{1b}[2J\n:files 0\tx%F{red}".into();
    });
    // Files that never end, or never begin.
    let pipe = sandbox.home().join("pipe");
    fs::create_dir(&pipe).expect("made");
    let made = Command::new("mkfifo")
        .arg(pipe.join("manifest.json"))
        .status();
    assert!(made.expect("mkfifo runs").success());
    fs::create_dir(sandbox.home().join("endless")).expect("made");
    symlink("/dev/zero", sandbox.home().join("endless/manifest.json")).expect("made");
    trap
}

#[test]
fn bash_completes_verbs_options_values_and_what_is_on_disk() {
    let (sandbox, _) = furnished();
    sandbox.file("a file", "");
    let mut bash = Terminal::bash(&sandbox);
    for (line, completed) in [
        ("rcluster vers", "rcluster version "),
        ("rcluster up --prim", "rcluster up --primaries "),
        ("rcluster stop -n se", "rcluster stop -n search "),
        ("rcluster stop --name=se", "rcluster stop --name=search "),
        ("rcluster stop -nse", "rcluster stop -nsearch "),
        ("rcluster up --tls=o", "rcluster up --tls=only "),
        ("rcluster up --tls=", "rcluster up --tls="),
        ("rcluster --color alw", "rcluster --color always "),
        (
            "rcluster server remove v",
            "rcluster server remove valkey-9.1.2 ",
        ),
        ("rcluster server use m", "rcluster server use mine "),
        (
            "rcluster up --set-for replica:",
            "rcluster up --set-for replica:",
        ),
        (
            "rcluster up --set-for primary:2",
            "rcluster up --set-for primary:2 ",
        ),
        (
            "rcluster up --server-for primary:2",
            "rcluster up --server-for primary:2=",
        ),
        ("rcluster up --conf a", "rcluster up --conf a\\ file "),
        ("rcluster list > rc.b", "rcluster list > rc.bash "),
        ("rcluster list >rc.b", "rcluster list >rc.bash "),
        (
            "RCLUSTER_NAME=x rcluster vers",
            "RCLUSTER_NAME=x rcluster version ",
        ),
        ("rcluster \"vers", "rcluster \"version\" "),
    ] {
        assert_eq!(bash.complete(line).1, completed, "{line}");
    }
    let (offered, _) = bash.complete("rcluster -n ");
    assert!(
        offered.contains("default") && offered.contains("search"),
        "{offered}"
    );
    let (offered, _) = bash.complete("rcluster sta");
    assert!(
        offered.contains("start") && offered.contains("status"),
        "{offered}"
    );
    // In the middle of the line, what is behind the cursor stays.
    assert_eq!(
        bash.complete("rcluster vers --json\x1bb\x1bb\x06\x06\x06\x06")
            .1,
        "rcluster version --json"
    );
}

#[test]
fn zsh_completes_verbs_options_values_and_what_is_on_disk() {
    let (sandbox, _) = furnished();
    sandbox.file("a file", "");
    let mut zsh = Terminal::zsh(&sandbox);
    for (line, completed) in [
        ("rcluster vers", "rcluster version "),
        ("rcluster up --prim", "rcluster up --primaries "),
        ("rcluster stop -n se", "rcluster stop -n search "),
        ("rcluster stop --name=se", "rcluster stop --name=search "),
        ("rcluster up --tls=o", "rcluster up --tls=only "),
        (
            "rcluster server remove v",
            "rcluster server remove valkey-9.1.2 ",
        ),
        (
            "rcluster up --set-for primary:2",
            "rcluster up --set-for primary:2 ",
        ),
        (
            "rcluster up --server-for primary:2",
            "rcluster up --server-for primary:2=",
        ),
        ("rcluster up --conf a", "rcluster up --conf a\\ file "),
        ("rcluster up --conf=a", "rcluster up --conf=a\\ file "),
    ] {
        assert_eq!(zsh.complete(line).1, completed, "{line}");
    }
    let (offered, _) = zsh.complete("rcluster -n ");
    for text in ["default", "search", "3 + 0 nodes"] {
        assert!(offered.contains(text), "{text}: {offered}");
    }
}

#[test]
fn fish_completes_verbs_options_values_and_what_is_on_disk() {
    let (sandbox, base) = furnished();
    sandbox.file("a file", "");
    let port = base.to_string();
    let nodes = fish(&sandbox, "rcluster up --set-for ");
    for word in ["all", "primary", "primary:3", port.as_str()] {
        assert!(nodes.iter().any(|node| node == word), "{word}: {nodes:?}");
    }
    let with_space = |name: &'static str| vec![name.to_owned()];
    for (line, words) in [
        ("rcluster vers", with_space("version")),
        ("rcluster stop -n se", with_space("search")),
        ("rcluster stop --name=se", with_space("--name=search")),
        ("rcluster up --tls=b", with_space("--tls=both")),
        ("rcluster server remove v", with_space("valkey-9.1.2")),
        ("rcluster up --conf a", with_space("a file")),
        ("rcluster up --conf=a", with_space("--conf=a file")),
        ("rcluster up --user ", Vec::new()),
    ] {
        assert_eq!(fish(&sandbox, line), words, "{line}");
    }
}

#[test]
fn names_and_files_of_the_disk_can_only_be_offered_never_run() {
    let (sandbox, _) = furnished();
    let trap = haunt(&sandbox);
    let mut clusters = asked(&sandbox, &["-n", ""]);
    clusters.sort();
    assert_eq!(clusters, ["default", "endless", "pipe", "search"]);
    let servers = asked(&sandbox, &["server", "remove", ""]);
    assert_eq!(servers, ["mine", "valkey-9.1.2"]);
    for name in ["pipe", "endless"] {
        let nodes = asked(&sandbox, &["-n", name, "up", "--set-for", ""]);
        assert_eq!(nodes, ["all", "primary", "replica"], "{name}");
    }
    let mut bash = Terminal::bash(&sandbox);
    assert_eq!(
        bash.complete("rcluster stop -n se").1,
        "rcluster stop -n search "
    );
    bash.complete("rcluster -n ");
    bash.complete("rcluster server remove ");
    bash.complete("rcluster --home $(touch trapped) -n ");
    bash.complete("rcluster -n `touch trapped`");
    let mut zsh = Terminal::zsh(&sandbox);
    assert_eq!(
        zsh.complete("rcluster stop -n se").1,
        "rcluster stop -n search "
    );
    let (offered, _) = zsh.complete("rcluster -n ");
    assert!(
        !offered.contains("\u{1b}[2J") && offered.contains("endless"),
        "{offered:?}"
    );
    zsh.complete("rcluster server remove ");
    zsh.complete("rcluster --home $(touch trapped) -n ");
    assert_eq!(fish(&sandbox, "rcluster -n se"), ["search"]);
    fish(&sandbox, "rcluster --home (touch trapped) -n ");
    assert!(!trap.exists(), "something of the disk was run");
}

#[test]
fn the_cluster_is_the_one_that_is_meant() {
    let (sandbox, base) = furnished();
    let search = sandbox.run("status -n search --json").json();
    let (search, default) = (ports(&search)[0].to_string(), base.to_string());
    let nodes = |words: &[&str]| asked(&sandbox, &[words, &["up", "--set-for", ""]].concat());
    assert!(nodes(&[]).contains(&default) && !nodes(&[]).contains(&search));
    assert!(nodes(&["-n", "search"]).contains(&search));
    assert!(!nodes(&["--home=/nowhere"]).contains(&default));
    sandbox.file("rcluster.toml", "name = \"search\"\n");
    assert!(nodes(&[]).contains(&search));
    assert!(nodes(&["--config", "none"]).contains(&default));
}

#[test]
fn whatever_is_wrong_nothing_is_said() {
    let sandbox = Sandbox::new();
    // No home; nonsense; a damaged file of settings.
    assert_eq!(asked(&sandbox, &["-n", ""]), Vec::<String>::new());
    assert_eq!(asked(&sandbox, &[]), Vec::<String>::new());
    assert_eq!(
        asked(&sandbox, &["--frobnicate=", ""]).len(),
        asked(&sandbox, &[""]).len()
    );
    assert_eq!(asked(&sandbox, &["-n", "../x", "sta"]), ["start", "status"]);
    sandbox.file("rcluster.toml", "= nonsense");
    assert_eq!(asked(&sandbox, &["up", "--set-for", "pri"]), ["primary"]);
    for bad in ["RCLUSTER_NAME", "RCLUSTER_CONFIG", "RCLUSTER_HOME"] {
        let mut command = sandbox.command(&["__complete", "bash", "rcluster", "-n", ""]);
        command.env(bad, "/dev/null/x\n").env_remove("HOME");
        let ran = Ran::of(command, bad);
        assert_eq!(
            (ran.code, ran.out.as_str(), ran.err.as_str()),
            (Some(0), "", ""),
            "{ran}"
        );
    }
    let ran = sandbox.run("__complete");
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (Some(2), ""),
        "no verb: {ran}"
    );
    assert_eq!(sandbox.files(), Vec::<PathBuf>::new(), "it only reads");
}

#[test]
fn completions_are_written_or_it_is_told_how() {
    let sandbox = Sandbox::new();
    sandbox.file("rcluster.toml", "= nonsense");
    let ran = sandbox.fails("completions", 2);
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            ran.err
                .contains(&format!("rcluster completions {shell} > ")),
            "{ran}"
        );
        let document = sandbox.ok(&format!("completions {shell} --json")).json();
        assert_eq!(document["shell"], shell);
        let script = sandbox.ok(&format!("completions {shell}"));
        assert_eq!(document["script"], script.out.as_str(), "{shell}");
        assert_eq!(script.err, "", "{shell}");
    }
    assert!(
        sandbox
            .fails("completions ksh", 2)
            .err
            .contains("bash, zsh, fish")
    );
    assert_eq!(
        sandbox.fails("completions --json", 2).json_error()["code"],
        "usage"
    );
}
