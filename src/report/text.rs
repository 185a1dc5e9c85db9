//! Answers and failures in words.

use std::fmt::Write as _;
use std::time::Duration;

use super::style::Style;
use super::{Shown, shell_word};
use crate::cluster::{Role, SLOT_COUNT, counted};
use crate::error::{Error, NodeProblem};
use crate::ops::{
    Answer, Cleaned, Listed, NodeAnswer, Planned, ProcessState, State, StopResult, Stopped, WaitFor,
};
use crate::plan::{Finding, Layout, Verdict};

/// The text of an answer.
pub(super) fn answer(shown: &Shown, style: Style, program: &str) -> String {
    let mut out = String::new();
    match shown {
        Shown::Started(answer) => started(&mut out, answer),
        Shown::Formed(answer) => formed(&mut out, answer, style),
        Shown::Planned(planned) => dry_run(&mut out, planned),
        Shown::Status(answer, sight) => super::status::text(&mut out, answer, *sight, style),
        Shown::List(clusters) => list(&mut out, clusters, style),
        Shown::Called(called, words) => out = super::reply::called(called, words, style),
        Shown::Env(_, text) => out.push_str(text),
        Shown::Stopped(stopped) => stop(&mut out, stopped),
        Shown::Cleaned(cleaned) => clean(&mut out, cleaned),
        Shown::Server(answer) => super::servers::text(&mut out, answer, style),
        Shown::Checked(findings) => checked(&mut out, findings, style, program),
        Shown::Settings(overview, origins) => {
            out = super::settings::overview(overview, *origins, style);
        }
        Shown::Completions(_, text) | Shown::Page(_, text) => out.push_str(text),
        Shown::Pages(dir, names) => {
            let count = counted(names.len(), "page", "pages");
            push(&mut out, &format!("Wrote {count} to {}", dir.display()));
        }
        Shown::Emptied(emptied) => super::logs::emptied(&mut out, emptied),
        Shown::Restarted(restarted) => push(
            &mut out,
            &format!(
                "Restarted {} in {}; the cluster is {}",
                counted(restarted.nodes.len(), "node", "nodes"),
                seconds(restarted.answer.elapsed),
                match restarted.answer.state {
                    State::Ok => "ready",
                    state => word(state),
                }
            ),
        ),
        Shown::Waited(answer, goal) => waited(&mut out, answer, *goal, style),
        Shown::Exported(exported) => super::logs::exported(&mut out, exported, style),
        Shown::Troubles(troubles) => super::trouble::text(&mut out, troubles, style),
        Shown::Version => push(&mut out, &format!("rcluster {}", env!("CARGO_PKG_VERSION"))),
    }
    out
}

/// What to do next, where that is not plain.
pub(super) fn next(shown: &Shown, program: &str) -> Option<String> {
    match shown {
        Shown::Started(answer) if answer.state == State::Unformed => {
            Some(format!("next: {program} create"))
        }
        Shown::Formed(answer) if answer.changed => Some(format!(
            "ready after {}; next: {}",
            seconds(answer.elapsed),
            client_command(answer)?
        )),
        Shown::Started(answer) | Shown::Formed(answer) => {
            Some(format!("next: {}", client_command(answer)?))
        }
        Shown::Server(answer) => super::servers::next(answer, program),
        Shown::Cleaned(cleaned) if !cleaned.left.is_empty() => {
            Some("next: move these files away before the next start".into())
        }
        _ => None,
    }
}

/// The command that talks to the cluster. A password is named by its file, never shown.
fn client_command(answer: &Answer) -> Option<String> {
    let addr = answer.nodes.first()?.addr;
    let entrance = &answer.entrance;
    let mut command = String::new();
    if let Some(file) = &entrance.password_file {
        // Not in the arguments, where everybody could read it. valkey-cli knows this name too.
        write!(
            command,
            "REDISCLI_AUTH=\"$(cat {})\" ",
            shell_word(&file.to_string_lossy())
        )
        .ok()?;
    }
    command += if answer.server.kind == "valkey" {
        "valkey-cli -c"
    } else {
        "redis-cli -c"
    };
    if let Some(user) = &entrance.user {
        write!(command, " --user {}", shell_word(user)).ok()?;
    }
    match &entrance.ca {
        Some(ca) if !entrance.plain => {
            write!(
                command,
                " --tls --cacert {}",
                shell_word(&ca.to_string_lossy())
            )
            .ok()?;
            if let Some((certificate, key)) = &entrance.client_certificate {
                let (certificate, key) = (
                    shell_word(&certificate.to_string_lossy()),
                    shell_word(&key.to_string_lossy()),
                );
                write!(command, " --cert {certificate} --key {key}").ok()?;
            }
        }
        _ => {}
    }
    if addr.host != std::net::Ipv4Addr::LOCALHOST {
        write!(command, " -h {}", addr.host).ok()?;
    }
    write!(command, " -p {}", addr.port).ok()?;
    Some(command)
}

/// What the nodes run: `redis 7.0.15`, or `redis 7.0.15 (3 nodes) and valkey 8.0.1 (3 nodes)`.
pub(super) fn servers(answer: &Answer) -> String {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for node in &answer.nodes {
        let server = format!("{} {}", node.server.kind, node.server.version);
        match counts.iter_mut().find(|(known, _)| *known == server) {
            Some((_, count)) => *count += 1,
            None => counts.push((server, 1)),
        }
    }
    match counts.as_slice() {
        [] => format!("{} {}", answer.server.kind, answer.server.version),
        [(only, _)] => only.clone(),
        several => {
            let words: Vec<String> = several
                .iter()
                .map(|(server, count)| format!("{server} ({})", counted(*count, "node", "nodes")))
                .collect();
            words.join(" and ")
        }
    }
}

pub(super) fn push(out: &mut String, line: &str) {
    writeln!(out, "{line}").expect("writing to a string cannot fail");
}

pub(super) fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

fn started(out: &mut String, answer: &Answer) {
    let server = servers(answer);
    let at = match (answer.nodes.first(), answer.nodes.last()) {
        (Some(first), Some(last)) if first.addr != last.addr => {
            format!("{}-{}", first.addr, last.addr.port)
        }
        (Some(only), _) => only.addr.to_string(),
        _ => String::new(),
    };
    let took = seconds(answer.elapsed);
    let count = counted(answer.nodes.len(), "node", "nodes");
    match (answer.changed, answer.state) {
        (false, _) => push(out, &format!("unchanged: {count} of {server} run at {at}")),
        (true, State::Ok) => {
            push(
                out,
                &format!("Started {count} of {server} at {at}; the cluster is ready after {took}"),
            );
        }
        (true, _) => push(
            out,
            &format!("Started {count} of {server} at {at} in {took}"),
        ),
    }
}

/// The lines that people know from redis-cli.
fn formed(out: &mut String, answer: &Answer, style: Style) {
    let mut primaries: Vec<&NodeAnswer> = answer
        .nodes
        .iter()
        .filter(|node| !node.slots.is_empty())
        .collect();
    primaries.sort_by_key(|node| node.slots.first().copied());
    for (number, primary) in primaries.iter().enumerate() {
        for slots in &primary.slots {
            push(
                out,
                &format!(
                    "Primary[{number}] -> Slots {} - {}",
                    slots.first(),
                    slots.last()
                ),
            );
        }
    }
    for primary in &primaries {
        for replica in &answer.nodes {
            if matches!((&replica.role, &primary.id), (Some(Role::Replica { of }), Some(id)) if of == id)
            {
                push(
                    out,
                    &format!("Adding replica {} to {}", replica.addr, primary.addr),
                );
            }
        }
    }
    if !answer.changed {
        push(out, "unchanged");
    }
    push(
        out,
        &style.good(&format!("[OK] All {SLOT_COUNT} slots covered.")),
    );
}

fn dry_run(out: &mut String, planned: &Planned) {
    let Planned {
        names,
        layout,
        steps,
    } = planned;
    layout_lines(out, layout, names);
    for step in steps {
        push(out, &step.describe(names));
    }
}

fn layout_lines(out: &mut String, layout: &Layout, names: &[String]) {
    let name = |node: usize| names.get(node).map_or("?", String::as_str);
    for (number, shard) in layout.shards.iter().enumerate() {
        push(
            out,
            &format!(
                "Primary[{number}] -> Slots {} - {}",
                shard.slots.first(),
                shard.slots.last()
            ),
        );
    }
    for shard in &layout.shards {
        for &replica in &shard.replicas {
            push(
                out,
                &format!(
                    "Adding replica {} to {}",
                    name(replica),
                    name(shard.primary)
                ),
            );
        }
    }
}

/// Columns as wide as their widest text; `paint` sees a cell's column and text.
pub(super) fn table<const N: usize>(
    out: &mut String,
    header: &[&str; N],
    rows: impl Iterator<Item = [String; N]>,
    style: Style,
    paint: impl Fn(usize, &str) -> String,
) {
    table_within(out, header, rows, style, paint, usize::MAX, &[]);
}

/// The same in `room` columns of a terminal, if it fits there without some of those that are `spare`:
/// what goes first stands first.
pub(super) fn table_within<const N: usize>(
    out: &mut String,
    header: &[&str; N],
    rows: impl Iterator<Item = [String; N]>,
    style: Style,
    paint: impl Fn(usize, &str) -> String,
    room: usize,
    spare: &[usize],
) {
    let rows: Vec<[String; N]> = rows.collect();
    let width = |column: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count());
        cells
            .chain(header.get(column).map(|text| text.len()))
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut kept: Vec<usize> = (0..N).collect();
    let taken = |kept: &[usize]| {
        kept.iter()
            .filter_map(|at| widths.get(*at))
            .map(|wide| 2 + wide)
            .sum::<usize>()
    };
    for column in spare {
        if taken(&kept) > room {
            kept.retain(|at| at != column);
        }
    }
    let pad = |column: usize, text: &str| {
        " ".repeat(
            widths
                .get(column)
                .map_or(0, |width| width.saturating_sub(text.chars().count())),
        )
    };
    let line = |cells: Vec<String>| cells.join("  ").trim_end().to_owned();
    let head = kept
        .iter()
        .filter_map(|column| Some((*column, header.get(*column)?)));
    let head = head
        .map(|(column, text)| format!("{text}{}", pad(column, text)))
        .collect();
    push(out, &style.dim(&format!("  {}", line(head))));
    for row in &rows {
        let cells = kept
            .iter()
            .filter_map(|column| Some((*column, row.get(*column)?)));
        let cells =
            cells.map(|(column, text)| format!("{}{}", paint(column, text), pad(column, text)));
        push(out, &format!("  {}", line(cells.collect())));
    }
}

fn list(out: &mut String, clusters: &[Listed], style: Style) {
    if clusters.is_empty() {
        push(out, "no clusters");
        return;
    }
    let rows = clusters.iter().map(|listed| match &listed.state {
        Ok(answer) => {
            let first = answer
                .nodes
                .first()
                .map(|node| node.addr.to_string())
                .unwrap_or_default();
            let shape = format!("{}x(1+{})", answer.primaries, answer.replicas);
            let server = servers(answer);
            [
                listed.name.clone(),
                word(answer.state).to_owned(),
                shape,
                first,
                server,
            ]
        }
        Err(why) => [
            listed.name.clone(),
            "unknown".into(),
            String::new(),
            String::new(),
            why.clone(),
        ],
    });
    table(
        out,
        &["name", "state", "shape", "first node", "server"],
        rows,
        style,
        |column, text| match (column, text) {
            (1, "ok") => style.good(text),
            (1, "degraded" | "unknown") => style.bad(text),
            (1, _) => style.warn(text),
            _ => text.to_owned(),
        },
    );
}

fn waited(out: &mut String, answer: &Answer, goal: WaitFor, style: Style) {
    let took = seconds(answer.elapsed);
    let name = &answer.name;
    push(
        out,
        &match goal {
            WaitFor::Ready => style.good(&format!("cluster \"{name}\" is ready ({took})")),
            WaitFor::Serving => style.good(&format!("cluster \"{name}\" serves ({took})")),
            WaitFor::Stopped => format!("cluster \"{name}\" has stopped ({took})"),
        },
    );
    for problem in &answer.problems {
        let bad = style.bad("!");
        push(out, &format!("{bad} {problem}"));
    }
}

fn stop(out: &mut String, stopped: &Stopped) {
    if !stopped.changed {
        push(out, "unchanged: no node ran");
        return;
    }
    let count = |wanted: StopResult| {
        stopped
            .nodes
            .iter()
            .filter(|(_, _, result)| *result == wanted)
            .count()
    };
    let killed = count(StopResult::Killed);
    let how = if killed > 0 {
        format!(", {killed} of them by SIGKILL")
    } else {
        String::new()
    };
    let ended = count(StopResult::Stopped) + killed;
    push(
        out,
        &format!(
            "Stopped {} in {}{how}",
            counted(ended, "node", "nodes"),
            seconds(stopped.elapsed)
        ),
    );
    for (node, _, _) in stopped
        .nodes
        .iter()
        .filter(|(_, _, result)| *result == StopResult::Killed)
    {
        push(
            out,
            &format!("  {node} did not end by itself and was killed"),
        );
    }
}

fn clean(out: &mut String, cleaned: &Cleaned) {
    if let Some(stopped) = cleaned.stopped.as_ref().filter(|stopped| stopped.changed) {
        stop(out, stopped);
    }
    if cleaned.changed {
        push(out, &format!("Deleted cluster \"{}\"", cleaned.name));
    } else {
        push(
            out,
            &format!("unchanged: there is no cluster \"{}\"", cleaned.name),
        );
    }
    for path in &cleaned.left {
        push(
            out,
            &format!("  left alone, not made by rcluster: {}", path.display()),
        );
    }
}

/// One line a check, and last how many came out how.
fn checked(out: &mut String, findings: &[Finding], style: Style, program: &str) {
    let width = findings.iter().map(|finding| finding.id.len()).max();
    let width = width.unwrap_or(0);
    for Finding {
        id,
        verdict,
        message,
        fix,
    } in findings
    {
        let word = format!("{:<4}", verdict_word(*verdict));
        let word = match verdict {
            Verdict::Ok => style.good(&word),
            Verdict::Warn => style.warn(&word),
            Verdict::Fail => style.bad(&word),
        };
        let fix = fix.as_ref().map_or_else(String::new, |fix| {
            style.dim(&format!("; fix: {}", super::with_program(fix, program)))
        });
        push(out, &format!("{word}  {id:<width$}  {message}{fix}"));
    }
    let count = |wanted| {
        findings
            .iter()
            .filter(|finding| finding.verdict == wanted)
            .count()
    };
    let (warned, failed) = (count(Verdict::Warn), count(Verdict::Fail));
    push(
        out,
        &format!(
            "{}, {} and {}",
            counted(findings.len(), "check", "checks"),
            counted(warned, "warning", "warnings"),
            counted(failed, "failure", "failures")
        ),
    );
}

/// A failure: one sentence, its causes, what each node lacks, a hint.
pub(super) fn failure(error: &Error, style: Style, program: &str) -> String {
    let mut out = String::new();
    push(&mut out, &format!("{} {error}", style.bad("error:")));
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        push(&mut out, &format!("  because: {cause}"));
        source = cause.source();
    }
    for NodeProblem { node, message, log } in error.nodes() {
        push(&mut out, &format!("  {node} {message}"));
        for line in log {
            push(&mut out, &style.dim(&format!("    | {line}")));
        }
    }
    for line in error.said() {
        push(&mut out, &style.dim(&format!("    | {line}")));
    }
    if let Some(hint) = super::hint(error, program) {
        push(&mut out, &format!("{} {hint}", style.warn("hint:")));
    }
    out
}

pub(super) fn state_word(state: State, style: Style) -> String {
    match state {
        State::Ok => style.good(word(state)),
        State::Degraded => style.bad(word(state)),
        State::Forming | State::Unformed | State::Stopped => style.warn(word(state)),
    }
}

/// The contract's word for a state.
pub(super) fn word(state: State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Degraded => "degraded",
        State::Forming => "forming",
        State::Unformed => "unformed",
        State::Stopped => "stopped",
    }
}

/// The word for how a check came out.
pub(super) fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Warn => "warn",
        Verdict::Fail => "fail",
    }
}

/// The contract's word for a process.
pub(super) fn process_word(process: ProcessState) -> &'static str {
    match process {
        ProcessState::Running => "running",
        ProcessState::Dead => "dead",
        ProcessState::Hung => "hung",
        ProcessState::Foreign => "foreign",
        ProcessState::Unknown => "unknown",
    }
}

pub(super) fn role_word(role: Option<&Role>) -> &'static str {
    match role {
        Some(Role::Primary) => "primary",
        Some(Role::Replica { .. }) => "replica",
        None => "",
    }
}
