//! What is on the screen, and what keys do to it. Knows no terminal.

use std::collections::VecDeque;
use std::time::Duration;

use super::Key;
use crate::plan::watch::{Model, Mood, Picture};

/// How things look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Colours, beside signs and words.
    pub color: bool,
    /// Nothing but ASCII.
    pub ascii: bool,
}

/// The clock on the wall, as it was read last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// Seconds since midnight when the watch began: by what the clock says now, since it is set at
    /// times, and a machine that sleeps does not count.
    pub began: i64,
    /// It is UTC, since what the clock on the wall says could not be found out.
    pub utc: bool,
}

impl Clock {
    /// `12:03:44`.
    pub fn text(self, at: Duration) -> String {
        let passed = i64::try_from(at.as_secs()).unwrap_or_default();
        let second = (self.began + passed).rem_euclid(86_400);
        format!(
            "{:02}:{:02}:{:02}",
            second / 3600,
            second / 60 % 60,
            second % 60
        )
    }
}

/// What lies over the nodes and events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Pane {
    /// Nothing.
    #[default]
    None,
    /// Help.
    Help,
    /// The end of the chosen node's log; or why it cannot be read.
    Log(Result<Vec<String>, String>),
}

/// What a key asks for that the view cannot do itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing more.
    None,
    /// The end.
    Quit,
    /// The end, as by a signal.
    Interrupt,
    /// To be stopped for a while.
    Suspend,
    /// Everything drawn anew.
    Redraw,
}

/// What is on the screen.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// How things look.
    pub look: Look,
    /// The time.
    pub clock: Clock,
    /// How long the watch lasts by now.
    pub now: Duration,
    /// What lies over the nodes.
    pub pane: Pane,
    /// How far the pane, or the list of events, is scrolled back.
    pub(super) back: usize,
    /// How far the help is scrolled on.
    pub(super) top: usize,
    /// The chosen node, by its number from 0.
    chosen: Option<usize>,
    /// What stood when the screen was frozen, and when that was.
    frozen: Option<Box<(Model, Duration)>>,
    /// Nodes from top to bottom, as last shown.
    order: Vec<usize>,
    /// What happened, the newest first: when, how to take it, what.
    pub(super) events: Vec<(String, Mood, String)>,
    /// When each event was by the clock on the wall, the newest last: read when it was new, as later
    /// the clock may have been set.
    times: VecDeque<String>,
    /// How many events have their time.
    timed: usize,
    /// How many events there were when the list was last shown.
    listed: usize,
    /// The last lines of the log when it was last shown.
    pub(super) read: Vec<String>,
    /// Nodes that something is wrong with, from top to bottom.
    pub(super) troubled: Vec<usize>,
    /// What happened since the screen was frozen.
    pub(super) missed: usize,
    /// How the chosen node is called.
    pub(super) chosen_name: String,
}

/// How many lines a page has.
const PAGE: usize = 5;

/// How many events can be scrolled back to.
const EVENTS_SHOWN: usize = 300;

impl View {
    /// An empty view.
    pub fn new(look: Look, clock: Clock) -> Self {
        Self {
            look,
            clock,
            ..Self::default()
        }
    }

    /// The chosen node, by its number from 0.
    pub fn chosen(&self) -> Option<usize> {
        self.chosen
    }

    /// Whether the screen is frozen.
    pub fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    /// When the screen was frozen.
    pub(super) fn frozen_at(&self) -> Option<Duration> {
        self.frozen.as_deref().map(|(_, at)| *at)
    }

    /// Works out what is to be shown of `model`.
    pub(super) fn prepare(&mut self, model: &Model) -> Picture {
        let frozen = self.frozen.take();
        let shown = frozen.as_deref().map_or(model, |(model, _)| model);
        let picture = shown.picture();
        self.order = picture.rows().filter_map(|row| row.number).collect();
        if self
            .chosen
            .is_none_or(|chosen| !self.order.contains(&chosen))
        {
            self.chosen = self.order.first().copied();
        }
        self.chosen_name = self
            .chosen
            .map(|chosen| shown.name(chosen).to_owned())
            .unwrap_or_default();
        self.troubled = (picture.rows())
            .filter(|row| row.mood >= Mood::Warn)
            .filter_map(|row| row.number)
            .collect();
        self.read_clock(model);
        let missed = model.happened() - shown.happened();
        let times = self.times.iter().rev().skip(missed);
        let events = shown.events().rev().zip(times).take(EVENTS_SHOWN);
        let events = events.map(|(event, time)| (time.clone(), event.mood, event.text.clone()));
        self.events = events.collect();
        // What is read stays where it is while there is more of it.
        let new = shown.happened().saturating_sub(self.listed);
        if self.back > 0 && self.pane == Pane::None {
            self.back = self.back.saturating_add(new);
        }
        self.listed = shown.happened();
        self.missed = missed;
        self.frozen = frozen;
        picture
    }

    /// What time was it when what is new happened?
    fn read_clock(&mut self, model: &Model) {
        let new = model.happened().saturating_sub(self.timed);
        let count = model.events().count();
        for event in model.events().skip(count.saturating_sub(new)) {
            self.times.push_back(self.clock.text(event.at));
        }
        self.timed = model.happened();
        self.times.drain(..self.times.len().saturating_sub(count));
    }

    /// A key was pressed while `model` was shown.
    pub fn press(&mut self, key: Key, model: &Model) -> Action {
        match key {
            Key::Interrupt => return Action::Interrupt,
            Key::Suspend => return Action::Suspend,
            Key::Redraw => return Action::Redraw,
            Key::Char('q' | 'Q') => return Action::Quit,
            Key::Escape if self.pane == Pane::None => return Action::Quit,
            Key::Escape => self.turn_to(Pane::None),
            Key::Char('?' | 'h') => {
                let pane = if self.pane == Pane::Help {
                    Pane::None
                } else {
                    Pane::Help
                };
                self.turn_to(pane);
            }
            Key::Char('l') | Key::Enter => {
                let is_log = matches!(self.pane, Pane::Log(_));
                let reading = || Pane::Log(Ok(Vec::new()));
                self.turn_to(if is_log { Pane::None } else { reading() });
            }
            Key::Char(' ') => {
                self.frozen = match self.frozen.take() {
                    None => Some(Box::new((model.clone(), self.now))),
                    Some(_) => None,
                };
            }
            Key::Up | Key::Char('k') => self.choose(|at, _| at.saturating_sub(1)),
            Key::Down | Key::Char('j') => self.choose(|at, last| at.saturating_add(1).min(last)),
            Key::Char('n') if self.pane != Pane::Help => self.choose_troubled(),
            Key::Home | Key::Char('g') => self.choose(|_, _| 0),
            Key::End | Key::Char('G') => self.choose(|_, last| last),
            Key::PageUp => {
                self.back = self.back.saturating_add(PAGE);
                self.top = self.top.saturating_sub(PAGE);
            }
            Key::PageDown => {
                self.back = self.back.saturating_sub(PAGE);
                self.top = self.top.saturating_add(PAGE);
            }
            Key::Char(_) => {}
        }
        Action::None
    }

    fn turn_to(&mut self, pane: Pane) {
        self.pane = pane;
        (self.back, self.top) = (0, 0);
        self.read.clear();
    }

    /// Another node was chosen: the log that is read is now its own, though the screen be frozen.
    fn turn_log(&mut self) {
        if matches!(self.pane, Pane::Log(_)) {
            self.turn_to(Pane::Log(Ok(Vec::new())));
        }
    }

    /// To the next node that something is wrong with; behind the last comes the first.
    fn choose_troubled(&mut self) {
        let place = |number: Option<usize>| self.order.iter().position(|n| Some(*n) == number);
        let at = place(self.chosen);
        let mut later = self.troubled.iter().filter(|n| place(Some(**n)) > at);
        if let Some(next) = later.next().or(self.troubled.first()).copied() {
            self.chosen = Some(next);
            self.turn_log();
        }
    }

    fn choose(&mut self, step: impl Fn(usize, usize) -> usize) {
        if self.pane == Pane::Help {
            // There is nothing to choose; a small screen shows only a part of it.
            self.top = step(self.top, usize::MAX);
            return;
        }
        let at = self
            .order
            .iter()
            .position(|number| Some(*number) == self.chosen);
        let next = at.map(|at| step(at, self.order.len().saturating_sub(1)));
        if let Some(number) = next.and_then(|next| self.order.get(next)) {
            self.chosen = Some(*number);
            self.turn_log();
        }
    }
}
