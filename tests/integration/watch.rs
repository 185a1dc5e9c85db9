//! `watch`, in a real terminal: tmux, with a server of its own for each test.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::sandbox::{
    Sandbox, kill_and_wait, node_on, nodes, pid_on, ports, redis, signal, wait_for,
};

/// A shell in a terminal of its own. Dropping it ends tmux and all that runs in it.
struct Terminal<'a> {
    sandbox: &'a Sandbox,
}

impl<'a> Terminal<'a> {
    /// A terminal of that size, whose shell has run `setup`.
    fn new(sandbox: &'a Sandbox, width: u16, height: u16, setup: &str) -> Self {
        let mut shell = String::new();
        for (name, value) in sandbox.command(&[]).get_envs() {
            let name = name.to_str().expect("UTF-8");
            match value.and_then(|value| value.to_str()) {
                // That is tmux's to say.
                _ if name == "TERM" => {}
                Some(value) => writeln!(shell, "export {name}='{value}'").expect("a string"),
                None => writeln!(shell, "unset {name}").expect("a string"),
            }
        }
        let program = env!("CARGO_BIN_EXE_rcluster");
        write!(
            shell,
            "export LC_ALL=C.UTF-8 PS1='prompt> '\n{setup}\nrcluster() {{ '{program}' \"$@\"; }}\n"
        )
        .expect("a string");
        let profile = sandbox.file("profile", shell);
        let terminal = Self { sandbox };
        let size = [width.to_string(), height.to_string()];
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            &size[0],
            "-y",
            &size[1],
            &format!("ENV='{profile}' exec sh -i"),
        ]);
        terminal.wait_for("a prompt", is_at_prompt);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux")
            .arg("-S")
            .arg(self.sandbox.path().join("tmux"))
            .args(arguments)
            .current_dir("/")
            .env("LC_ALL", "C.UTF-8")
            // It starts what it is given by the user's shell, which may be any or none.
            .env("SHELL", "/bin/sh")
            .output()
            .expect("tmux runs; if it is not installed, install it as scripts/test does (Debian: apt-get install tmux)");
        assert!(output.status.success(), "tmux {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// What is on it.
    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    fn wait_for(&self, what: &str, test: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let began = Instant::now();
        wait_for(what, || {
            last = self.screen();
            assert!(
                began.elapsed() < Duration::from_secs(40),
                "in vain: {what}\n{last}"
            );
            test(&last).then_some(())
        });
        last
    }

    /// Presses keys, by tmux's names.
    fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// Runs a line in the shell.
    fn run(&self, line: &str) {
        self.press(&[line, "Enter"]);
    }

    /// Takes away what was said before.
    fn clear(&self) {
        self.run("clear");
        self.wait_for("a clear screen", |screen| screen.trim() == "prompt>");
    }

    /// What tmux knows of it.
    fn asked(&self, format: &str) -> String {
        let answer = self.tmux(&["display-message", "-p", format]);
        answer.trim_end().to_owned()
    }

    /// Writes the terminal's settings to a file, and reads it.
    fn settings(&self, name: &str) -> String {
        let path = self.sandbox.path().join(name);
        self.run(&format!(
            "stty -g > '{0}.new' && mv '{0}.new' '{0}'",
            path.display()
        ));
        let settings = wait_for("the terminal's settings", || fs::read_to_string(&path).ok());
        // What is typed next is to stand behind a prompt.
        self.wait_for("a prompt", is_at_prompt);
        settings
    }

    /// Watches with `line`, in which `end` ends it, with `code`; then the terminal is as it was.
    fn is_given_back(&self, line: &str, code: i32, end: impl Fn(&Self)) {
        self.clear();
        let before = self.settings("before");
        self.run(line);
        self.wait_for("the watch", |screen| screen.contains("events"));
        assert_eq!(self.asked("#{alternate_on} #{cursor_flag}"), "1 0");
        end(self);
        self.wait_for("a prompt", is_at_prompt);
        // A line of its own: a shell gives up a list of which one part was interrupted.
        self.run("echo \"code=$?\"");
        let screen = self.wait_for("its code", has_code);
        assert!(screen.contains(&format!("code={code}\n")), "{screen}");
        assert_eq!(self.asked("#{alternate_on} #{cursor_flag}"), "0 1");
        assert_eq!(self.settings("after"), before);
    }

    /// The PID of the program that the shell runs.
    fn child(&self) -> String {
        let shell = self.asked("#{pane_pid}");
        let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children"));
        let children = children.expect("a shell");
        let child = children.split_whitespace().next();
        child.expect("a child").to_owned()
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        Command::new("tmux")
            .arg("-S")
            .arg(self.sandbox.path().join("tmux"))
            .arg("kill-server")
            .status()
            .ok();
    }
}

/// Whether the shell waits for a line: what is typed before a watch has ended is read by it.
fn is_at_prompt(screen: &str) -> bool {
    screen.trim_end().ends_with("prompt>")
}

/// Whether an exit code was printed; that it is asked for says `code=$?`.
fn has_code(screen: &str) -> bool {
    let mut lines = screen.lines();
    lines.any(|line| {
        // A prompt may stand before it, where the line was typed too soon for the shell.
        let code = line.rsplit_once("code=").map(|(_, code)| code.trim());
        code.is_some_and(|code| code.parse::<u8>().is_ok())
    })
}

/// The line of the node on `port`.
fn line_of(screen: &str, port: u64) -> String {
    let port = port.to_string();
    let mut lines = screen.lines();
    let is_its = |line: &&str| line.trim_start_matches([' ', '>']).starts_with(&port);
    lines.find(is_its).unwrap_or_default().to_owned()
}

#[test]
fn shards_roles_a_failover_and_a_death_are_seen_and_q_gives_the_terminal_back() {
    let sandbox = Sandbox::new();
    let up = sandbox.up("");
    let all = ports(&up);
    let terminal = Terminal::new(&sandbox, 80, 24, "");
    terminal.is_given_back("rcluster watch", 0, |terminal| {
        let screen = terminal.wait_for("all nodes", |screen| {
            screen.contains("default: ok  6/6 nodes  16384/16384 slots")
        });
        assert_eq!(screen.lines().count(), 24, "{screen}");
        for shard in ["\n 1 █████", "\n 2 ·····", "\n 3 ·····"] {
            assert!(screen.contains(shard), "{shard:?}: {screen}");
        }
        assert_eq!(screen.matches(" primary ok ").count(), 3, "{screen}");
        assert_eq!(
            screen.matches(" replica ok       up ").count(),
            3,
            "{screen}"
        );

        let mut replicas = nodes(&up).iter().filter(|node| node["role"] == "replica");
        let replica = replicas.next_back().expect("a replica");
        let heir = replica["port"].as_u64().expect("a port");
        let was = nodes(&up)
            .iter()
            .find(|node| node["id"] == replica["replicates"]);
        let was = was.expect("its primary")["port"].as_u64().expect("a port");
        assert_eq!(redis(heir, &["CLUSTER", "FAILOVER"]), "OK");
        terminal.wait_for("the failover", |screen| {
            screen.contains(&format!("failover! {heir} is primary now, after {was}"))
                && line_of(screen, heir).contains("primary ok")
                && line_of(screen, was).contains("replica ok")
        });

        let victim = all.iter().find(|port| **port != heir && **port != was);
        let victim = *victim.expect("another one");
        let pid = pid_on(&up, victim);
        kill_and_wait(pid);
        terminal.wait_for("the death", |screen| {
            screen.contains(&format!("{victim} died (pid {pid})"))
                && line_of(screen, victim).contains("dead")
                && screen.contains("default: degraded  5/6 nodes")
        });

        // The end of the chosen node's log, and back.
        terminal.press(&["End", "l"]);
        terminal.wait_for("the log", |screen| {
            screen.contains(" log of ") && screen.contains("pid ") && screen.contains(" * ")
        });
        terminal.press(&["Escape"]);
        terminal.press(&["?"]);
        terminal.wait_for("help", |screen| {
            screen.contains(" help ") && screen.contains("lag ")
        });
        terminal.press(&["?"]);
        terminal.wait_for("the nodes", |screen| screen.contains("events"));
        terminal.press(&["q"]);
    });
    sandbox.gone("down --yes");
}

#[test]
fn signals_and_ctrl_c_give_the_terminal_back() {
    let sandbox = Sandbox::new();
    sandbox.up("--primaries 1 --replicas 0");
    let terminal = Terminal::new(&sandbox, 80, 24, "");
    for (name, code) in [("TERM", 143), ("HUP", 129), ("INT", 130)] {
        // In a shell of its own, so that it is the program and not its shell that is found.
        terminal.is_given_back("rcluster watch", code, |terminal| {
            signal(name, terminal.child());
        });
    }
    terminal.is_given_back("rcluster watch", 130, |terminal| terminal.press(&["C-c"]));
    terminal.is_given_back("rcluster watch", 0, |terminal| terminal.press(&["Escape"]));

    // Stopped and woken up again it goes on.
    terminal.clear();
    terminal.run("rcluster watch");
    terminal.wait_for("the watch", |screen| screen.contains("events"));
    terminal.press(&["C-z"]);
    terminal.wait_for("a prompt", is_at_prompt);
    assert_eq!(terminal.asked("#{alternate_on} #{cursor_flag}"), "0 1");
    terminal.run("fg");
    terminal.wait_for("the watch", |screen| {
        screen.contains("1/1 node ") && screen.contains("events")
    });
    terminal.press(&["q"]);
    terminal.wait_for("a prompt", is_at_prompt);
    drop(terminal);
    sandbox.gone("down --yes");
}

#[test]
fn a_panic_gives_the_terminal_back_before_it_is_told_of() {
    let sandbox = Sandbox::new();
    let terminal = Terminal::new(&sandbox, 80, 24, "");
    let tests = std::env::current_exe().expect("this program");
    let test = "watch::falls_over_while_the_terminal_is_taken";
    let before = terminal.settings("before");
    terminal.run(&format!(
        "clear; RUST_BACKTRACE=0 '{}' --ignored --nocapture --exact {test}; echo \"code=$?\"",
        tests.display()
    ));
    let screen = terminal.wait_for("its end", has_code);
    assert!(screen.contains("code=0\n"), "{screen}");
    assert!(screen.contains("as it was meant to"), "{screen}");
    assert_eq!(terminal.asked("#{alternate_on} #{cursor_flag}"), "0 1");
    assert_eq!(terminal.settings("after"), before);
}

/// The other half of the test above, in a process of its own. The release build ends with a panic
/// and drops nothing: nor does this.
#[test]
#[ignore = "run by another test, in a terminal"]
#[should_panic(expected = "as it was meant to")]
fn falls_over_while_the_terminal_is_taken() {
    let screen = rcluster::screen::Screen::open(true).expect("a terminal");
    std::mem::forget(screen);
    panic!("as it was meant to");
}

#[test]
fn nodes_that_hang_and_clusters_that_go_hold_up_nobody() {
    let sandbox = Sandbox::new();
    let up = sandbox.up("--primaries 3 --replicas 0");
    let all = ports(&up);
    let terminal = Terminal::new(&sandbox, 80, 24, "");
    terminal.run("rcluster watch --interval 500ms");
    terminal.wait_for("the watch", |screen| screen.contains("3/3 nodes"));
    signal("STOP", pid_on(&up, all[1]));
    let screen = terminal.wait_for("a hung node", |screen| {
        line_of(screen, all[1]).contains("hung     is stopped (SIGSTOP)")
    });
    assert!(
        line_of(&screen, all[0]).contains(" ok ") && line_of(&screen, all[2]).contains(" ok "),
        "{screen}"
    );
    signal("CONT", pid_on(&up, all[1]));
    terminal.wait_for("its return", |screen| {
        screen.contains(&format!("{} answers again", all[1])) && screen.contains("default: ok")
    });
    // Busy: it runs, and does not answer; afterwards it finds one question, not many. What keeps it
    // is a snapshot into a pipe, until somebody reads that.
    let port = all[0];
    let pipe = format!("temp-{}.rdb", pid_on(&up, port));
    let pipe = sandbox.node(port).join(pipe);
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo").success());
    let address = (Ipv4Addr::LOCALHOST, u16::try_from(port).expect("a port"));
    let mut client = TcpStream::connect(address).expect("a server listens");
    client.write_all(b"SAVE\r\n").expect("written");
    terminal.wait_for("a busy node", |screen| {
        line_of(screen, port).contains("hung     does not answer")
    });
    fs::read(&pipe).expect("a snapshot");
    terminal.wait_for("its return", |screen| {
        screen.contains(&format!("{port} answers again"))
    });

    kill_and_wait(pid_on(&up, all[2]));
    terminal.wait_for("a death", |screen| {
        line_of(screen, all[2]).contains("dead     does not run")
    });
    sandbox.ok("stop");
    // Which changes nothing about the one that had died.
    terminal.wait_for("the stop", |screen| {
        screen.contains("default: stopped  0/3 nodes  0/16384 slots")
            && line_of(screen, all[1]).contains("was stopped by rcluster")
            && line_of(screen, all[2]).contains("dead     does not run")
    });
    let up = sandbox.ok("start --json").json();
    terminal.wait_for("the start", |screen| {
        screen.contains("default: ok  3/3 nodes")
    });
    terminal.press(&["End"]);
    sandbox.ok("down --yes");
    terminal.wait_for("the end", |screen| {
        screen.contains("! the cluster was deleted; looking for it")
    });
    let again = sandbox.up("--primaries 1 --replicas 1");
    terminal.wait_for("another cluster", |screen| {
        screen.contains("default: ok  2/2 nodes  16384/16384 slots")
            && line_of(screen, ports(&again)[1]).contains("replica")
    });
    assert_ne!(
        node_on(&up, ports(&up)[0])["pid"],
        node_on(&again, ports(&again)[0])["pid"]
    );
    terminal.press(&["q"]);
    drop(terminal);
    sandbox.gone("down --yes");
}

#[test]
fn small_terminals_without_colours_and_in_ascii_are_served() {
    let sandbox = Sandbox::new();
    let up = sandbox.up("--generate-password");
    let terminal = Terminal::new(&sandbox, 80, 24, "export NO_COLOR=1 LC_ALL=C");
    terminal.run("rcluster watch");
    let screen = terminal.wait_for("the watch", |screen| {
        screen.contains("default: ok  6/6 nodes")
    });
    assert!(
        screen.is_ascii() && screen.contains("\n 1 ####"),
        "{screen}"
    );
    // That is how the colours of the palette are asked for.
    let with_colors = |screen: &str| screen.contains("\x1b[38;") || screen.contains("\x1b[48;");
    let escapes = || terminal.tmux(&["capture-pane", "-p", "-e"]);
    assert!(!with_colors(&escapes()), "{:?}", escapes());

    terminal.tmux(&["resize-window", "-x", "40", "-y", "10"]);
    // Until it is drawn anew, tmux shows what fits of the picture before.
    let screen = terminal.wait_for("a small picture", |screen| {
        let mut lines = screen.lines();
        lines.clone().count() == 10
            && lines
                .next_back()
                .is_some_and(|line| line.contains("q quit"))
            && [" P ok", " R ok", "lines 1-5 of 9"]
                .iter()
                .all(|words| screen.contains(words))
    });
    assert!(screen.lines().all(|line| line.len() <= 40), "{screen}");
    terminal.press(&["End"]);
    let last = ports(&up)[5];
    terminal.wait_for("the last node", |screen| {
        screen.contains("lines 5-9 of 9") && !line_of(screen, last).is_empty()
    });
    assert!(!with_colors(&escapes()), "{:?}", escapes());
    terminal.tmux(&["resize-window", "-x", "120", "-y", "40"]);
    terminal.wait_for("a large picture", |screen| {
        screen.lines().count() == 40 && screen.contains(" pid") && !line_of(screen, last).is_empty()
    });
    terminal.press(&["q"]);
    terminal.wait_for("a prompt", is_at_prompt);
    terminal.run("unset NO_COLOR; clear; rcluster watch");
    terminal.wait_for("the watch", |screen| {
        screen.contains("default: ok  6/6 nodes")
    });
    assert!(with_colors(&escapes()), "{:?}", escapes());
    terminal.press(&["q"]);
    drop(terminal);
    sandbox.gone("down --yes");
}

#[test]
fn where_nothing_can_be_watched_a_sentence_says_so() {
    let sandbox = Sandbox::new();
    // No terminal, JSON, an interval that makes no sense: whether there is a cluster or not.
    let refused = |line: &str, word: &str| {
        let ran = sandbox.fails(line, 2);
        assert_eq!(ran.out, "", "{ran}");
        assert!(ran.err.contains(word) && ran.err.contains("hint:"), "{ran}");
    };
    refused("watch", "rcluster status");
    refused("watch --interval 0s", "100ms");
    refused("watch --interval 2h", "1h");
    sandbox.fails("watch --interval 5", 2);
    let error = sandbox.fails("watch --json", 2).json_error();
    assert_eq!(error["code"], "usage");
    assert!(
        error["hint"]
            .as_str()
            .expect("a hint")
            .contains("status --json"),
        "{error}"
    );

    let terminal = Terminal::new(&sandbox, 80, 24, "");
    let says = |line: &str, code: i32, words: &[&str]| {
        terminal.clear();
        terminal.run(&format!("{line}; echo \"code=$?\""));
        let screen = terminal.wait_for("its code", has_code);
        assert!(screen.contains(&format!("code={code}\n")), "{screen}");
        assert!(screen.contains("hint: "), "{screen}");
        assert!(words.iter().all(|word| screen.contains(word)), "{screen}");
    };
    says("rcluster watch", 4, &["no cluster", "rcluster list"]);
    sandbox.up("--primaries 1 --replicas 0");
    says(
        "TERM=dumb rcluster watch",
        2,
        &["TERM is dumb", "rcluster status"],
    );
    says("TERM= rcluster watch", 2, &["TERM is not set"]);
    refused("watch", "rcluster status");
    sandbox.ok("stop");
    says("rcluster watch", 3, &["rcluster start"]);
    drop(terminal);
    sandbox.gone("down --yes");
}

#[test]
fn stopped_from_outside_it_gives_the_terminal_back_and_takes_it_again() {
    let sandbox = Sandbox::new();
    sandbox.up("--primaries 1 --replicas 0");
    let terminal = Terminal::new(&sandbox, 80, 24, "");
    for (name, is_asked) in [("TSTP", true), ("STOP", false)] {
        terminal.is_given_back("rcluster watch", 0, |terminal| {
            signal(name, terminal.child());
            if is_asked {
                terminal.wait_for("a prompt", is_at_prompt);
                assert_eq!(terminal.asked("#{alternate_on} #{cursor_flag}"), "0 1");
            } else {
                // Nobody asked: the shell's prompt stands in the picture.
                terminal.wait_for("a prompt", |screen| screen.contains("prompt>"));
            }
            // Such a shell leaves the terminal as it was left: Enter is no end of a line then.
            terminal.press(&["fg", if is_asked { "Enter" } else { "C-j" }]);
            terminal.wait_for("the watch", |screen| {
                screen.contains("1/1 node ") && !screen.contains("prompt>")
            });
            // It hears each key, and not only lines.
            terminal.press(&["?"]);
            terminal.wait_for("help", |screen| screen.contains(" help "));
            terminal.press(&["Escape"]);
            terminal.wait_for("the nodes", |screen| screen.contains("events"));
            terminal.press(&["q"]);
        });
    }
    drop(terminal);
    sandbox.gone("down --yes");
}

#[test]
fn what_others_forget_is_seen_and_a_terminal_without_a_size_is_drawn_on() {
    let sandbox = Sandbox::new();
    let up = sandbox.up("");
    let terminal = Terminal::new(&sandbox, 80, 24, "");
    terminal.run("stty rows 0 cols 0; rcluster watch");
    terminal.wait_for("the watch", |screen| {
        screen.contains("default: ok  6/6 nodes") && screen.contains(" q quit")
    });
    let replica = nodes(&up).iter().find(|node| node["role"] == "replica");
    let replica = replica.expect("a replica");
    let (port, id) = (&replica["port"], replica["id"].as_str().expect("an id"));
    for other in ports(&up).into_iter().filter(|other| port != other) {
        assert_eq!(redis(other, &["CLUSTER", "FORGET", id]), "OK");
    }
    let screen = terminal.wait_for("what they forgot", |screen| {
        screen.contains("default: degraded") && screen.contains(&format!("know {port}"))
    });
    assert!(screen.contains(" apart "), "{screen}");
    terminal.press(&["q"]);
    drop(terminal);
    sandbox.ok("down --yes");
}

/// `ssh -t HOST rcluster watch`: no shell is there that could ever wake it up.
#[test]
fn where_no_shell_waits_it_cannot_be_stopped() {
    let sandbox = Sandbox::new();
    sandbox.up("--primaries 1 --replicas 0");
    let terminal = Terminal::new(&sandbox, 80, 24, "");
    terminal.run(&format!("exec '{}' watch", env!("CARGO_BIN_EXE_rcluster")));
    terminal.wait_for("the watch", |screen| screen.contains("1/1 node "));
    terminal.press(&["C-z"]);
    terminal.press(&["?"]);
    terminal.wait_for("help", |screen| screen.contains(" help "));
    drop(terminal);
    sandbox.gone("down --yes");
}
