//! The library: a cluster for tests in Rust, gone however its holder ends.

use std::error::Error as _;
use std::fmt::Debug;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rcluster::{Cluster, ClusterBuilder, Environment, Error, Node, Role, Status, Tls, blocking};

use crate::sandbox::{Running, Sandbox, redis, wait_for};

/// The directory for the clusters of a test.
fn tmp(sandbox: &Sandbox) -> PathBuf {
    let dir = sandbox.path().join("tmp");
    fs::create_dir_all(&dir).expect("made");
    dir
}

/// A cluster of one node in `dir`, to be changed.
fn small(dir: &Path) -> ClusterBuilder {
    let builder = Cluster::builder().primaries(1).replicas(0).directory(dir);
    match std::env::var("RCLUSTER_TEST_SERVER") {
        Ok(server) => builder.server(server),
        Err(_) => builder,
    }
}

fn assert_nothing_left(sandbox: &Sandbox, when: impl Debug) {
    assert_eq!(sandbox.survivors().len(), 0, "{when:?}");
    let left = fs::read_dir(tmp(sandbox)).expect("listed");
    assert_eq!(left.count(), 0, "{when:?}");
}

fn current_thread() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.build().expect("a runtime")
}

fn many_threads() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).build().expect("a runtime")
}

/// Polls `work` to its end with nothing but the standard library.
fn by_hand<T>(work: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut work = std::pin::pin!(work);
    loop {
        let mut context = std::task::Context::from_waker(&waker);
        if let std::task::Poll::Ready(done) = work.as_mut().poll(&mut context) {
            return done;
        }
        std::thread::park();
    }
}

#[test]
fn what_is_held_can_be_sent_shared_and_printed() {
    fn is_fit<T: Send + Sync + Debug + 'static>() {}
    fn can_be_sent(_: &(impl Send + 'static)) {}
    is_fit::<Cluster>();
    is_fit::<blocking::Cluster>();
    is_fit::<ClusterBuilder>();
    is_fit::<Environment>();
    is_fit::<Error>();
    is_fit::<Node>();
    is_fit::<Status>();
    is_fit::<Tls>();
    can_be_sent(&Cluster::builder().start());
}

#[test]
fn what_was_asked_for_is_there_and_no_secret_is_printed() {
    let sandbox = Sandbox::new();
    let events = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&events);
    let builder = small(&tmp(&sandbox))
        .primaries(3)
        .replicas(1)
        .password("hunter2@:/")
        .set("maxmemory", "64mb")
        .set_for("replica", "maxmemory", "32mb")
        .node_timeout(Duration::from_millis(1500))
        .on_event(move |event| sink.lock().expect("a list").push(format!("{event:?}")));
    assert!(!format!("{builder:?}").contains("hunter2"), "{builder:?}");
    let cluster = builder.start_blocking().expect("started");

    assert_eq!(cluster.addresses().len(), 6);
    assert_eq!(cluster.password(), Some("hunter2@:/"));
    let urls: Vec<&str> = cluster.urls().collect();
    let at = cluster.addresses()[0];
    assert_eq!(
        cluster.url(),
        format!("redis://default:hunter2%40%3A%2F@{at}")
    );
    assert_eq!((urls.len(), urls[0]), (6, cluster.url()));
    assert!(cluster.tls().is_none());
    let environment = cluster.environment();
    assert_eq!(environment.get("REDIS_URL"), Some(cluster.url()));
    assert_eq!(environment.get("REDIS_PASSWORD"), cluster.password());
    assert_eq!(
        environment.iter().count(),
        environment.clone().into_iter().count()
    );
    let kind = cluster.server();
    assert!(
        kind.starts_with("redis ") || kind.starts_with("valkey "),
        "{kind}"
    );
    let printed = format!("{cluster:?} {environment:?}");
    assert!(
        printed.contains("3 primaries and 3 replicas of "),
        "{printed}"
    );
    assert!(printed.contains("REDIS_PASSWORD"), "{printed}");
    assert!(!printed.contains("hunter2"), "{printed}");

    let status = cluster.status().expect("seen");
    assert!(status.is_ready(), "{status:?}");
    assert_eq!(status.problems().count(), 0);
    let nodes = status.nodes();
    let ports: Vec<_> = nodes.iter().map(Node::address).collect();
    assert_eq!(ports, cluster.addresses());
    let slots = nodes.iter().flat_map(Node::slots).map(|range| range.len());
    assert_eq!(slots.sum::<usize>(), 16384);
    let owner = status.primary_of_key("wat").expect("an owner");
    assert!(owner.owns("{wat}:x") && owner.slots().any(|range| range.contains(&7056)));
    assert_eq!(status.replicas_of(owner).count(), 1);
    for (node, url) in nodes.iter().zip(urls) {
        assert_eq!(node.id().len(), 40, "{node:?}");
        let pid = node.pid().expect("it runs").to_string();
        let client = ::redis::Client::open(url).expect("a URL");
        let mut connection = client.get_connection().expect("let in");
        let mut ask = |words: &[&str]| -> String {
            let mut command = ::redis::cmd(words[0]);
            command.arg(&words[1..]);
            let answer: ::redis::Value = command.query(&mut connection).expect("an answer");
            match answer {
                ::redis::Value::BulkString(text) => String::from_utf8(text).expect("UTF-8"),
                other => format!("{other:?}"),
            }
        };
        let answers = ask(&["info", "server"]);
        let who = format!("process_id:{pid}");
        assert!(
            answers.lines().any(|line| line.trim_end() == who),
            "{answers}"
        );
        let is_primary = node.role() == Some(Role::Primary);
        let wanted = if is_primary { "67108864" } else { "33554432" };
        assert!(
            ask(&["config", "get", "maxmemory"]).contains(wanted),
            "{node:?}"
        );
        assert!(ask(&["config", "get", "cluster-node-timeout"]).contains("1500"));
        assert!(
            fs::read_to_string(node.log())
                .expect("a log")
                .contains("Ready to accept")
        );
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).expect("it runs");
        assert!(!command.contains("hunter2"), "{command}");
    }
    let events = events.lock().expect("a list").join("\n");
    assert!(events.contains("Starting {"), "{events}");
    assert!(!events.contains("hunter2"), "{events}");
    cluster.stop().expect("stopped");
    assert_nothing_left(&sandbox, "stop");
}

#[test]
fn clusters_of_one_builder_do_not_collide() {
    let sandbox = Sandbox::new();
    let builder = small(&tmp(&sandbox)).primaries(3);
    let threads: Vec<_> = (0..8)
        .map(|_| builder.clone())
        .map(|builder| std::thread::spawn(move || builder.start_blocking()))
        .collect();
    let clusters: Vec<_> = threads
        .into_iter()
        .map(|thread| thread.join().expect("no panic").expect("started"))
        .collect();
    let mut ports: Vec<_> = clusters
        .iter()
        .flat_map(blocking::Cluster::addresses)
        .collect();
    ports.sort();
    ports.dedup();
    assert_eq!(ports.len(), 24);
    for cluster in &clusters {
        assert!(cluster.status().expect("seen").is_ready());
    }
    // What belongs to one is none of another's business.
    let stranger = &clusters[1].nodes().expect("seen")[0];
    let error = clusters[0].kill(stranger).expect_err("refused");
    assert_eq!(error.code(), "usage");
    assert!(clusters[1].status().expect("seen").is_ready());
    drop(clusters);
    assert_nothing_left(&sandbox, "drop");
}

#[test]
fn a_port_can_be_chosen_and_one_that_is_taken_is_told() {
    let sandbox = Sandbox::new();
    let builder = small(&tmp(&sandbox));
    let port = crate::sandbox::free_ports(1);
    let cluster = builder
        .clone()
        .port(port)
        .start_blocking()
        .expect("started");
    assert_eq!(cluster.addresses()[0].port(), port);
    let error = builder.port(port).start_blocking().expect_err("taken");
    assert_eq!(error.code(), "port_in_use");
    assert!(
        error
            .problems()
            .any(|(node, why)| { node.ends_with(&port.to_string()) && why.contains("held by") })
    );
    assert!(error.to_string().contains(&port.to_string()), "{error}");
    assert!(error.hint().expect("a hint").contains("another port()"));
    drop(cluster);
    assert_nothing_left(&sandbox, "drop");
}

#[test]
fn a_start_that_fails_says_why_and_leaves_nothing() {
    let sandbox = Sandbox::new();
    let dir = tmp(&sandbox);
    let none = dir.join("none");
    let new = || small(&dir);
    for (builder, code, said) in [
        (new().primaries(0), "usage", "primary"),
        (new().password(""), "usage", "empty password"),
        (new().set("max=memory", "1"), "usage", "no directive"),
        (new().set("port", "1"), "usage", "port"),
        (
            new().set_for("leader", "maxmemory", "1mb"),
            "usage",
            "expected",
        ),
        (new().node_timeout(Duration::ZERO), "usage", "out of range"),
        (new().require_client_certificates(), "usage", "TLS"),
        (
            new().server("/nonexistent/server"),
            "environment",
            "no program",
        ),
        (
            new().set("maxmemory", "nonsense"),
            "node_died",
            "did not stay up",
        ),
        (new().directory(none), "io", "temporary directory"),
        (
            new()
                .primaries(3)
                .replicas(1)
                .timeout(Duration::from_millis(1)),
            "timed_out",
            "timed out",
        ),
    ] {
        let error = builder.start_blocking().expect_err(code);
        assert_eq!(error.code(), code, "{error:?}");
        assert!(error.to_string().contains(said), "{error}");
        let debug = format!("{error:?}");
        // Nothing is kept, and nobody can pass an option here.
        for wrong in ["kept", " --"] {
            assert!(!debug.contains(wrong), "{debug}");
        }
        assert!(debug.starts_with(&error.to_string()), "{debug}");
        assert!(!debug.contains("{rcluster}"), "{debug}");
        match code {
            "node_died" => assert!(debug.contains("logged: "), "{debug}"),
            "io" => assert!(
                error.source().is_some() && debug.contains("because: "),
                "{debug}"
            ),
            "environment" | "usage" => assert!(debug.contains("hint: "), "{debug}"),
            _ => {}
        }
        assert_nothing_left(&sandbox, &error);
    }
}

#[test]
fn dropped_anywhere_nothing_is_left() {
    let sandbox = Sandbox::new();
    let dir = tmp(&sandbox);
    let port_of = |cluster: &Cluster| cluster.addresses()[0];
    let gone = |at| {
        assert_nothing_left(&sandbox, at);
        assert!(TcpStream::connect(at).is_err(), "{at}");
    };

    // Inside of a runtime, of either kind; without clock and I/O.
    for runtime in [current_thread(), many_threads()] {
        let at = runtime.block_on(async {
            let cluster = small(&dir).start().await.expect("started");
            port_of(&cluster)
        });
        gone(at);
    }
    // Outside of the one that it was started in, after its end.
    let runtime = current_thread();
    let cluster = runtime.block_on(small(&dir).start()).expect("started");
    drop(runtime);
    let at = port_of(&cluster);
    drop(cluster);
    gone(at);
    // By a runtime that shuts down with the task that holds it.
    let runtime = many_threads();
    let cluster = runtime.block_on(small(&dir).start()).expect("started");
    let at = port_of(&cluster);
    runtime.spawn(async move {
        std::future::pending::<()>().await;
        drop(cluster);
    });
    drop(runtime);
    gone(at);
    // In a panic, and then while asynchronous work is dropped.
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        current_thread().block_on(async {
            let _cluster = small(&dir).start().await.expect("started");
            std::panic::resume_unwind(Box::new("on purpose"));
        });
    }));
    assert!(panicked.is_err());
    assert_nothing_left(&sandbox, "panic");
}

#[test]
fn a_start_that_is_dropped_leaves_nothing_whenever() {
    let sandbox = Sandbox::new();
    let dir = tmp(&sandbox);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let runtime = runtime.expect("a runtime");
    for millis in [0, 5, 15, 25, 35, 50, 70, 100] {
        runtime.block_on(async {
            let start = small(&dir).primaries(3).start();
            tokio::time::timeout(Duration::from_millis(millis), start)
                .await
                .ok();
        });
        // The thread that was at work clears away.
        wait_for("nothing to be left", || {
            let files = fs::read_dir(&dir).expect("listed").count();
            (files == 0 && sandbox.survivors().is_empty()).then_some(())
        });
    }
}

#[test]
fn the_clock_and_the_kind_of_the_callers_runtime_do_not_matter() {
    let sandbox = Sandbox::new();
    let dir = tmp(&sandbox);
    // A paused clock jumps to the next deadline whenever nothing else is to be done.
    let mut paused = tokio::runtime::Builder::new_current_thread();
    let paused = paused
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    paused.block_on(async {
        let cluster = small(&dir).start().await.expect("started");
        assert!(cluster.wait_ready().await.expect("ready").is_ready());
        cluster.stop().await.expect("stopped");
    });
    // No runtime at all.
    let cluster = by_hand(small(&dir).start()).expect("started");
    by_hand(cluster.stop()).expect("stopped");
    let cluster = small(&dir).start_blocking().expect("started");
    // Blocking, inside of one.
    current_thread().block_on(async {
        assert!(cluster.status().expect("seen").is_ready());
        let other = small(&dir).start_blocking().expect("started");
        other.stop().expect("stopped");
        drop(cluster);
    });
    assert_nothing_left(&sandbox, "drop");
}

#[test]
fn a_killed_primary_is_replaced_and_comes_back() {
    let sandbox = Sandbox::new();
    let cluster = small(&tmp(&sandbox))
        .primaries(3)
        .replicas(1)
        // Time to look at it before its replica is elected.
        .node_timeout(Duration::from_secs(5))
        .set("repl-diskless-sync-delay", "0")
        .start_blocking()
        .expect("started");
    let before = cluster.status().expect("seen");
    let old = before.primary_of_key("wat").expect("an owner");
    let replica = before.replicas_of(old).next().expect("a replica");
    cluster.wait_serving().expect("served already");
    cluster.kill(old).expect("killed");
    cluster.kill(old).expect("nothing to do");
    let status = cluster.status().expect("seen");
    assert!(!status.is_ready() && status.problems().count() > 0);
    let dead = &status.nodes()[old.index() - 1];
    assert_eq!((dead.pid(), dead.role(), dead.id()), (None, None, old.id()));
    // It would come back empty, and its replica would copy that.
    let error = cluster.start_nodes().expect_err("too early");
    assert_eq!(error.code(), "unsafe", "{error:?}");
    assert_eq!(cluster.failover(old).expect_err("dead").code(), "conflict");

    cluster.wait_serving().expect("replaced");
    // A node that is slow to answer is seen without a role at that look, and nothing else.
    let status = wait_for("an owner that answers", || {
        let status = cluster.status().expect("seen");
        status.primary_of_key("wat").is_some().then_some(status)
    });
    let new = status.primary_of_key("wat").expect("an owner");
    assert_eq!(new.id(), replica.id());
    assert_eq!(
        cluster.failover(new).expect_err("a primary").code(),
        "usage"
    );
    cluster.start_nodes().expect("started");
    let status = cluster.wait_ready().expect("ready");
    let back = &status.nodes()[old.index() - 1];
    assert!(back.is_replica_of(new), "{back:?}");
    assert_ne!(back.pid(), old.pid());

    cluster.failover(back).expect("taken over");
    // Everybody knows at once.
    let line = format!("{} ", old.id());
    for node in cluster.nodes().expect("seen") {
        let nodes = redis(node.address().port().into(), &["cluster", "nodes"]);
        let line = nodes.lines().find(|other| other.starts_with(&line));
        let line = line.expect("a line");
        assert!(
            line.contains("master") && line.contains("5461-10922"),
            "{line}"
        );
    }
    let status = cluster.wait_ready().expect("ready");
    let owner = status.primary_of_key("wat").expect("an owner");
    assert_eq!(owner.id(), old.id());
    drop(cluster);
    assert_nothing_left(&sandbox, "drop");
}

#[test]
fn what_does_not_come_is_told_when_the_time_is_over() {
    let sandbox = Sandbox::new();
    // Each takes all the time that there is for anything, a start included; together, they take
    // it once.
    std::thread::scope(|scope| {
        for dead in [1, 3] {
            let dir = tmp(&sandbox);
            scope.spawn(move || waits_in_vain(&dir, dead));
        }
    });
    assert_nothing_left(&sandbox, "stop");
}

/// Waits for a cluster of three primaries of which `dead` are killed. Nobody can take their place.
fn waits_in_vain(dir: &Path, dead: usize) {
    let cluster = small(dir)
        .primaries(3)
        .timeout(Duration::from_secs(10))
        .start_blocking()
        .expect("started");
    for node in &cluster.nodes().expect("seen")[..dead] {
        cluster.kill(node).expect("killed");
    }
    let began = Instant::now();
    let error = cluster.wait_serving().expect_err("in vain");
    assert_eq!(error.code(), "timed_out");
    assert!(error.problems().count() > 0, "{error:?}");
    // Not less; nor the 60 s that nobody asked for.
    assert!(
        (10..40).contains(&began.elapsed().as_secs()),
        "{:?}",
        began.elapsed()
    );
    if dead == 3 {
        cluster.start_nodes().expect("all of them anew");
        assert!(cluster.status().expect("seen").is_ready());
    }
    cluster.stop().expect("stopped");
}

/// Does in a process of its own what the environment says; for the tests below.
#[test]
#[ignore = "run by other tests"]
fn child() {
    let dir = PathBuf::from(std::env::var_os("LIBRARY_DIR").expect("a directory"));
    let how = std::env::var("LIBRARY_HOW").expect("a word");
    // The umask; which signals are ignored, and caught.
    let settings = || -> Vec<String> {
        let status = fs::read_to_string("/proc/self/status").expect("/proc");
        let names = ["Umask:", "SigIgn:", "SigCgt:"];
        let is_one = |line: &&str| names.iter().any(|name| line.starts_with(name));
        status.lines().filter(is_one).map(str::to_owned).collect()
    };
    let before = settings();
    assert_eq!(before.len(), 3, "{before:?}");
    assert!(before[0].ends_with("0000"), "{before:?}");
    let cluster = small(&dir)
        .primaries(3)
        .generate_password()
        .start_blocking();
    let cluster = cluster.expect("started");
    assert_eq!(settings(), before);
    let at = cluster.addresses()[0].to_string();
    if how == "drop" {
        drop(cluster);
        // No zombie, and no shell.
        let tasks = fs::read_dir("/proc/self/task").expect("/proc").flatten();
        // A thread that just ends may be listed.
        let children = tasks.flat_map(|task| fs::read_to_string(task.path().join("children")));
        let children: Vec<String> = children.collect();
        assert!(!children.is_empty(), "the kernel does not tell");
        let children = children.concat();
        assert_eq!(children, "", "children were left");
        return;
    }
    fs::write(dir.with_file_name("ready"), at).expect("written");
    match how.as_str() {
        "exit" => std::process::exit(3),
        "abort" => std::process::abort(),
        "forget" => std::mem::forget(cluster),
        _ => loop {
            std::thread::park();
        },
    }
}

/// The test above in a process of its own, with a umask that lets everybody do everything.
fn child_of(sandbox: &Sandbox, how: &str) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", "umask 0; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().expect("a program"))
        .args(["--exact", "library::child", "--ignored", "--nocapture"])
        .env("LIBRARY_DIR", tmp(sandbox))
        .env("LIBRARY_HOW", how)
        .stdin(Stdio::null());
    command
}

#[test]
fn a_process_that_does_not_drop_its_cluster_leaves_nothing() {
    for how in ["exit", "abort", "forget", "kill"] {
        let sandbox = Sandbox::new();
        let dir = tmp(&sandbox);
        let mut child = Running::of(child_of(&sandbox, how), how);
        let ready = dir.with_file_name("ready");
        let at = wait_for("the cluster", || {
            fs::read_to_string(&ready)
                .ok()
                .filter(|text| !text.is_empty())
        });
        if how == "kill" {
            assert_eq!(sandbox.survivors().len(), 3);
            assert!(child.is_running());
            assert!(child.kill_after(Duration::ZERO), "it ended by itself");
        } else {
            let ran = child.end();
            let code = match how {
                "exit" => Some(3),
                "forget" => Some(0),
                _ => None,
            };
            assert_eq!(ran.code, code, "{ran}");
        }
        sandbox.is_soon_empty(how);
        // The last of a server's threads may hold its port when nothing else is left of it.
        wait_for("the port to be free", || TcpStream::connect(&*at).err());
        // Which waits until nothing is left of the servers' group: for some, until init reaps.
        wait_for("the directory to be gone", || {
            (fs::read_dir(&dir).expect("listed").count() == 0).then_some(())
        });
    }
}

#[test]
fn the_process_is_left_as_it_is_and_what_is_written_is_private() {
    let sandbox = Sandbox::new();
    let ran = Running::of(child_of(&sandbox, "drop"), "drop").end();
    assert_eq!(ran.code, Some(0), "{ran}");
    // The test harness speaks, and nobody else.
    let own = |line: &&str| {
        !line.is_empty() && !line.starts_with("running ") && !line.starts_with("test ")
    };
    assert_eq!(
        ran.out.lines().filter(own).collect::<Vec<_>>(),
        Vec::<&str>::new(),
        "{ran}"
    );
    assert_eq!(ran.err, "", "{ran}");
    let mut child = Running::of(child_of(&sandbox, "stay"), "stay");
    wait_for("the cluster", || {
        sandbox.path().join("ready").exists().then_some(())
    });
    assert!(child.is_running());
    let homes: Vec<_> = fs::read_dir(tmp(&sandbox))
        .expect("listed")
        .flatten()
        .collect();
    assert_eq!(homes.len(), 1);
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o7777;
    assert_eq!(mode(&homes[0].path()), 0o700);
    let password = homes[0].path().join("default/secrets/password");
    assert_eq!(mode(&password) & 0o077, 0, "{:o}", mode(&password));
    drop(child);
    wait_for("nothing to be left", || {
        (fs::read_dir(tmp(&sandbox)).expect("listed").count() == 0).then_some(())
    });
}

#[test]
fn the_readme_shows_what_the_doc_tests_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| fs::read_to_string(root.join(name)).expect(name);
    let (readme, tested) = (read("README.md"), read("src/lib.rs"));
    let (_, block) = readme.split_once("```rust\n").expect("a block");
    let (block, _) = block.split_once("\n```").expect("its end");
    for line in block.lines() {
        assert!(tested.contains(&format!("//! {line}\n")), "{line}");
    }
}
