//! `status`: the nodes as a table, the slots as a picture, and what is wrong.

use super::speaks_utf8;
use super::style::Style;
use super::text::{process_word, push, role_word, servers, state_word, table_within};
use crate::cluster::{Cell, Role, SLOT_COUNT, SlotRange, counted, ranges_of, slot_text, strip};
use crate::ops::{Answer, NodeAnswer};

/// How a status is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// The columns of the terminal, if it is one that it is looked at on.
    pub terminal: Option<usize>,
    /// Whether all ranges of slots are wanted, however many there are.
    pub all: bool,
}

/// How wide the picture is where nobody looks at it on a terminal.
const WIDTH: usize = 80;

/// How wide it is at most: more than eyes need.
const WIDEST: usize = 120;

/// How many ranges of slots a row shows.
const RANGES: usize = 3;

/// The columns that a narrow terminal can do without: id, bus, pid. What goes first stands first.
const SPARE: [usize; 3] = [9, 2, 4];

pub(super) fn text(out: &mut String, answer: &Answer, sight: Sight, style: Style) {
    push(
        out,
        &format!(
            "{}: {}  {}{}  {}{}  {} slots ok",
            answer.name,
            state_word(answer.state, style),
            servers(answer),
            if answer.entrance.ca.is_some() {
                "  TLS"
            } else {
                ""
            },
            counted(answer.primaries, "primary", "primaries"),
            with_replicas(answer),
            if answer.slots_ok == u64::from(SLOT_COUNT) {
                // In these words the line of a usual cluster has less than 80 columns.
                format!("all {SLOT_COUNT}")
            } else {
                format!("{} of {SLOT_COUNT}", answer.slots_ok)
            },
        ),
    );
    let header = [
        "#",
        "node",
        "bus",
        "process",
        "pid",
        "role",
        "shard",
        "slots or primary",
        "link",
        "id",
    ];
    let rows = answer.nodes.iter().map(|node| row(answer, node, sight.all));
    let paint = |column, text: &str| match (column, text) {
        (3, "running") | (8, "up") => style.good(text),
        (3, _) | (8, "down") => style.bad(text),
        _ => text.to_owned(),
    };
    let room = sight.terminal.unwrap_or(usize::MAX);
    table_within(out, &header, rows, style, paint, room, &SPARE);
    let width = sight.terminal.map_or(WIDTH, |columns| columns.min(WIDEST));
    slots(out, answer, width, !speaks_utf8(), style);
    for problem in &answer.problems {
        push(out, &format!("{} {problem}", style.bad("!")));
    }
}

/// ` with 1 replica each`; of a single primary there is no each.
fn with_replicas(answer: &Answer) -> String {
    let each = if answer.primaries == 1 { "" } else { " each" };
    let replicas = counted(answer.replicas, "replica", "replicas");
    format!(" with {replicas}{each}")
}

/// A line of the picture.
struct Strip<'a> {
    name: String,
    slots: &'a [SlotRange],
    moving: &'a [SlotRange],
    /// What its slots are drawn with, if they are not served.
    instead: Option<char>,
    more: String,
}

/// A picture of the slots, one line a shard, and one of those that nobody owns.
fn slots(out: &mut String, answer: &Answer, width: usize, ascii: bool, style: Style) {
    let away = if ascii { 'x' } else { '×' };
    let shards = (1..).zip(&answer.shards).map(|(number, shard)| Strip {
        name: format!("shard {number}"),
        slots: &shard.slots,
        moving: &shard.moving,
        instead: (!shard.serves).then_some(away),
        more: if shard.serves { "" } else { ", no primary" }.to_owned(),
    });
    let mut lines: Vec<Strip> = shards.collect();
    let owned = |slot| {
        let mut all = answer.shards.iter().flat_map(|shard| &shard.slots);
        all.any(|range| range.contains(slot))
    };
    let gaps = ranges_of((0..SLOT_COUNT).filter(|slot| !owned(*slot)));
    if !lines.is_empty() && !gaps.is_empty() {
        lines.push(Strip {
            name: "nobody".into(),
            slots: &gaps,
            moving: &[],
            instead: Some('!'),
            more: format!(": {}", some(&gaps)),
        });
    }
    let count = |line: &Strip| -> usize {
        let ranges = line.slots.iter();
        ranges.map(|range| usize::from(range.len())).sum()
    };
    let names = lines.iter().map(|line| line.name.len()).max().unwrap_or(0);
    let counts = lines.iter().map(|line| count(line).to_string().len());
    let counts = counts.max().unwrap_or(0);
    let beside = 2 + names + 2 + 2 + counts + " slots".len();
    // Too narrow a picture says nothing.
    let width = width.saturating_sub(beside).max(16);
    for line in &lines {
        let sign = |cell: Cell| match (cell, line.instead) {
            (Cell::Full | Cell::Part, Some(sign)) => sign,
            _ => cell.sign(ascii),
        };
        let cells = strip(line.slots, line.moving, width).into_iter();
        let picture: String = cells.map(sign).collect();
        let count = count(line);
        let word = if count == 1 { "slot" } else { "slots" };
        let (name, more) = (&line.name, &line.more);
        let text = format!("  {name:<names$}  {picture}  {count:>counts$} {word}{more}");
        let is_bad = line.instead.is_some();
        push(out, &if is_bad { style.bad(&text) } else { text });
    }
}

/// The first few ranges, and how many there are.
fn some(ranges: &[SlotRange]) -> String {
    if ranges.len() <= RANGES {
        return slot_text(ranges);
    }
    let shown = slot_text(ranges.get(..RANGES - 1).unwrap_or_default());
    let more = if speaks_utf8() { "…" } else { "..." };
    format!("{shown} {more} ({} ranges)", ranges.len())
}

fn row(answer: &Answer, node: &NodeAnswer, all: bool) -> [String; 10] {
    let owner = match &node.role {
        Some(Role::Replica { of }) => {
            let primary = answer
                .nodes
                .iter()
                .find(|other| other.id.as_ref() == Some(of));
            primary.map_or_else(|| of.short().to_owned(), |primary| primary.addr.to_string())
        }
        _ if all => slot_text(&node.slots),
        _ => some(&node.slots),
    };
    [
        node.index.to_string(),
        node.addr.to_string(),
        node.addr.bus_port.to_string(),
        process_word(node.process).to_owned(),
        node.pid.map(|pid| pid.to_string()).unwrap_or_default(),
        role_word(node.role.as_ref()).to_owned(),
        node.shard
            .map(|shard| shard.to_string())
            .unwrap_or_default(),
        owner,
        node.link_up
            .map(|up| if up { "up" } else { "down" })
            .unwrap_or_default()
            .to_owned(),
        node.id
            .as_ref()
            .map(|id| id.short().to_owned())
            .unwrap_or_default(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_ranges_are_told_by_a_few() {
        let ranges: Vec<SlotRange> = (0..33)
            .filter_map(|n| SlotRange::new(n * 100, n * 100 + 98))
            .collect();
        let text = some(&ranges);
        assert!(text.starts_with("0-98 100-198 "), "{text}");
        assert!(text.ends_with(" (33 ranges)"), "{text}");
        assert_eq!(some(&ranges[..3]), "0-98 100-198 200-298");
    }

    #[test]
    fn columns_go_until_a_row_fits() {
        let style = Style::new(Some(false), false);
        let shown = |room| {
            let mut out = String::new();
            let row = ["one", "two", "three"].map(str::to_owned);
            let plain = |_, text: &str| text.to_owned();
            let rows = std::iter::once(row);
            table_within(
                &mut out,
                &["a", "b", "c"],
                rows,
                style,
                plain,
                room,
                &[2, 0],
            );
            out
        };
        assert_eq!(shown(17), "  a    b    c\n  one  two  three\n");
        assert_eq!(shown(16), "  a    b\n  one  two\n");
        assert_eq!(shown(9), "  b\n  two\n");
        assert_eq!(
            shown(1),
            "  b\n  two\n",
            "there is nothing more to leave out"
        );
    }
}
