//! docs/schema.json and docs/json.md describe what the verbs really answer.
//!
//! The validator knows the few words of JSON Schema that the file uses, and refuses others. It is
//! stricter than the file: a field that is not described is a mistake here, though readers must
//! expect new ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::sandbox::{Ran, Sandbox, free_ports, signal, wait_for};

fn read(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(root.join("docs").join(name)).expect("readable")
}

fn schema() -> Value {
    serde_json::from_str(&read("schema.json")).expect("JSON")
}

/// What of `value` is not as `rule` says.
fn check(root: &Value, rule: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    let rule = rule.as_object().expect("a rule is an object");
    for (word, said) in rule {
        let fits = match word.as_str() {
            "$schema" | "title" | "description" | "$defs" => true,
            "$ref" => {
                let target = said.as_str().and_then(|path| path.strip_prefix('#'));
                let target = target.and_then(|path| root.pointer(path));
                check(root, target.expect("it is there"), value, at, wrong);
                true
            }
            "type" => {
                let kinds = said
                    .as_array()
                    .cloned()
                    .unwrap_or_else(|| vec![said.clone()]);
                kinds.iter().any(|kind| is_of_kind(value, kind))
            }
            "const" => value == said,
            "enum" => said.as_array().expect("a list").contains(value),
            "minimum" => value.is_null() || value.as_f64() >= said.as_f64(),
            "maximum" => value.is_null() || value.as_f64() <= said.as_f64(),
            "minItems" => value
                .as_array()
                .is_none_or(|all| all.len() as u64 >= said.as_u64().expect("a number")),
            "maxItems" => value
                .as_array()
                .is_none_or(|all| all.len() as u64 <= said.as_u64().expect("a number")),
            // The only pattern there is.
            "pattern" => {
                assert_eq!(said, "^[0-9a-f]{40}$");
                let is_id = |text: &str| {
                    text.len() == 40
                        && text
                            .bytes()
                            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
                };
                value.as_str().is_none_or(is_id)
            }
            "items" => {
                for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, said, item, &format!("{at}[{number}]"), wrong);
                }
                true
            }
            "required" => {
                let names = said.as_array().expect("a list").iter();
                names
                    .filter_map(Value::as_str)
                    .all(|name| value.get(name).is_some())
            }
            "properties" => {
                let known = said.as_object().expect("an object");
                for (name, inner) in value.as_object().into_iter().flatten() {
                    match known.get(name) {
                        Some(rule) => check(root, rule, inner, &format!("{at}.{name}"), wrong),
                        None => wrong.push(format!("{at}.{name} is not described")),
                    }
                }
                true
            }
            "additionalProperties" => {
                for (name, inner) in value.as_object().into_iter().flatten() {
                    check(root, said, inner, &format!("{at}.{name}"), wrong);
                }
                true
            }
            "anyOf" => {
                let rules = said.as_array().expect("a list").iter();
                rules
                    .map(|rule| {
                        let mut found = Vec::new();
                        check(root, rule, value, at, &mut found);
                        found
                    })
                    .any(|found| found.is_empty())
            }
            _ => panic!("the validator does not know {word}"),
        };
        if !fits {
            wrong.push(format!("{at}: {value} is not as {word} says: {said}"));
        }
    }
}

fn is_of_kind(value: &Value, kind: &Value) -> bool {
    match kind.as_str().expect("a kind") {
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        kind => panic!("no such kind: {kind}"),
    }
}

/// Checks a document against one definition.
fn faults(name: &str, document: &Value) -> Vec<String> {
    let root = schema();
    let rule = &root["$defs"][name];
    assert!(rule.is_object(), "{name} is not defined");
    let mut wrong = Vec::new();
    check(&root, rule, document, name, &mut wrong);
    wrong
}

/// Which definition answers of a verb follow, by the first table of docs/json.md.
fn definitions() -> BTreeMap<String, String> {
    let page = read("json.md");
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let rows = rows.filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let definition = cells[2].strip_prefix("[`")?.split('`').next()?;
        Some((cells[1].to_owned(), definition.to_owned()))
    });
    let mut found = BTreeMap::new();
    for (verbs, definition) in rows {
        for verb in verbs.split('·') {
            found.insert(verb.trim().trim_matches('`').to_owned(), definition.clone());
        }
    }
    found
}

/// That a document is as docs/json.md says of the answers of `verb`.
pub(crate) fn assert_described(verb: &str, ran: &Ran) {
    let definition = definitions().remove(verb);
    let definition =
        definition.unwrap_or_else(|| panic!("docs/json.md does not say what {verb} answers"));
    assert_eq!(
        faults(&definition, &ran.json()),
        Vec::<String>::new(),
        "{ran}"
    );
}

/// Runs verbs of one sandbox, and remembers which.
struct Reader<'a> {
    sandbox: &'a Sandbox,
    seen: BTreeSet<String>,
}

impl Reader<'_> {
    /// The answer of `line`, which must end with `code` and be as the page says of `verb`.
    fn answer(&mut self, verb: &str, line: &str, code: i32) -> Value {
        let ran = self.sandbox.fails(&format!("--json {line}"), code);
        assert_described(verb, &ran);
        self.seen.insert(verb.to_owned());
        ran.json()
    }

    /// Each line of `logs -f` is a document; they end when they are interrupted.
    fn follow(&mut self) {
        let following = self.sandbox.record("logs -f --tail 5 --json");
        wait_for("lines of all nodes", || {
            (following.out().matches('\n').count() >= 6).then_some(())
        });
        for line in following.interrupt().lines() {
            let document = serde_json::from_str(line).expect("a document");
            assert_eq!(
                faults("log_line", &document),
                Vec::<String>::new(),
                "{line}"
            );
        }
        self.seen.insert("logs -f".into());
    }

    fn error(&mut self, line: &str, code: i32) {
        let ran = self.sandbox.fails(&format!("--json {line}"), code);
        ran.json_error();
        let document: Value = serde_json::from_str(&ran.err).expect("JSON");
        assert_eq!(faults("error", &document), Vec::<String>::new(), "{ran}");
        let word = document["error"]["code"].as_str().expect("a word");
        assert!(
            read("exit-codes.md")
                .lines()
                .any(|row| row.starts_with(&format!("| {code} "))
                    && row.contains(&format!("`{word}`"))),
            "docs/exit-codes.md does not have {word} for {code}: {ran}"
        );
    }
}

/// What is answered wherever one is.
fn without_a_cluster(reader: &mut Reader) {
    reader.answer("version", "version", 0);
    for shell in ["bash", "zsh", "fish"] {
        let script = reader.answer("completions", &format!("completions {shell}"), 0);
        assert_eq!(script["shell"], shell);
    }
    reader.answer("man", "man server install", 0);
    reader.answer("man --out", "man --out pages", 0);
    fs::remove_dir_all(reader.sandbox.path().join("pages")).expect("removed");
}

#[test]
fn the_schema_describes_what_every_verb_answers() {
    let sandbox = Sandbox::new();
    let mut reader = Reader {
        sandbox: &sandbox,
        seen: BTreeSet::new(),
    };
    let base = free_ports(6);
    without_a_cluster(&mut reader);
    reader.answer("list", "list", 0);
    reader.answer("config show", "config show", 0);
    reader.answer("config show", "config show --primaries 5 --set hz=50", 0);
    reader.answer("server list", "server list", 0);
    reader.error("status", 4);
    reader.error("up --primaries 0", 2);
    reader.error("up --server /nowhere/redis-server", 10);
    reader.answer("down", "down --yes", 0);

    reader.answer("start", &format!("start --port {base}"), 0);
    reader.answer("status", "status", 5);
    reader.answer("create --dry-run", "create --dry-run", 0);
    reader.answer("create", "create", 0);
    reader.answer("up", "up", 0);
    reader.answer("list", "list", 0);
    reader.answer("env", "env", 0);
    reader.answer("wait", "wait", 0);
    reader.answer("call", "call -- PING", 0);
    reader.answer("call", "call -- CLUSTER SHARDS", 0);
    reader.answer("call", "call -- SET wat 2", 1);
    let logs = reader.answer("logs", "logs", 0);
    assert!(
        logs["lines"]
            .as_array()
            .is_some_and(|lines| lines.len() > 60),
        "{logs}"
    );
    let errors = sandbox.run("logs --errors --json").code;
    reader.answer("logs --errors", "logs --errors", errors.expect("a code"));
    let directory = sandbox.path().join("exported");
    let line = format!("logs --export {}", directory.display());
    reader.answer("logs --export", &line, 0);
    reader.follow();
    reader.answer("restart", "restart 6", 0);
    reader.answer("clean --logs", "clean --logs", 0);
    reader.error("down", 9);
    reader.error("up --primaries 4", 7);
    reader.error(&format!("up -n other --port {base}"), 7);
    let status = reader.answer("status", "status", 0);
    signal("KILL", &status["nodes"][5]["pid"]);
    signal("STOP", &status["nodes"][4]["pid"]);
    sandbox.wait_for_status("the death", |status| {
        status["nodes"][5]["process"] == "dead"
    });
    reader.answer("status", "status", 5);
    signal("CONT", &status["nodes"][4]["pid"]);
    reader.answer("stop", "stop", 0);
    reader.answer("stop", "stop", 0);
    reader.answer("status", "status", 3);
    reader.error("create", 3);
    fs::write(sandbox.cluster().join("mine"), "mine").expect("written");
    reader.answer("clean", "clean --yes", 0);
    fs::remove_file(sandbox.cluster().join("mine")).ok();

    let tls = reader.answer(
        "up",
        "up --port auto --tls=both --generate-password --unix-socket",
        0,
    );
    assert!(
        tls["nodes"][0]["tls_port"].is_u64() && tls["password_file"].is_string(),
        "{tls}"
    );
    reader.answer("down", "down --yes", 0);
    // What cannot be read is listed all the same.
    sandbox.up("--primaries 1 --replicas 0");
    sandbox.ok("stop");
    let manifest = sandbox.cluster().join("manifest.json");
    let whole = fs::read(&manifest).expect("readable");
    fs::write(&manifest, "{").expect("written");
    let listed = reader.answer("list", "list", 0);
    assert!(listed["clusters"][0]["state"].is_null(), "{listed}");
    reader.error("status", 1);
    fs::write(&manifest, whole).expect("written");
    reader.answer("down", "down --yes", 0);

    let doctor = sandbox.run("doctor --json");
    assert_eq!(
        faults("doctor", &doctor.json()),
        Vec::<String>::new(),
        "{doctor}"
    );
    reader.seen.insert("doctor".into());

    // Those of servers are checked where servers are installed.
    let elsewhere = ["server install", "server use", "server remove"];
    let said: BTreeSet<String> = definitions().into_keys().collect();
    let seen: BTreeSet<String> = reader
        .seen
        .into_iter()
        .chain(elsewhere.map(str::to_owned))
        .collect();
    assert_eq!(said, seen, "verbs of docs/json.md, and those that were run");
}

/// Every field of the schema is told of on the page, and every definition has a verb.
#[test]
fn every_field_of_the_schema_is_on_the_page() {
    fn fields(rule: &Value, found: &mut BTreeSet<String>) {
        for (word, inner) in rule.as_object().into_iter().flatten() {
            if word == "properties" {
                found.extend(inner.as_object().expect("an object").keys().cloned());
            }
            fields(inner, found);
        }
        for inner in rule.as_array().into_iter().flatten() {
            fields(inner, found);
        }
    }
    let (page, schema) = (read("json.md"), schema());
    let mut found = BTreeSet::new();
    fields(&schema, &mut found);
    assert!(found.len() > 60, "the schema was not read");
    found.retain(|field| !page.contains(&format!("`{field}`")));
    assert!(found.is_empty(), "docs/json.md does not have {found:?}");

    let used: BTreeSet<String> = definitions()
        .into_values()
        .chain(["error".to_owned(), "node".to_owned()])
        .collect();
    let defined: BTreeSet<String> = schema["$defs"]
        .as_object()
        .expect("definitions")
        .keys()
        .cloned()
        .collect();
    assert_eq!(
        defined, used,
        "definitions, and those that docs/json.md names"
    );
}

#[test]
fn the_validator_finds_what_is_wrong() {
    let sandbox = Sandbox::new();
    let good = sandbox.ok("version --json").json();
    assert_eq!(faults("version", &good), Vec::<String>::new());
    for (field, value) in [
        ("version", Value::from(1)),
        ("ok", Value::from(false)),
        ("more", Value::from("unknown")),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        assert_ne!(faults("version", &bad), Vec::<String>::new(), "{bad}");
    }
    assert_ne!(
        faults("version", &serde_json::json!({})),
        Vec::<String>::new()
    );
    let node = |slots: Value| {
        serde_json::json!({"schema_version": 1, "ok": true, "dry_run": true, "steps": [],
        "shards": [{"primary": "a", "replicas": [], "slots": slots}]})
    };
    assert_eq!(
        faults("plan", &node(serde_json::json!([[0, 1]]))),
        Vec::<String>::new()
    );
    assert_ne!(
        faults("plan", &node(serde_json::json!([[0]]))),
        Vec::<String>::new()
    );
}
