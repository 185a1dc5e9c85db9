//! Shards and their nodes, line by line, and as many of the lines as there is room for.

use ratatui::text::Line;

use super::NARROW;
use super::columns::{Columns, node_line};
use super::pen::Pen;
use super::slots::{gaps, strip_line};
use crate::plan::watch::{Mood, Picture, Standing};
use crate::screen::view::View;

/// The lines of shards and nodes.
pub(super) struct Table {
    head: Option<Line<'static>>,
    pub(super) lines: Vec<Line<'static>>,
    /// Which of them is the chosen node's.
    chosen: usize,
    /// Which of them say what is wrong.
    problems: Vec<usize>,
}

pub(super) fn table(
    pen: Pen,
    view: &View,
    picture: &Picture,
    width: usize,
    height: usize,
) -> Table {
    let names = picture
        .rows()
        .map(|row| row.name.chars().count())
        .max()
        .unwrap_or(0);
    let columns = Columns::new(width, names.max(4));
    let mut lines = Vec::new();
    let mut chosen = 0;
    let mut problems = Vec::new();
    let mut without_slots = false;
    if let Some(gone) = &picture.gone {
        lines.push(Line::styled(
            format!("! {gone}; looking for it"),
            pen.mood(Mood::Bad),
        ));
    }
    if !picture.gaps.is_empty() && picture.standing != Standing::Unformed {
        lines.push(gaps(pen, &picture.gaps, width));
    }
    for shard in &picture.shards {
        if !shard.slots.is_empty() {
            lines.push(strip_line(pen, shard, width));
        } else if !std::mem::replace(&mut without_slots, true) {
            lines.push(Line::styled(" -  no slots", Pen::dim()));
        }
        for node in &shard.nodes {
            let is_chosen = node.number.is_some() && node.number == view.chosen();
            if is_chosen {
                chosen = lines.len();
            }
            if node.mood >= Mood::Warn {
                problems.push(lines.len());
            }
            lines.push(node_line(pen, node, &columns, is_chosen));
        }
    }
    Table {
        head: (height >= 12).then(|| columns.head()),
        lines,
        chosen,
        problems,
    }
}

/// What is on the screen of it.
pub(super) struct Shown {
    pub(super) lines: Vec<Line<'static>>,
    /// Which lines are shown, if not all are.
    pub(super) position: String,
}

/// As much of the table as there is room for, with the chosen node in it.
pub(super) fn scrolled(table: &Table, room: usize, width: usize) -> Shown {
    let head: Vec<Line> = table.head.clone().into_iter().collect();
    let rows = room.saturating_sub(head.len());
    let all = table.lines.len();
    let first = table
        .chosen
        .saturating_sub(rows / 2)
        .min(all.saturating_sub(rows));
    let shown = table.lines.iter().skip(first).take(rows).cloned();
    let lines: Vec<Line> = head.into_iter().chain(shown).collect();
    let last = (first + rows).min(all);
    let position = if rows < all {
        let above = table.problems.iter().filter(|line| **line < first).count();
        let below = table.problems.iter().filter(|line| **line >= last).count();
        let hidden = |count: usize, place: &str| match count {
            0 => String::new(),
            1 => format!(", 1 problem {place}"),
            count => format!(", {count} problems {place}"),
        };
        let hidden = hidden(above, "above") + &hidden(below, "below");
        let is_short = width < NARROW && !hidden.is_empty();
        let lines = if is_short { "" } else { "lines " };
        format!(" {lines}{}-{last} of {all}{hidden} ", first + 1)
    } else {
        String::new()
    };
    Shown { lines, position }
}
