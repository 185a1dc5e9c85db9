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

    /// `line` without what the terminal cannot show.
    pub(super) fn fit(self, line: Line<'static>) -> Line<'static> {
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
