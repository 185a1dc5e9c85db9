//! Answers and failures as JSON: one document each. Fields are only ever added.

use serde_json::{Value, json};

use super::Shown;
use super::text::{process_word, verdict_word, word};
use crate::cluster::Role;
use crate::error::{Error, NodeProblem};
use crate::ops::{Answer, Cleaned, Listed, NodeAnswer, Planned, StopResult, Stopped};
use crate::plan::Finding;
use crate::settings::{Overview, Setting};

const SCHEMA_VERSION: u32 = 1;

/// The document of an answer.
pub(super) fn answer(shown: &Shown, program: &str) -> String {
    document(match shown {
        Shown::Started(answer)
        | Shown::Formed(answer)
        | Shown::Status(answer, _)
        | Shown::Waited(answer, _) => cluster(answer),
        Shown::Emptied(emptied) => super::logs::emptied_document(emptied),
        Shown::Restarted(restarted) => {
            let mut fields = cluster(&restarted.answer);
            fields["restarted"] = json!(restarted.nodes);
            fields
        }
        Shown::Planned(planned) => plan(planned),
        Shown::List(clusters) => {
            json!({ "clusters": clusters.iter().map(listed).collect::<Vec<_>>() })
        }
        Shown::Called(called, _) => super::reply::document(called),
        Shown::Env(answer, _) => super::env::document(answer),
        Shown::Stopped(stopped) => stop(stopped),
        Shown::Cleaned(cleaned) => clean(cleaned),
        Shown::Server(answer) => super::servers::document(answer),
        Shown::Checked(findings) => {
            let checks = findings.iter().map(|finding| check(finding, program));
            json!({ "checks": checks.collect::<Vec<_>>() })
        }
        Shown::Settings(overview, _) => settings(overview),
        Shown::Completions(shell, script) => json!({ "shell": shell, "script": script }),
        Shown::Page(name, roff) => json!({ "page": name, "roff": roff }),
        Shown::Pages(dir, names) => json!({ "dir": dir, "pages": names }),
        Shown::Exported(exported) => super::logs::exported_document(exported),
        Shown::Troubles(troubles) => super::trouble::document(troubles),
        Shown::Version => json!({ "version": env!("CARGO_PKG_VERSION") }),
    })
}

/// The document of a failure.
pub(super) fn failure(error: &Error, program: &str) -> String {
    let mut message = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    let problem = |NodeProblem { node, message, log }: &NodeProblem| json!({ "node": node, "message": message, "log": log });
    let nodes: Vec<Value> = error.nodes().iter().map(problem).collect();
    let mut fields = json!({ "code": error.code(), "message": message, "hint": super::hint(error, program), "nodes": nodes });
    if !error.said().is_empty() {
        fields["said"] = json!(error.said());
    }
    line(&json!({ "schema_version": SCHEMA_VERSION, "ok": false, "error": fields }))
}

pub(super) fn document(fields: Value) -> String {
    let mut document = json!({ "schema_version": SCHEMA_VERSION, "ok": true });
    if let (Some(document), Value::Object(fields)) = (document.as_object_mut(), fields) {
        document.extend(fields);
    }
    line(&document)
}

fn line(document: &Value) -> String {
    format!("{document}\n")
}

pub(super) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn cluster(answer: &Answer) -> Value {
    let problems = answer.problems.iter().map(ToString::to_string);
    json!({
        "name": answer.name,
        "state": word(answer.state),
        "changed": answer.changed,
        "elapsed_ms": millis(answer.elapsed),
        "server": { "kind": answer.server.kind, "version": answer.server.version, "path": answer.server.path },
        "tls": { "enabled": answer.entrance.ca.is_some(), "ca": answer.entrance.ca, "plain_port": answer.entrance.plain },
        "user": answer.entrance.user,
        "password_file": answer.entrance.password_file,
        "primaries": answer.primaries,
        "replicas": answer.replicas,
        "slots_assigned": answer.slots_assigned,
        "slots_ok": answer.slots_ok,
        "nodes": answer.nodes.iter().map(|one| node(answer, one)).collect::<Vec<_>>(),
        "problems": problems.collect::<Vec<_>>(),
    })
}

fn node(answer: &Answer, node: &NodeAnswer) -> Value {
    let (role, replicates) = match &node.role {
        Some(Role::Primary) => (Some("primary"), None),
        Some(Role::Replica { of }) => (Some("replica"), Some(of.as_str())),
        None => (None, None),
    };
    // Where TLS has taken the plain port's place, it is on the client port.
    let tls_port = answer.entrance.ca.as_ref().map(|_| node.addr.peer_port());
    json!({
        "index": node.index,
        "id": node.id.as_ref().map(crate::cluster::NodeId::as_str),
        "host": node.addr.host,
        "port": node.addr.port,
        "bus_port": node.addr.bus_port,
        "tls_port": tls_port,
        "unix_socket": node.unix_socket,
        "server": { "kind": node.server.kind, "version": node.server.version },
        "pid": node.pid,
        "process": process_word(node.process),
        "role": role,
        "replicates": replicates,
        "shard": node.shard,
        "slots": node.slots.iter().map(|range| [range.first(), range.last()]).collect::<Vec<_>>(),
        "cluster_state": node.cluster_ok.map(|ok| if ok { "ok" } else { "fail" }),
        "replication_link": node.link_up.map(|up| if up { "up" } else { "down" }),
        "config_epoch": node.config_epoch,
        "log": node.log,
    })
}

fn listed(listed: &Listed) -> Value {
    match &listed.state {
        Ok(answer) => cluster(answer),
        Err(why) => json!({ "name": listed.name, "state": Value::Null, "problems": [why] }),
    }
}

fn check(finding: &Finding, program: &str) -> Value {
    let fix = finding.fix.as_ref();
    json!({
        "id": finding.id,
        "status": verdict_word(finding.verdict),
        "message": finding.message,
        "fix": fix.map(|fix| super::with_program(fix, program)),
    })
}

fn plan(planned: &Planned) -> Value {
    let Planned {
        names,
        layout,
        steps,
    } = planned;
    let name = |node: &usize| names.get(*node).cloned();
    let shards: Vec<Value> = layout
        .shards
        .iter()
        .map(|shard| {
            json!({
                "primary": name(&shard.primary),
                "replicas": shard.replicas.iter().filter_map(name).collect::<Vec<_>>(),
                "slots": [[shard.slots.first(), shard.slots.last()]],
            })
        })
        .collect();
    let steps: Vec<String> = steps.iter().map(|step| step.describe(names)).collect();
    json!({ "dry_run": true, "shards": shards, "steps": steps })
}

fn stop(stopped: &Stopped) -> Value {
    let node = |(name, pid, result): &(String, Option<i32>, StopResult)| {
        let result = match result {
            StopResult::Stopped => "stopped",
            StopResult::Killed => "killed",
            StopResult::WasDead => "was_dead",
        };
        json!({ "node": name, "pid": pid, "result": result })
    };
    json!({
        "name": stopped.name,
        "state": "stopped",
        "changed": stopped.changed,
        "elapsed_ms": millis(stopped.elapsed),
        "nodes": stopped.nodes.iter().map(node).collect::<Vec<_>>(),
    })
}

fn clean(cleaned: &Cleaned) -> Value {
    let stopped = cleaned.stopped.as_ref().map(stop);
    json!({
        "name": cleaned.name,
        "changed": cleaned.changed,
        "elapsed_ms": millis(cleaned.elapsed),
        "stopped": stopped.map(|stopped| stopped["nodes"].clone()),
        "left": cleaned.left,
    })
}

fn settings(overview: &Overview) -> Value {
    let value = |setting: &Setting| {
        json!({
            "key": setting.name(),
            "value": setting.value,
            "origin": setting.origin.to_string(),
        })
    };
    let files = overview.files.iter();
    let files = files.map(|(level, path)| json!({ "path": path, "level": level.to_string() }));
    let secrets = overview.secrets.iter();
    let secrets = secrets.map(|(name, is_set)| json!({ "name": name, "set": is_set }));
    json!({
        "values": overview.settings.iter().map(value).collect::<Vec<_>>(),
        "files": files.collect::<Vec<_>>(),
        "environment": secrets.collect::<Vec<_>>(),
    })
}
