//! What stands below the table, or in its place: events, a log, help.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::pen::Pen;
use super::title;
use crate::plan::watch::{Mood, Picture};
use crate::screen::number::bytes;
use crate::screen::view::View;

/// What happened, the newest last.
pub(super) fn events(
    pen: Pen,
    view: &mut View,
    room: usize,
    width: usize,
    position: &str,
) -> Vec<Line<'static>> {
    let Some(rows) = room.checked_sub(1) else {
        return Vec::new();
    };
    view.back = view.back.min(view.events.len().saturating_sub(rows));
    let missed = match view.missed {
        0 => String::new(),
        missed => format!(" {missed} more since it is frozen "),
    };
    let back = match view.back {
        0 => String::new(),
        back => format!(" {back} newer below "),
    };
    let mut lines = vec![title(
        pen,
        " events ",
        &format!("{back}{missed}{position}"),
        width,
    )];
    let shown = view.events.iter().skip(view.back).take(rows).rev();
    let events = shown.map(|(time, mood, text)| {
        let sign = match mood {
            Mood::Good => "+",
            Mood::Plain => " ",
            Mood::Warn => "*",
            Mood::Bad => "!",
        };
        Line::from(vec![
            Span::styled(format!("{time} "), Pen::dim()),
            Span::styled(format!("{sign} {text}"), pen.mood(*mood)),
        ])
    });
    lines.extend(events);
    lines
}

/// The end of a log.
pub(super) fn log(
    pen: Pen,
    view: &mut View,
    picture: &Picture,
    log: &Result<Vec<String>, String>,
    room: usize,
    width: usize,
) -> Vec<Line<'static>> {
    let row = picture
        .rows()
        .find(|row| row.number.is_some() && row.number == view.chosen());
    let Some(rows) = room.checked_sub(2) else {
        return Vec::new();
    };
    let role =
        row.and_then(|row| row.replica).map_or(
            "",
            |replica| if replica { ", replica" } else { ", primary" },
        );
    let facts = row.map(|row| {
        let pid = row
            .pid
            .map_or_else(|| "no process".to_owned(), |pid| format!("pid {pid}"));
        let id = row.id.as_ref().map_or("unknown", |id| id.short());
        let load = row.load.map_or_else(String::new, |load| {
            let limit = match load.max_memory {
                0 => String::new(),
                limit => format!(" of {}", bytes(limit)),
            };
            format!(
                ", up {} s, {} key{}, {} client{}, memory {}{limit}",
                load.uptime,
                load.keys,
                if load.keys == 1 { "" } else { "s" },
                load.clients,
                if load.clients == 1 { "" } else { "s" },
                bytes(load.memory)
            )
        });
        let why = row
            .why
            .as_ref()
            .map_or_else(String::new, |why| format!("; {why}"));
        format!("   {pid}, id {id}{load}{why}")
    });
    let mut lines = vec![
        title(
            pen,
            &format!(" log of {}{role} ", view.chosen_name),
            "",
            width,
        ),
        Line::raw(facts.unwrap_or_default()),
    ];
    match log {
        Err(why) => lines.push(Line::styled(
            format!("the log cannot be read: {why}"),
            pen.mood(Mood::Bad),
        )),
        Ok(log) if log.is_empty() => lines.push(Line::styled("the log is empty", Pen::dim())),
        Ok(log) => {
            let all: Vec<String> = log.iter().flat_map(|line| wrapped(line, width)).collect();
            if view.back > 0 {
                view.back += added(&view.read, &all);
            }
            view.read.clone_from(&all);
            view.back = view.back.min(all.len().saturating_sub(rows));
            let first = all.len().saturating_sub(rows + view.back);
            let shown = all.into_iter().skip(first).take(rows);
            lines.extend(shown.map(Line::raw));
        }
    }
    lines
}

/// How many lines stand behind those that were last shown. `now` may have lost some at its beginning.
fn added(was: &[String], now: &[String]) -> usize {
    (0..now.len())
        .find(|new| {
            let (mut old, mut kept) = (was.iter().rev(), now.iter().rev().skip(*new));
            // A few lines tell where it was; the first of them may be cut off by now.
            (0..8).all(|_| match (old.next(), kept.next()) {
                (Some(old), Some(kept)) => old == kept,
                _ => true,
            })
        })
        .filter(|_| !was.is_empty())
        .unwrap_or(0)
}

/// `text` in lines of at most `width` columns.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut taken = 0;
    for c in text.chars() {
        let mut bytes = [0; 4];
        let wide = Span::raw(&*c.encode_utf8(&mut bytes)).width();
        if taken + wide > width {
            lines.push(String::new());
            taken = 0;
        }
        taken += wide;
        if let Some(line) = lines.last_mut() {
            line.push(c);
        }
    }
    lines
}

pub(super) const HELP: &[&str] = &[
    "Keys",
    "  q, Esc, Ctrl-C   quit            up/down, j/k   choose a node",
    "  space            freeze          PgUp, PgDn     older and newer events",
    "  n                to the next node with a problem",
    "  l, Enter         the end of the chosen node's log",
    "Slots: one line a shard, from slot 0 on the left to 16383",
    "  #  owned   +  partly   .  not   >  moving   x  primary away   !  no owner",
    "State",
    "  ok       answers, and its cluster_state is ok",
    "  apart    answers, and does not know all nodes, or has no bus link to one",
    "  fail     answers, and its cluster_state is fail: it refuses commands",
    "  failed   answers, and the cluster calls it failed; failed?: one node does",
    "  loading  reads its data; other such words are the first of its error",
    "  hung     runs, and does not answer",
    "  dead     does not run; stopped: rcluster stopped it",
    "  foreign  another process has its port; other: not a node of this cluster's",
    "Numbers",
    "  link     of a replica to its primary: up, down, sync (takes a full copy)",
    "  lag      bytes of the replication stream that a replica is behind",
    "  ops/s    commands, with those of replicas and not of this program; above:",
    "           of all primaries together; a replica makes its primary say 1 more",
    "  bus      links to other nodes that stand, of how many",
];

pub(super) fn help(pen: Pen, view: &mut View, room: usize, width: usize) -> Vec<Line<'static>> {
    let Some(rows) = room.checked_sub(1) else {
        return Vec::new();
    };
    let all: Vec<String> = HELP
        .iter()
        .flat_map(|line| {
            let signs = line.starts_with("  #") && !pen.look.ascii;
            let line = if signs {
                line.replace("#  ", "█  ")
                    .replace("+  ", "▒  ")
                    .replace(".  ", "·  ")
                    .replace(">  ", "»  ")
                    .replace("x  ", "×  ")
            } else {
                (*line).to_owned()
            };
            wrapped(&line, width)
        })
        .collect();
    view.top = view.top.min(all.len().saturating_sub(rows));
    let mut lines = vec![title(pen, " help ", "", width)];
    let shown = all.into_iter().skip(view.top).take(rows);
    lines.extend(shown.map(|line| {
        let style = if line.starts_with(' ') {
            Style::new()
        } else {
            Pen::bold()
        };
        Line::styled(line, style)
    }));
    lines
}
