//! The picture: a view and what it shows, as cells of a terminal of any size.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::number::{bytes, count, whole};
use super::view::{Look, Pane, View};
use crate::cluster::{Cell, SlotRange, strip};
use crate::plan::watch::{Link, Load, Mood, NodeRow, Picture, ShardRow, Standing};

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
            let split = split(table.lines.len(), room);
            let shown = scrolled(&table, split.table);
            lines.extend(shown.lines);
            lines.resize(1 + split.table, Line::default());
            lines.extend(events(pen, view, split.events, width, &shown.position));
        }
        Pane::Help => lines.extend(help(pen, view, room, width)),
        Pane::Log(log) => lines.extend(self::log(pen, view, picture, &log, room, width)),
    }
    lines.resize(height.max(2) - 1, Line::default());
    lines.push(footer(view, width));
    for (line, y) in lines.into_iter().zip(area.y..area.bottom()) {
        let line = pen.fit(line);
        buffer.set_line(area.x, y, &line, area.width);
    }
}

/// Writes what the terminal can show.
#[derive(Clone, Copy)]
struct Pen {
    look: Look,
}

impl Pen {
    fn color(self, color: Color) -> Style {
        if self.look.color {
            Style::new().fg(color)
        } else {
            Style::new()
        }
    }

    fn mood(self, mood: Mood) -> Style {
        match mood {
            Mood::Good => self.color(Color::Green),
            Mood::Plain => Style::new(),
            Mood::Warn => self.color(Color::Yellow),
            Mood::Bad => self.color(Color::Red).add_modifier(Modifier::BOLD),
        }
    }

    fn dim() -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    fn bold() -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    fn rule(self) -> &'static str {
        if self.look.ascii { "-" } else { "─" }
    }

    /// `line` without what the terminal cannot show.
    fn fit(self, line: Line<'static>) -> Line<'static> {
        if !self.look.ascii || line.spans.iter().all(|span| span.content.is_ascii()) {
            return line;
        }
        let style = line.style;
        let spans = line.spans.into_iter().map(|span| {
            let text: String = span
                .content
                .chars()
                .map(|c| if c.is_ascii() { c } else { '?' })
                .collect();
            Span::styled(text, span.style)
        });
        Line::from(spans.collect::<Vec<_>>()).style(style)
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

    let mut left = vec![
        Span::styled(picture.name.clone(), Pen::bold()),
        Span::raw(": "),
        Span::styled(word, pen.mood(standing.mood())),
    ];
    // As much as there is room for, the most important first.
    let tls = if picture.tls { ", TLS" } else { "" };
    let facts = [
        format!("{}/{} nodes", picture.answering, picture.nodes),
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

/// The lines of shards and nodes.
struct Table {
    head: Option<Line<'static>>,
    lines: Vec<Line<'static>>,
    /// Which of them is the chosen node's.
    chosen: usize,
}

fn table(pen: Pen, view: &View, picture: &Picture, width: usize, height: usize) -> Table {
    let names = picture
        .rows()
        .map(|row| row.name.chars().count())
        .max()
        .unwrap_or(0);
    let columns = Columns::new(width, names.max(4));
    let mut lines = Vec::new();
    let mut chosen = 0;
    let mut without_slots = false;
    if let Some(gone) = &picture.gone {
        lines.push(Line::styled(
            format!("! {gone}; looking for it"),
            pen.mood(Mood::Bad),
        ));
    }
    if !picture.gaps.is_empty() {
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
            lines.push(node_line(pen, node, &columns, is_chosen));
        }
    }
    Table {
        head: (height >= 12).then(|| columns.head()),
        lines,
        chosen,
    }
}

/// Where the room between the first and the last line goes.
struct Split {
    table: usize,
    events: usize,
}

fn split(wanted: usize, room: usize) -> Split {
    // The heading of the columns.
    let wanted = wanted + 1;
    let least = match room {
        0..4 => 0,
        4..6 => 2,
        6..12 => 3,
        _ => (room / 4).max(4),
    };
    let table = wanted.min(room.saturating_sub(least));
    Split {
        table,
        events: room - table,
    }
}

struct Shown {
    lines: Vec<Line<'static>>,
    /// Which lines are shown, if not all are.
    position: String,
}

/// As much of the table as there is room for, with the chosen node in it.
fn scrolled(table: &Table, room: usize) -> Shown {
    let head: Vec<Line> = table.head.clone().into_iter().collect();
    let rows = room.saturating_sub(head.len());
    let all = table.lines.len();
    let first = table
        .chosen
        .saturating_sub(rows / 2)
        .min(all.saturating_sub(rows));
    let shown = table.lines.iter().skip(first).take(rows).cloned();
    let lines: Vec<Line> = head.into_iter().chain(shown).collect();
    let position = if rows < all {
        format!(" lines {}-{} of {all} ", first + 1, (first + rows).min(all))
    } else {
        String::new()
    };
    Shown { lines, position }
}

/// A shard: its number, which slots it owns, how many.
fn strip_line(pen: Pen, shard: &ShardRow, width: usize) -> Line<'static> {
    let number = shard
        .number
        .map(|number| number.to_string())
        .unwrap_or_default();
    let slots = shard.slot_count();
    let more = if shard.serves {
        "slots"
    } else {
        "slots, no primary"
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
fn gaps(pen: Pen, gaps: &[SlotRange], width: usize) -> Line<'static> {
    let slots: usize = gaps.iter().map(|range| usize::from(range.len())).sum();
    let tail = format!(" {slots:>5} slots, no owner");
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
fn strip_width(width: usize) -> usize {
    let beside = if width < NARROW {
        " 16384 slots"
    } else {
        " 16384 slots, no primary"
    };
    width.saturating_sub(3 + beside.len())
}

/// Cells as text: those that are free are dim.
fn runs(cells: &[Cell], sign: impl Fn(Cell) -> char, style: Style) -> Vec<Span<'static>> {
    let groups = cells.chunk_by(|a, b| (*a == Cell::Free) == (*b == Cell::Free));
    let span = |group: &[Cell]| {
        let text: String = group.iter().map(|cell| sign(*cell)).collect();
        let free = group.first() == Some(&Cell::Free);
        Span::styled(text, if free { Pen::dim() } else { style })
    };
    groups.map(span).collect()
}

/// What is shown of a node beside its name, in the order of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Role,
    State,
    Link,
    Lag,
    Offset,
    Ops,
    Memory,
    Clients,
    Keys,
    Epoch,
    Bus,
    Pid,
}

/// The columns that there is room for.
struct Columns {
    name: usize,
    narrow: bool,
    shown: Vec<Column>,
}

impl Columns {
    fn new(width: usize, name: usize) -> Self {
        use Column as C;
        let narrow = width < NARROW;
        // The most important first.
        let wishes = [
            C::Role,
            C::State,
            C::Link,
            C::Lag,
            C::Ops,
            C::Memory,
            C::Offset,
            C::Clients,
            C::Epoch,
            C::Keys,
            C::Bus,
            C::Pid,
        ];
        let mut room = width.saturating_sub(3 + name);
        let mut shown = Vec::new();
        for column in wishes {
            let (_, needed) = column.head(narrow);
            let Some(left) = room.checked_sub(needed + 1) else {
                break;
            };
            room = left;
            shown.push(column);
        }
        shown.sort_by_key(|column| *column as usize);
        Self {
            name,
            narrow,
            shown,
        }
    }

    fn head(&self) -> Line<'static> {
        let mut text = format!("   {:<width$}", "node", width = self.name);
        for column in &self.shown {
            let (head, width) = column.head(self.narrow);
            text += &column.pad(head, width);
        }
        Line::styled(text, Pen::dim())
    }
}

impl Column {
    /// Its heading and width.
    fn head(self, narrow: bool) -> (&'static str, usize) {
        match self {
            Self::Role if narrow => ("", 1),
            Self::Role => ("role", 7),
            Self::State => ("state", 8),
            Self::Link => ("link", 4),
            Self::Lag => ("lag", 6),
            Self::Offset => ("offset", 10),
            Self::Ops => ("ops/s", 6),
            Self::Memory => ("memory", 6),
            Self::Clients => ("clients", 7),
            Self::Keys => ("keys", 6),
            Self::Epoch => ("epoch", 5),
            Self::Bus => ("bus", 7),
            Self::Pid => ("pid", 7),
        }
    }

    /// Words stand left in their column, numbers right.
    fn pad(self, text: &str, width: usize) -> String {
        match self {
            Self::Role | Self::State | Self::Link => format!(" {text:<width$}"),
            _ => format!(" {text:>width$}"),
        }
    }

    fn text(self, node: &NodeRow, narrow: bool, width: usize) -> String {
        let load = |text: &dyn Fn(&Load) -> String| {
            node.load.as_ref().map_or_else(|| "-".to_owned(), text)
        };
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        match self {
            Self::Role => match (node.replica, narrow) {
                (Some(false), true) => "P",
                (Some(true), true) => "R",
                (Some(false), false) => "primary",
                (Some(true), false) => "replica",
                (None, _) => "-",
            }
            .to_owned(),
            Self::State => node.state.clone(),
            Self::Link => match node.link {
                Some(Link::Up) => "up",
                Some(Link::Sync) => "sync",
                Some(Link::Down) => "down",
                None => "-",
            }
            .to_owned(),
            Self::Lag => or_none(node.lag.map(bytes)),
            Self::Offset => or_none(node.offset.map(|offset| whole(offset, width))),
            Self::Ops => or_none(node.ops.map(count)),
            Self::Memory => load(&|load| bytes(load.memory)),
            Self::Clients => load(&|load| count(load.clients)),
            Self::Keys => load(&|load| count(load.keys)),
            Self::Epoch => or_none(node.epoch.map(count)),
            Self::Bus => or_none(node.bus.map(|(up, all)| format!("{up}/{all}"))),
            Self::Pid => or_none(node.pid.map(|pid| pid.to_string())),
        }
    }
}

fn node_line(pen: Pen, node: &NodeRow, columns: &Columns, is_chosen: bool) -> Line<'static> {
    let mark = if is_chosen { " > " } else { "   " };
    let name = format!("{:<width$}", node.name, width = columns.name);
    let style = if is_chosen {
        Pen::bold().add_modifier(Modifier::REVERSED)
    } else {
        Pen::bold()
    };
    let mut spans = vec![Span::styled(format!("{mark}{name}"), style)];
    for column in &columns.shown {
        // Who does not answer has no numbers: why he does not is more use.
        if node.load.is_none() && !matches!(column, Column::Role | Column::State) {
            if let Some(why) = &node.why {
                spans.push(Span::styled(format!(" {why}"), pen.mood(node.mood)));
            }
            break;
        }
        let (_, wide) = column.head(columns.narrow);
        let text = column.pad(&column.text(node, columns.narrow, wide), wide);
        let style = match column {
            Column::Role if node.replica == Some(false) => Pen::bold(),
            Column::State => pen.mood(node.mood),
            Column::Link if node.link == Some(Link::Down) => pen.mood(Mood::Bad),
            Column::Link if node.link == Some(Link::Sync) => pen.mood(Mood::Warn),
            _ => Style::new(),
        };
        spans.push(Span::styled(text, style));
    }
    Line::from(spans)
}

/// What happened, the newest last.
fn events(
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

/// The end of a log.
fn log(
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
                ", up {} s, {} keys, {} clients, memory {}{limit}",
                load.uptime,
                load.keys,
                load.clients,
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
            view.back = view.back.min(all.len().saturating_sub(rows));
            let first = all.len().saturating_sub(rows + view.back);
            let shown = all.into_iter().skip(first).take(rows);
            lines.extend(shown.map(Line::raw));
        }
    }
    lines
}

/// `text` in lines of at most `width` columns.
fn wrapped(text: &str, width: usize) -> Vec<String> {
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

const HELP: &[&str] = &[
    "Keys",
    "  q, Esc, Ctrl-C   quit            up/down, j/k   choose a node",
    "  space            freeze          PgUp, PgDn     older and newer events",
    "  l, Enter         the end of the chosen node's log",
    "Slots: one line a shard, from slot 0 on the left to 16383",
    "  #  owned   +  partly   .  not   >  moving   x  primary away   !  no owner",
    "State",
    "  ok       answers, and its cluster_state is ok",
    "  fail     answers, and its cluster_state is fail: it refuses commands",
    "  failed   answers, and the cluster calls it failed; failed?: one node does",
    "  loading  reads its data; other such words are the first of its error",
    "  hung     runs, and does not answer",
    "  dead     does not run; stopped: rcluster stopped it",
    "  foreign  another process has its port; other: not a node of this cluster's",
    "Numbers",
    "  link     of a replica to its primary: up, down, sync (takes a full copy)",
    "  lag      bytes of the replication stream that a replica is behind",
    "  ops/s    commands, without those of this program; above: of all primaries",
    "  bus      links to other nodes that stand, of how many",
];

fn help(pen: Pen, view: &mut View, room: usize, width: usize) -> Vec<Line<'static>> {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::plan::watch::Found;
    use crate::plan::watch::fixture::{Fake, range};
    use crate::screen::{Action, Clock, Key};

    const ASCII: Look = Look {
        color: false,
        ascii: true,
    };
    const PLAIN: Look = Look {
        color: false,
        ascii: false,
    };

    fn view(look: Look) -> View {
        // Just before midnight, which comes during the watch.
        View::new(
            look,
            Clock {
                began: 86_398,
                utc: false,
            },
        )
    }

    /// What is on a terminal of that size, without blanks at the ends of lines.
    fn drawn(view: &mut View, fake: &Fake, width: u16, height: u16) -> Vec<String> {
        let (lines, colors) = drawn_with_colors(view, fake, width, height);
        assert!(view.look.color || !colors, "a colour where none was wanted");
        lines
    }

    fn drawn_with_colors(
        view: &mut View,
        fake: &Fake,
        width: u16,
        height: u16,
    ) -> (Vec<String>, bool) {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
        view.now = Duration::from_secs(fake.round);
        let picture = view.prepare(&fake.model);
        terminal
            .draw(|frame| draw(frame.buffer_mut(), view, &picture))
            .expect("drawn");
        let buffer = terminal.backend().buffer();
        let cells = buffer.content();
        let colors = cells
            .iter()
            .any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
        let lines = cells.chunks(usize::from(width.max(1))).map(|line| {
            let text: String = line.iter().map(ratatui::buffer::Cell::symbol).collect();
            text.trim_end().to_owned()
        });
        (lines.collect(), colors)
    }

    fn story() -> Fake {
        let mut fake = Fake::seen(3);
        fake.nodes[0].commands = 1503;
        fake.nodes[0].offset = 123_456_789;
        fake.nodes[3].offset = 123_450_000;
        fake.nodes[1].instead = Some(Found::Dead { stopped: false });
        fake.nodes[5].instead = Some(Found::Silent("is stopped (SIGSTOP)".into()));
        fake.look();
        fake
    }

    #[test]
    fn eighty_by_twenty_four() {
        let lines = drawn(&mut view(PLAIN), &story(), 80, 24);
        let wanted = [
            "default: degraded  4/6 nodes  10923/16384 slots  1.5k ops/s             00:00:00",
            "   node role    state    link    lag     offset  ops/s memory clients epoch",
            " 1 █████████████████▒···································  5461 slots",
            " > 7001 primary ok       -         -  123456789   1.5k   1.9M       3     1",
            "   7004 replica ok       up     6.6K  123450000      0   1.9M       3     1",
            " 2 ·················×××××××××××××××××××·················  5461 slots, no primary",
            "   7002 primary dead     does not run",
            "   7005 replica ok       up        -       1000      0   1.9M       3     2",
            " 3 ···································▒█████████████████  5462 slots",
            "   7003 primary ok       -         -       1000      0   1.9M       3     3",
            "   7006 replica hung     is stopped (SIGSTOP)",
            "─ events ───────────────────────────────────────────────────────────────────────",
            "00:00:00 ! 7002 died (pid 101)",
            "00:00:00 ! 7006 is stopped (SIGSTOP)",
            "00:00:00 * cluster ok -> degraded",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            " q quit  jk choose  l log  space freeze  ? help",
        ];
        assert_eq!(lines, wanted);
    }

    #[test]
    fn forty_by_ten_in_ascii() {
        let lines = drawn(&mut view(ASCII), &story(), 40, 10);
        let wanted = [
            "default: degraded  4/6 nodes    00:00:00",
            " 1 ########+................  5461 slots",
            " > 7001 P ok       -         -   1.5k",
            "   7004 R ok       up     6.6K      0",
            " 2 ........xxxxxxxxx........  5461 slots",
            "   7002 P dead     does not run",
            "- events -------------- lines 1-5 of 9 -",
            "00:00:00 ! 7006 is stopped (SIGSTOP)",
            "00:00:00 * cluster ok -> degraded",
            " q quit  jk choose  l log  space freeze",
        ];
        assert_eq!(lines, wanted);
    }

    #[test]
    fn what_has_no_owner_moves_or_goes_away_is_seen() {
        let mut fake = Fake::seen(2);
        fake.nodes[1].slots = vec![range(12_288, 16_383)];
        fake.look();
        let lines = drawn(&mut view(ASCII), &fake, 80, 24);
        assert!(
            lines[2].starts_with(" ! .") && lines[2].contains("!!!!!"),
            "{lines:?}"
        );
        assert!(lines[2].ends_with(" 4096 slots, no owner"), "{lines:?}");
        fake.model
            .lose("the cluster was deleted", Duration::from_secs(3));
        fake.model.settle(Duration::from_secs(3));
        let lines = drawn(&mut view(ASCII), &fake, 80, 24);
        assert!(
            lines[0].starts_with("default: gone  0/4 nodes  0/16384 slots"),
            "{lines:?}"
        );
        assert_eq!(lines[2], "! the cluster was deleted; looking for it");
    }

    #[test]
    fn keys_choose_freeze_and_open_panes() {
        let mut fake = story();
        let mut view = view(PLAIN);
        drawn(&mut view, &fake, 80, 24);
        assert_eq!(view.chosen(), Some(0));
        for (key, chosen) in [
            (Key::Up, 0),
            (Key::Down, 3),
            (Key::Char('j'), 1),
            (Key::End, 5),
            (Key::Down, 5),
            (Key::Char('k'), 2),
            (Key::Home, 0),
        ] {
            assert_eq!(view.press(key, &fake.model), Action::None);
            assert_eq!(view.chosen(), Some(chosen), "{key:?}");
        }
        // A frozen screen stays, whatever happens, and says so.
        let before = drawn(&mut view, &fake, 80, 24);
        view.press(Key::Char(' '), &fake.model);
        fake.nodes[2].instead = Some(Found::Dead { stopped: false });
        fake.look();
        let frozen = drawn(&mut view, &fake, 80, 24);
        assert!(frozen[0].contains("FROZEN  00:00:00"), "{frozen:?}");
        assert_eq!(frozen[1..11], before[1..11]);
        assert!(
            frozen[11].contains("1 more since it is frozen"),
            "{frozen:?}"
        );
        view.press(Key::Char(' '), &fake.model);
        let lines = drawn(&mut view, &fake, 80, 24);
        assert!(
            lines
                .iter()
                .any(|line| line.contains("7003 died (pid 102)")),
            "{lines:?}"
        );

        view.press(Key::Char('?'), &fake.model);
        let lines = drawn(&mut view, &fake, 80, 24);
        assert!(
            lines[1].contains("help") && lines.iter().any(|line| line.contains("lag ")),
            "{lines:?}"
        );
        assert_eq!(view.press(Key::Escape, &fake.model), Action::None);
        view.press(Key::Down, &fake.model);
        view.press(Key::Char('l'), &fake.model);
        view.pane = Pane::Log(Ok(vec!["first".into(), "x".repeat(100), "last".into()]));
        let lines = drawn(&mut view, &fake, 80, 8);
        assert!(lines[1].contains("log of 7004, replica"), "{lines:?}");
        assert!(
            lines[2].contains("pid 103") && lines[2].contains("id 04040404"),
            "{lines:?}"
        );
        assert_eq!(
            lines[3..7],
            [
                "first".to_owned(),
                "x".repeat(80),
                "x".repeat(20),
                "last".to_owned()
            ]
        );
        view.pane = Pane::Log(Err("No such file".into()));
        assert!(drawn(&mut view, &fake, 80, 8)[3].contains("cannot be read: No such file"));
        assert_eq!(view.press(Key::Escape, &fake.model), Action::None);
        assert_eq!(view.press(Key::Escape, &fake.model), Action::Quit);
        assert_eq!(view.press(Key::Char('q'), &fake.model), Action::Quit);
        assert_eq!(view.press(Key::Interrupt, &fake.model), Action::Interrupt);
    }

    #[test]
    fn colours_are_there_when_they_are_wanted() {
        let color = Look {
            color: true,
            ascii: false,
        };
        let (lines, colors) = drawn_with_colors(&mut view(color), &story(), 80, 24);
        assert!(colors);
        assert_eq!(
            lines,
            drawn(&mut view(PLAIN), &story(), 80, 24),
            "and say nothing else"
        );
    }

    #[test]
    fn the_chosen_node_is_in_sight_of_many() {
        let fake = Fake::seen(20);
        let mut view = view(ASCII);
        drawn(&mut view, &fake, 80, 24);
        for key in [Key::End, Key::Up, Key::Up, Key::Home] {
            view.press(key, &fake.model);
            let lines = drawn(&mut view, &fake, 80, 24);
            assert_eq!(
                lines.iter().filter(|line| line.starts_with(" > ")).count(),
                1,
                "{lines:?}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_size_and_no_keys_are_too_much(
            sizes in prop::collection::vec((0u16..200, 0u16..60), 1..6),
            keys in prop::collection::vec(0usize..12, 0..12),
            ascii: bool,
        ) {
            let all = [
                Key::Up, Key::Down, Key::Home, Key::End, Key::PageUp, Key::PageDown, Key::Enter, Key::Escape,
                Key::Char(' '), Key::Char('?'), Key::Char('l'), Key::Char('x'),
            ];
            let fake = story();
            let mut view = view(Look { color: false, ascii });
            for (width, height) in sizes {
                for key in &keys {
                    view.press(all[*key], &fake.model);
                    if matches!(view.pane, Pane::Log(_)) {
                        view.pane = Pane::Log(Ok(vec!["ä wide 漢字 line".repeat(9); 30]));
                    }
                    let lines = drawn(&mut view, &fake, width, height);
                    if ascii {
                        prop_assert!(lines.iter().all(|line| line.is_ascii()), "{:?}", lines);
                    }
                }
            }
        }
    }
}
