//! Slots as a strip: from slot 0 on the left to 16383.

use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};

use super::NARROW;
use super::pen::Pen;
use crate::cluster::{Cell, SlotRange, strip};
use crate::plan::watch::{Mood, ShardRow};

/// A shard: its number, which slots it owns, how many.
pub(super) fn strip_line(pen: Pen, shard: &ShardRow, width: usize) -> Line<'static> {
    let number = shard
        .number
        .map(|number| number.to_string())
        .unwrap_or_default();
    let slots = shard.slot_count();
    let more = match (slots, shard.serves || width < NARROW) {
        (1, true) => "slot",
        (1, false) => "slot, no primary",
        (_, true) => "slots",
        (_, false) => "slots, no primary",
    };
    let tail = format!(" {slots:>5} {more}");
    let cells = strip(&shard.slots, &shard.moving, strip_width(width));
    let style = if shard.serves {
        pen.color(Color::Cyan)
    } else {
        pen.mood(Mood::Bad)
    };
    let sign = |cell: Cell| match (cell, shard.serves, pen.look.ascii) {
        // Owned, and nobody is there to serve it.
        (Cell::Full | Cell::Part, false, true) => 'x',
        (Cell::Full | Cell::Part, false, false) => '×',
        _ => cell.sign(pen.look.ascii),
    };
    let mut spans = vec![Span::styled(format!("{number:>2} "), Pen::bold())];
    spans.extend(runs(&cells, sign, style));
    spans.push(Span::styled(
        tail,
        if shard.serves {
            Style::new()
        } else {
            pen.mood(Mood::Bad)
        },
    ));
    Line::from(spans)
}

/// Slots that nobody owns.
pub(super) fn gaps(pen: Pen, gaps: &[SlotRange], width: usize) -> Line<'static> {
    let slots: usize = gaps.iter().map(|range| usize::from(range.len())).sum();
    let word = if slots == 1 { "slot" } else { "slots" };
    let tail = format!(" {slots:>5} {word}, no owner");
    let cells = strip(gaps, &[], strip_width(width));
    let sign = |cell| {
        if cell == Cell::Free {
            Cell::Free.sign(pen.look.ascii)
        } else {
            '!'
        }
    };
    let mut spans = vec![Span::styled(" ! ", pen.mood(Mood::Bad))];
    spans.extend(runs(&cells, sign, pen.mood(Mood::Bad)));
    spans.push(Span::styled(tail, pen.mood(Mood::Bad)));
    Line::from(spans)
}

/// All strips are equally wide, so that they can be compared. On a small terminal what stands beside
/// them may be cut.
pub(super) fn strip_width(width: usize) -> usize {
    let beside = if width < NARROW {
        " 16384 slots"
    } else {
        " 16384 slots, no primary"
    };
    width.saturating_sub(3 + beside.len())
}

/// Cells as text: those that are free are dim.
pub(super) fn runs(
    cells: &[Cell],
    sign: impl Fn(Cell) -> char,
    style: Style,
) -> Vec<Span<'static>> {
    let groups = cells.chunk_by(|a, b| (*a == Cell::Free) == (*b == Cell::Free));
    let span = |group: &[Cell]| {
        let text: String = group.iter().map(|cell| sign(*cell)).collect();
        let free = group.first() == Some(&Cell::Free);
        Span::styled(text, if free { Pen::dim() } else { style })
    };
    groups.map(span).collect()
}
