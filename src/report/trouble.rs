//! What went wrong by the logs, in words and as JSON.

use serde_json::{Value, json};

use super::style::Style;
use super::text::push;
use crate::error::NodeProblem;
use crate::ops::{Trouble, TroubleKind, Troubles};

/// The text of an answer: each trouble as its node wrote it, and last how many there are.
pub(super) fn text(out: &mut String, troubles: &Troubles, style: Style) {
    for trouble in &troubles.found {
        let port = style.node(trouble.index, &format!("{:>5} |", trouble.addr.port));
        let kind = style.bad(&format!("{:<11}", word(trouble.kind)));
        let time = trouble.time.map(|time| time.to_string());
        let times = if trouble.times > 1 {
            format!(" ({} times)", trouble.times)
        } else {
            String::new()
        };
        let time = time.unwrap_or_else(|| " ".repeat(24));
        push(
            out,
            &format!("{port} {time} {kind} {}{times}", trouble.text),
        );
        for line in trouble.lines.iter().filter(|_| trouble.lines.len() > 1) {
            push(
                out,
                &format!("{port} {}", style.dim(&format!("  | {line}"))),
            );
        }
    }
    for NodeProblem { node, message, .. } in &troubles.problems {
        push(out, &format!("{} {node} {message}", style.bad("!")));
    }
    let nodes = match troubles.nodes {
        1 => "the log of 1 node".to_owned(),
        n => format!("the logs of {n} nodes"),
    };
    let count = troubles.found.len() + troubles.left_out;
    let left_out = match troubles.left_out {
        0 => String::new(),
        n => format!("; the last {n} are not shown"),
    };
    push(
        out,
        &match count {
            0 => format!("no errors in {nodes}"),
            1 => format!("1 error in {nodes}"),
            n => format!("{n} errors in {nodes}{left_out}"),
        },
    );
}

/// The document of an answer.
pub(super) fn document(troubles: &Troubles) -> Value {
    json!({
        "name": troubles.name,
        "errors": troubles.found.iter().map(fields).collect::<Vec<_>>(),
        "left_out": troubles.left_out,
        "problems": troubles.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn fields(trouble: &Trouble) -> Value {
    json!({
        "node": trouble.addr.to_string(),
        "index": trouble.index,
        "time": trouble.time.map(|time| time.to_string()),
        "kind": word(trouble.kind),
        "text": trouble.text,
        "times": trouble.times,
        "lines": trouble.lines,
    })
}

fn word(kind: TroubleKind) -> &'static str {
    match kind {
        TroubleKind::Crash => "crash",
        TroubleKind::Start => "start",
        TroubleKind::Memory => "memory",
        TroubleKind::Disk => "disk",
        TroubleKind::Replication => "replication",
        TroubleKind::Failover => "failover",
        TroubleKind::State => "state",
        TroubleKind::Warning => "warning",
    }
}
