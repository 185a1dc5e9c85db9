//! The rules of `src/rooms.rs`, held: who may import whom, which outside crate has which door, and
//! what is said and waited for only in one place.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each room and those below it that it may import. Of the rooms in the second list it may only
/// name types: what it asks for or shows, never what is done.
const ROOMS: &[(&str, &[&str], &[&str])] = &[
    (
        "commands",
        &[
            "cli", "report", "screen", "ops", "client", "server", "settings", "store", "sys",
            "plan", "cluster", "error", "event",
        ],
        &[],
    ),
    (
        "cli",
        &["settings", "cluster", "error"],
        &["ops", "plan", "store"],
    ),
    (
        "report",
        &["settings", "plan", "cluster", "error", "event"],
        &["ops"],
    ),
    ("screen", &["plan", "cluster"], &[]),
    (
        "fixture",
        &["ops", "plan", "store", "cluster", "error", "event"],
        &[],
    ),
    (
        "ops",
        &[
            "client", "server", "store", "sys", "plan", "cluster", "error", "event",
        ],
        &[],
    ),
    ("client", &["sys", "plan", "cluster", "error"], &[]),
    ("server", &["sys", "plan", "cluster", "error"], &[]),
    ("settings", &["sys", "cluster", "error"], &[]),
    ("store", &["sys", "plan", "cluster", "error"], &[]),
    ("sys", &["plan", "cluster", "error"], &[]),
    ("plan", &["cluster", "error"], &[]),
    ("cluster", &[], &[]),
    ("error", &[], &[]),
    ("event", &[], &[]),
    // No code: the doc for those who change all this.
    ("rooms", &[], &[]),
];

/// Each dependency and the rooms that are its door; all rooms where it says `None`.
const DOORS: &[(&str, Option<&[&str]>)] = &[
    ("clap", Some(&["cli"])),
    ("clap_mangen", Some(&["cli"])),
    ("futures_util", None),
    ("humantime", None),
    ("indicatif", Some(&["report"])),
    ("nix", Some(&["sys"])),
    ("ratatui", Some(&["screen"])),
    ("rcgen", Some(&["server"])),
    ("redis", Some(&["client"])),
    ("rustix", Some(&["sys"])),
    ("rustyline", Some(&["report"])),
    ("rustls", Some(&["client"])),
    ("secrecy", None),
    ("serde", None),
    ("serde_json", Some(&["store", "report"])),
    ("time", Some(&["server", "sys"])),
    ("signal_hook", Some(&["sys"])),
    ("tempfile", Some(&["ops"])),
    ("sha2", Some(&["server"])),
    ("tokio", None),
    ("toml", Some(&["settings"])),
    ("which", Some(&["server"])),
];

/// One file of `src/`: its code without comments, literals and tests.
struct Source {
    path: String,
    room: String,
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut open = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("src is there") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let inner: PathBuf = path.strip_prefix(&root).expect("below src").to_owned();
            let first = inner
                .iter()
                .next()
                .and_then(|first| first.to_str())
                .expect("UTF-8");
            // Tests that outgrew the file of what they test.
            if inner.file_name().is_some_and(|name| name == "tests.rs") {
                continue;
            }
            let text = fs::read_to_string(&path).expect("readable");
            found.push(Source {
                path: inner.display().to_string(),
                room: first.trim_end_matches(".rs").to_owned(),
                code: without_tests(&code_of(&text)),
            });
        }
    }
    assert!(found.len() > 40, "src was not read: {}", found.len());
    found
}

/// Source text without comments, and with empty literals.
fn code_of(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let taken = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if let Some(length) = raw_string(rest).filter(|_| !code.ends_with(is_word)) {
            code.push_str("\"\"");
            length
        } else if c == '"' {
            code.push_str("\"\"");
            1 + end_of_literal(&rest[1..], '"')
        } else if c == '\'' && is_char(rest) {
            code.push_str("' '");
            1 + end_of_literal(&rest[1..], '\'')
        } else {
            code.push(c);
            c.len_utf8()
        };
        rest = &rest[taken..];
    }
    code
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of the raw string that `text` begins with.
fn raw_string(text: &str) -> Option<usize> {
    let prefix = if text.starts_with("br") { 2 } else { 1 };
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(prefix + hashes + 1 + body.find(&end)? + end.len())
}

/// Whether the quote that `text` begins with opens a character, not a lifetime.
fn is_char(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    match (chars.next(), chars.next()) {
        (Some('\\'), _) => true,
        (Some(_), Some(end)) => end == '\'',
        _ => false,
    }
}

/// The bytes up to and with the closing `quote`.
fn end_of_literal(text: &str, quote: char) -> usize {
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if c == quote {
            return at + 1;
        }
    }
    text.len()
}

/// Code without the items below `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut kept = String::new();
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        kept.push_str(&rest[..at]);
        let item = &rest[at..];
        let mut depth = 0_usize;
        let end = item.char_indices().find_map(|(at, c)| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            (depth == 0 && matches!(c, '}' | ';')).then_some(at + 1)
        });
        rest = &item[end.unwrap_or(item.len())..];
    }
    kept + rest
}

/// Where `word` stands alone in `code`; what is before it and after it.
fn occurrences<'a>(code: &'a str, word: &str) -> Vec<(&'a str, &'a str)> {
    code.match_indices(word)
        .map(|(at, _)| (&code[..at], &code[at + word.len()..]))
        .filter(|(before, after)| !before.ends_with(is_word) && !after.starts_with(is_word))
        .collect()
}

/// Every path that begins with `crate::`, groups spelled out: `["ops", "StartWish"]`.
fn imports(code: &str) -> Vec<Vec<String>> {
    occurrences(code, "crate")
        .into_iter()
        .filter_map(|(_, after)| after.trim_start().strip_prefix("::"))
        .flat_map(|tree| paths(tree).0)
        .collect()
}

/// The paths of the use tree that `text` begins with, and what follows it.
fn paths(text: &str) -> (Vec<Vec<String>>, &str) {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        let mut all = Vec::new();
        loop {
            rest = rest.trim_start_matches([',', ' ', '\n', '\t']);
            if let Some(after) = rest.strip_prefix('}') {
                return (all, after);
            }
            let (found, after) = paths(rest);
            assert!(after.len() < rest.len(), "a use tree: {rest:.60}");
            all.extend(found);
            rest = after;
        }
    }
    if let Some(rest) = text.strip_prefix('*') {
        return (vec![vec!["*".to_owned()]], rest);
    }
    let end = text.find(|c| !is_word(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let own = vec![vec![name.to_owned()]];
    if let Some(inner) = rest
        .strip_prefix("::")
        .filter(|inner| !inner.starts_with('<'))
    {
        let (found, rest) = paths(inner);
        let deeper = found
            .into_iter()
            .map(|path| [vec![name.to_owned()], path].concat());
        return (deeper.collect(), rest);
    }
    let rest = match rest.trim_start().strip_prefix("as ") {
        Some(alias) => alias.trim_start().trim_start_matches(is_word),
        None => rest,
    };
    (own, rest)
}

/// Holds `rule` against every file but `lib.rs` and `main.rs`; it returns what breaks it.
fn hold(what: &str, rule: impl Fn(&Source) -> Vec<String>) {
    let broken: Vec<String> = sources()
        .iter()
        .filter(|source| !matches!(source.path.as_str(), "lib.rs" | "main.rs"))
        .flat_map(|source| {
            let found = rule(source);
            found
                .into_iter()
                .map(|problem| format!("src/{}: {problem}", source.path))
        })
        .collect();
    assert!(broken.is_empty(), "{what}:\n{}", broken.join("\n"));
}

fn uses_crate(code: &str, name: &str) -> bool {
    occurrences(code, name).into_iter().any(|(before, after)| {
        let before = before.trim_end();
        let is_root = !before.ends_with("::") || before.ends_with("(::");
        let after = after.trim_start();
        let imported = before.ends_with("use") && after.starts_with([';', ' ', 'a']);
        is_root && (after.starts_with("::") || imported)
    })
}

#[test]
fn every_room_is_in_the_plan() {
    let known: BTreeSet<&str> = ROOMS.iter().map(|(room, ..)| *room).collect();
    let rooms: BTreeSet<String> = sources().into_iter().map(|source| source.room).collect();
    let rooms: BTreeSet<&str> = rooms
        .iter()
        .map(String::as_str)
        .filter(|room| !matches!(*room, "lib" | "main"))
        .collect();
    assert_eq!(rooms, known, "say here who may import whom");
}

#[test]
fn imports_point_down_and_never_sideways() {
    let rooms: BTreeMap<&str, (&[&str], &[&str])> = ROOMS
        .iter()
        .map(|(room, all, types)| (*room, (*all, *types)))
        .collect();
    hold("imports that do not point down", |source| {
        let (all, types) = rooms[source.room.as_str()];
        let allowed = |path: &[String]| {
            let Some(room) = path.first().map(String::as_str) else {
                return false;
            };
            let is_type = path
                .get(1)
                .is_some_and(|name| name.starts_with(char::is_uppercase));
            room == source.room || all.contains(&room) || (types.contains(&room) && is_type)
        };
        let imports = imports(&source.code);
        let wrong = imports.iter().filter(|path| !allowed(path));
        let mut wrong: Vec<String> = wrong
            .map(|path| format!("crate::{}", path.join("::")))
            .collect();
        // The other ways out of a room: from its door by `super::`, from inside by two of them.
        let is_door = source.path.ends_with("/mod.rs") || !source.path.contains('/');
        if is_door && source.code.contains("super::") || source.code.contains("super::super::super")
        {
            wrong.push("super:: leaves the room; write crate::".to_owned());
        }
        wrong
    });
}

#[test]
fn every_outside_crate_has_one_door() {
    hold("crates that are used beside their door", |source| {
        let closed = DOORS
            .iter()
            .filter(|(_, rooms)| rooms.is_some_and(|rooms| !rooms.contains(&source.room.as_str())));
        closed
            .filter(|(name, _)| uses_crate(&source.code, name))
            .map(|(name, rooms)| format!("{name}, whose door is {rooms:?}"))
            .collect()
    });
}

#[test]
fn every_dependency_has_its_place() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let manifest = fs::read_to_string(manifest).expect("Cargo.toml");
    let (_, after) = manifest
        .split_once("\n[dependencies]\n")
        .expect("dependencies");
    let dependencies: BTreeSet<String> = after
        .lines()
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| Some(line.split_once('=')?.0.trim().replace('-', "_")))
        .collect();
    let known: BTreeSet<String> = DOORS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(dependencies, known, "say here which rooms may know it");
}

#[test]
fn only_one_file_sleeps() {
    hold("sleeping outside ops/wait.rs", |source| {
        let words = ["sleep", "sleep_until", "park_timeout"].into_iter();
        words
            .filter(|word| {
                source.path != "ops/wait.rs" && !occurrences(&source.code, word).is_empty()
            })
            .map(str::to_owned)
            .collect()
    });
}

#[test]
fn only_report_writes_and_nothing_is_left_to_do() {
    hold("macros that have no place here", |source| {
        let never = ["todo!", "unimplemented!", "dbg!"].into_iter();
        let writing = ["print!", "println!", "eprint!", "eprintln!"].into_iter();
        never
            .chain(writing.filter(|_| source.room != "report"))
            .filter(|name| {
                let word = name.trim_end_matches('!');
                occurrences(&source.code, word)
                    .iter()
                    .any(|(_, after)| after.starts_with('!'))
            })
            .map(str::to_owned)
            .collect()
    });
    hold(
        "writing to standard streams outside report and screen",
        |source| {
            let streams = ["stdout", "stderr"].into_iter();
            let writes = |stream: &&str| {
                let uses = occurrences(&source.code, stream);
                // Asking what kind of thing a stream is writes nothing.
                let writing =
                    |after: &str| after.starts_with("()") && !after.starts_with("().is_terminal()");
                let may_write = matches!(source.room.as_str(), "report" | "screen");
                !may_write && uses.iter().any(|(_, after)| writing(after))
            };
            streams.filter(writes).map(str::to_owned).collect()
        },
    );
}

#[test]
fn the_pure_rooms_ask_nobody() {
    hold(
        "what is pure knows no clock, no files and no waiting",
        |source| {
            let outside = [
                "async",
                "await",
                "tokio",
                "Instant",
                "SystemTime",
                "std::fs",
                "std::env",
                "std::process",
                "File",
                "TcpStream",
                "TcpListener",
                "spawn",
            ];
            let pure = matches!(source.room.as_str(), "plan" | "cluster");
            let found = outside
                .into_iter()
                .filter(|word| pure && !occurrences(&source.code, word).is_empty());
            found.map(str::to_owned).collect()
        },
    );
}

#[test]
fn main_only_hands_over() {
    let main = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/main.rs");
    let lines = fs::read_to_string(main).expect("main.rs").lines().count();
    assert!(lines <= 25, "src/main.rs has {lines} lines");
}

#[test]
fn the_reader_of_sources_sees_code_and_nothing_else() {
    let text = r##"
        //! crate::comment
        use crate::ops::{self, Answer as A, deep::{B, c}};
        /* crate::block */ fn f<'a>(x: &'a str) { crate::store::Home::new("crate::text \" {"); }
        const RAW: &str = r#"crate::raw " } "#; const C: char = '"'; const D: char = '\'';
        #[cfg(test)]
        mod tests { use crate::client; fn g() { sleep('}') } }
        pub use crate :: event;
    "##;
    let code = without_tests(&code_of(text));
    let found: Vec<String> = imports(&code).iter().map(|path| path.join("::")).collect();
    assert_eq!(
        found,
        [
            "ops::self",
            "ops::Answer",
            "ops::deep::B",
            "ops::deep::c",
            "store::Home::new",
            "event"
        ]
    );
    assert!(occurrences(&code, "sleep").is_empty());
    assert!(uses_crate("use redis::x;", "redis") && uses_crate("let a = redis::b();", "redis"));
    assert!(uses_crate("use clap as c;", "clap") && uses_crate("(::nix::x)", "nix"));
    assert!(!uses_crate(
        "self::redis::x; my_redis::y; redis_conf(); redis(x)",
        "redis"
    ));
}
