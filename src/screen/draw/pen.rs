//! Colours and signs, as far as the terminal has them.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use crate::plan::watch::Mood;
use crate::screen::view::Look;

/// Writes what the terminal can show.
#[derive(Clone, Copy)]
pub(super) struct Pen {
    pub(super) look: Look,
}

impl Pen {
    pub(super) fn color(self, color: Color) -> Style {
        if self.look.color {
            Style::new().fg(color)
        } else {
            Style::new()
        }
    }

    pub(super) fn mood(self, mood: Mood) -> Style {
        match mood {
            Mood::Good => self.color(Color::Green),
            Mood::Plain => Style::new(),
            Mood::Warn => self.color(Color::Yellow),
            Mood::Bad => self.color(Color::Red).add_modifier(Modifier::BOLD),
        }
    }

    pub(super) fn dim() -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn bold() -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(super) fn rule(self) -> &'static str {
        if self.look.ascii { "-" } else { "─" }
    }

    /// `line` without what the terminal cannot show, and no wider than it is: that something was cut
    /// off is said by its last sign.
    pub(super) fn fit(self, line: Line<'static>, width: usize) -> Line<'static> {
        self.cut(self.plain(line), width)
    }

    fn plain(self, line: Line<'static>) -> Line<'static> {
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

    fn cut(self, line: Line<'static>, width: usize) -> Line<'static> {
        if line.width() <= width {
            return line;
        }
        let style = line.style;
        let mut room = width.saturating_sub(1);
        let mut spans = Vec::new();
        for span in line.spans {
            let text = prefix(&span.content, room);
            let is_whole = text.len() == span.content.len();
            room -= Span::raw(text).width();
            spans.push(Span::styled(text.to_owned(), span.style));
            if !is_whole {
                spans.push(Span::styled(self.more(), span.style));
                break;
            }
        }
        Line::from(spans).style(style)
    }

    /// The sign for what was cut off.
    pub(super) fn more(self) -> &'static str {
        if self.look.ascii { "~" } else { "…" }
    }
}

/// As much of `text` as `width` columns have room for.
pub(super) fn prefix(text: &str, width: usize) -> &str {
    let mut taken = 0;
    for (at, c) in text.char_indices() {
        let mut bytes = [0; 4];
        taken += Span::raw(&*c.encode_utf8(&mut bytes)).width();
        if taken > width {
            return text.get(..at).unwrap_or_default();
        }
    }
    text
}
