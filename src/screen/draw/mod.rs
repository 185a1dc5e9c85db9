//! The picture: a view and what it shows, as cells of a terminal of any size.

mod columns;
mod panes;
mod pen;
mod slots;
mod table;
#[cfg(test)]
mod tests;

use ratatui::buffer::Buffer;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use crate::plan::watch::{Picture, Standing};
use crate::screen::number::count;
use crate::screen::view::{Pane, View};
use panes::{events, help, log};
use pen::{Pen, prefix};
use table::{scrolled, table};

/// Below this width roles are letters.
const NARROW: usize = 60;

/// Draws all of it.
pub(super) fn draw(buffer: &mut Buffer, view: &mut View, picture: &Picture) {
    let area = buffer.area;
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    if width == 0 || height == 0 {
        return;
    }
    let pen = Pen { look: view.look };
    let mut lines = vec![header(pen, view, picture, width)];
    let room = height.saturating_sub(2);
    match view.pane.clone() {
        Pane::None => {
            let table = table(pen, view, picture, width, height);
            let split = split(table.lines.len(), view.events.len(), room);
            let shown = scrolled(&table, split.table, width);
            lines.extend(shown.lines);
            lines.resize(1 + split.table, Line::default());
            lines.extend(events(pen, view, split.events, width, &shown.position));
        }
        Pane::Help => lines.extend(help(pen, view, room, width)),
        Pane::Log(text) => lines.extend(log(pen, view, picture, &text, room, width)),
    }
    lines.resize(height.max(2) - 1, Line::default());
    lines.push(footer(view, width));
    for (line, y) in lines.into_iter().zip(area.y..area.bottom()) {
        let line = pen.fit(line, width);
        buffer.set_line(area.x, y, &line, area.width);
    }
}

/// Where the room between the first and the last line goes.
struct Split {
    table: usize,
    events: usize,
}

fn split(wanted: usize, events: usize, room: usize) -> Split {
    // The heading of the columns.
    let wanted = wanted + 1;
    let least = match room {
        0..4 => 0,
        4..6 => 2,
        6..12 => 3,
        // Where little has happened yet a row is more use than a blank line.
        _ => (room / 4).max(4).min(events + 1),
    };
    let table = wanted.min(room.saturating_sub(least));
    Split {
        table,
        events: room - table,
    }
}

/// The first line: which cluster, and how it is.
fn header(pen: Pen, view: &View, picture: &Picture, width: usize) -> Line<'static> {
    let standing = picture.standing;
    let word = match standing {
        Standing::Fail(say, of) => format!("fail ({say} of {of} nodes)"),
        other => other.word().to_owned(),
    };
    let clock = view.clock.text(view.frozen_at().unwrap_or(view.now));
    let clock = if view.clock.utc {
        format!("{clock} UTC")
    } else {
        clock
    };
    let mut right = Vec::new();
    if view.frozen_at().is_some() {
        right.push(Span::styled(
            " FROZEN ",
            Style::new().add_modifier(Modifier::REVERSED),
        ));
        right.push(Span::raw(" "));
    }
    right.push(Span::raw(clock));
    let right = Line::from(right);

    // The name is what can be cut, the state is not.
    let for_name = width.saturating_sub(2 + word.chars().count());
    let name = if picture.name.chars().count() > for_name {
        let cut = prefix(&picture.name, for_name.saturating_sub(1));
        format!("{cut}{}", pen.more())
    } else {
        picture.name.clone()
    };
    let mut left = vec![
        Span::styled(name, Pen::bold()),
        Span::raw(": "),
        Span::styled(word, pen.mood(standing.mood())),
    ];
    // As much as there is room for, the most important first.
    let tls = if picture.tls { ", TLS" } else { "" };
    let facts = [
        format!(
            "{}/{} {}",
            picture.answering,
            picture.nodes,
            if picture.nodes == 1 { "node" } else { "nodes" }
        ),
        format!("{}/16384 slots", picture.served),
        format!("{} ops/s", count(picture.ops)),
        format!("{}{tls}", picture.server),
    ];
    for fact in facts {
        let taken = Line::from(left.clone()).width() + 2 + fact.len() + 1 + right.width();
        if taken <= width {
            left.push(Span::raw(format!("  {fact}")));
        }
    }
    beside(left, right, width)
}

/// `left`, and `right` at the right end, if there is room for it.
fn beside(left: Vec<Span<'static>>, right: Line<'static>, width: usize) -> Line<'static> {
    let mut line = Line::from(left);
    let gap = width.saturating_sub(line.width() + right.width());
    if gap > 0 {
        line.push_span(Span::raw(" ".repeat(gap)));
        line.extend(right.spans);
    }
    line
}

fn title(pen: Pen, left: &str, right: &str, width: usize) -> Line<'static> {
    let rule = width.saturating_sub(2 + left.chars().count() + right.chars().count());
    Line::styled(
        format!(
            "{0}{left}{1}{right}{0}",
            pen.rule(),
            pen.rule().repeat(rule)
        ),
        Pen::dim(),
    )
}

fn footer(view: &View, width: usize) -> Line<'static> {
    let frozen = if view.frozen_at().is_some() {
        "go on"
    } else {
        "freeze"
    };
    let keys: &[(&str, &str)] = match view.pane {
        Pane::None => &[
            ("q", "quit"),
            ("jk", "choose"),
            ("l", "log"),
            ("space", frozen),
            ("n", "next problem"),
            ("?", "help"),
        ],
        Pane::Help => &[("q", "quit"), ("jk", "scroll"), ("Esc", "back")],
        Pane::Log(_) => &[
            ("q", "quit"),
            ("jk", "node"),
            ("PgUp", "older"),
            ("Esc", "back"),
        ],
    };
    let mut line = Line::default();
    for (key, what) in keys {
        if *key == "n" && view.troubled.is_empty() {
            continue;
        }
        let spans = [
            Span::styled(format!(" {key}"), Pen::bold()),
            Span::raw(format!(" {what} ")),
        ];
        if line.width() + Line::from(spans.to_vec()).width() <= width {
            line.extend(spans);
        }
    }
    line
}
