//! What is told of a node, in columns.

use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use super::NARROW;
use super::pen::Pen;
use crate::plan::watch::{Link, Load, Mood, NodeRow};
use crate::screen::number::{bytes, count, whole};

/// What is shown of a node beside its name, in the order of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
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
pub(super) struct Columns {
    name: usize,
    narrow: bool,
    shown: Vec<Column>,
}

impl Columns {
    pub(super) fn new(width: usize, name: usize) -> Self {
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

    pub(super) fn head(&self) -> Line<'static> {
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

pub(super) fn node_line(
    pen: Pen,
    node: &NodeRow,
    columns: &Columns,
    is_chosen: bool,
) -> Line<'static> {
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
