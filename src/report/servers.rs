//! What the verbs about servers answer, in words and as JSON.

use serde_json::{Value, json};

use super::json::millis;
use super::style::Style;
use super::text::{push, seconds, table};
use crate::ops::{
    ChosenServer, Installation, ListedServer, RemovedServer, ServerAnswer, ServerState,
    UsableServer,
};

/// The text of an answer.
pub(super) fn text(out: &mut String, answer: &ServerAnswer, style: Style) {
    match answer {
        ServerAnswer::List(list) => list_text(out, list, style),
        ServerAnswer::Installed(done) => installed_text(out, done),
        ServerAnswer::Chosen(done) => chosen_text(out, done),
        ServerAnswer::Removed(done) => removed_text(out, done),
    }
}

/// What to do next.
pub(super) fn next(answer: &ServerAnswer, program: &str) -> Option<String> {
    match answer {
        ServerAnswer::List(list) if list.iter().any(|server| server.default) => Some(format!(
            "* is what runs unless another is named; next: {program} server install NAME, or {program} server use NAME"
        )),
        ServerAnswer::List(_) => Some(format!("next: {program} server install")),
        ServerAnswer::Installed(Installation { chosen: true, .. }) => {
            Some(format!("next: {program} up"))
        }
        ServerAnswer::Installed(done) => {
            let name = done.server.name.as_deref()?;
            Some(format!(
                "next: {program} up --server {name}, or for always: {program} server use {name}"
            ))
        }
        ServerAnswer::Chosen(_) | ServerAnswer::Removed(_) => None,
    }
}

/// The document of an answer.
pub(super) fn document(answer: &ServerAnswer) -> Value {
    match answer {
        ServerAnswer::List(list) => {
            json!({ "servers": list.iter().map(listed).collect::<Vec<_>>() })
        }
        ServerAnswer::Installed(done) => {
            let mut server = usable(&done.server);
            server["client"] = json!(done.client);
            server["origin"] = json!(done.origin);
            server["sha256"] = json!(done.sha256);
            server["log"] = json!(done.log);
            json!({
                "changed": done.changed,
                "chosen": done.chosen,
                "elapsed_ms": millis(done.elapsed),
                "server": server,
            })
        }
        ServerAnswer::Chosen(done) => {
            json!({ "changed": done.changed, "server": done.server.as_ref().map(usable) })
        }
        ServerAnswer::Removed(done) => {
            json!({ "changed": done.changed, "name": done.name, "left": done.left })
        }
    }
}

fn usable(server: &UsableServer) -> Value {
    json!({ "name": server.name, "kind": server.kind, "version": server.version, "path": server.path })
}

fn listed(server: &ListedServer) -> Value {
    let problem = match &server.state {
        ServerState::Damaged(why) | ServerState::Unusable(why) => Some(why),
        _ => None,
    };
    json!({
        "name": server.name,
        "kind": server.kind,
        "version": server.version,
        "state": word(&server.state),
        "path": server.path,
        "origin": server.origin,
        "chosen": server.chosen,
        "default": server.default,
        "used_by": server.used_by,
        "problem": problem,
    })
}

fn word(state: &ServerState) -> &'static str {
    match state {
        ServerState::Installed => "installed",
        ServerState::Damaged(_) => "damaged",
        ServerState::Available => "available",
        ServerState::Unavailable => "unavailable",
        ServerState::External => "external",
        ServerState::Unusable(_) => "unusable",
        ServerState::Gone => "gone",
    }
}

fn list_text(out: &mut String, list: &[ListedServer], style: Style) {
    let rows = list.iter().map(|server| {
        let what = [&server.kind, &server.version].map(|part| part.as_deref().unwrap_or("?"));
        let mark = match (server.default, server.chosen) {
            (true, _) => "*",
            (false, true) => "!",
            (false, false) => "",
        };
        [
            mark.to_owned(),
            server.name.clone(),
            if what == ["?", "?"] {
                String::new()
            } else {
                what.join(" ")
            },
            match &server.state {
                ServerState::Unavailable => format!("not for {}", std::env::consts::ARCH),
                state => word(state).to_owned(),
            },
            server.used_by.join(" "),
            server.origin.clone(),
        ]
    });
    let header = ["", "name", "server", "state", "used by", "from"];
    table(out, &header, rows, style, |column, text| {
        match (column, text) {
            (3, "installed" | "external") => style.good(text),
            (3, "damaged" | "unusable" | "gone") | (0, "!") => style.bad(text),
            _ => text.to_owned(),
        }
    });
    for server in list {
        if let ServerState::Damaged(why) | ServerState::Unusable(why) = &server.state {
            push(out, &format!("{} {}: {why}", style.bad("!"), server.name));
        }
    }
}

fn installed_text(out: &mut String, done: &Installation) {
    let UsableServer {
        kind,
        version,
        path,
        ..
    } = &done.server;
    let path = path.display();
    if done.changed {
        push(
            out,
            &format!(
                "Installed {kind} {version} ({}) in {}",
                done.origin,
                seconds(done.elapsed)
            ),
        );
        push(out, &format!("  {path}"));
        for more in [&done.client, &done.log].into_iter().flatten() {
            push(out, &format!("  {}", more.display()));
        }
    } else {
        push(
            out,
            &format!(
                "unchanged: {kind} {version} ({}) is installed and whole at {path}",
                done.origin
            ),
        );
    }
}

fn chosen_text(out: &mut String, done: &ChosenServer) {
    let unchanged = if done.changed { "" } else { "unchanged: " };
    push(
        out,
        &match &done.server {
            Some(UsableServer {
                kind,
                version,
                path,
                ..
            }) => {
                format!(
                    "{unchanged}{kind} {version} at {} runs unless another is named",
                    path.display()
                )
            }
            None => format!(
                "{unchanged}no server is chosen: the first on PATH runs, else the newest installed"
            ),
        },
    );
}

fn removed_text(out: &mut String, done: &RemovedServer) {
    if done.changed {
        push(out, &format!("Deleted {}", done.name));
    } else {
        push(out, &format!("unchanged: {} is not installed", done.name));
    }
    for path in &done.left {
        push(
            out,
            &format!("  left alone, not made by rcluster: {}", path.display()),
        );
    }
}
