//! The whole terminal as one picture: the only door to ratatui and crossterm.
//!
//! [`Screen`] takes the terminal and gives it back, whatever happens; [`View`] is what is on it and
//! what keys do to it; `draw` makes the picture from both. Whatever servers say is made fit for a
//! terminal before it gets here (`cluster::printable`).

mod draw;
mod number;
mod view;

use std::env;
use std::io::{self, BufWriter, Stdout, Write as _};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Once, PoisonError, RwLock};
use std::thread;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::style::force_color_output;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute, terminal};
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

pub use view::{Action, Clock, Look, Pane, View};

use crate::plan::watch::Model;

/// A key that was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A character.
    Char(char),
    /// One node up.
    Up,
    /// One node down.
    Down,
    /// To the first one.
    Home,
    /// To the last one.
    End,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// Enter.
    Enter,
    /// Esc.
    Escape,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-Z.
    Suspend,
    /// Ctrl-L.
    Redraw,
}

/// What comes from the terminal.
#[derive(Debug)]
pub enum Input {
    /// A key.
    Key(Key),
    /// It has another size now.
    Resized,
    /// It is gone.
    Lost(io::Error),
}

/// The terminal while it is ours; dropped, it is as it was before.
#[derive(Debug)]
pub struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
    input: UnboundedReceiver<Input>,
}

/// Whether the terminal is ours at this moment.
static TAKEN: AtomicBool = AtomicBool::new(false);

impl Screen {
    /// Takes the terminal. `color`: whether there are to be colours.
    pub fn open(color: bool) -> io::Result<Self> {
        restore_after_panics();
        force_color_output(color);
        let (sender, input) = unbounded_channel();
        take()?;
        // From here on whatever fails gives it back.
        let backend = CrosstermBackend::new(BufWriter::new(io::stdout()));
        let options = TerminalOptions {
            viewport: Viewport::Fixed(area()),
        };
        let terminal = Terminal::with_options(backend, options).inspect_err(|_| give_back())?;
        let screen = Self { terminal, input };
        thread::Builder::new()
            .name("keyboard".into())
            .spawn(move || {
                // It ends with the process: a read from a terminal cannot be called off.
                loop {
                    let input = match event::read() {
                        Ok(event) => understand(&event),
                        Err(error) => Some(Input::Lost(error)),
                    };
                    let Some(input) = input else { continue };
                    let is_last = matches!(input, Input::Lost(_));
                    if sender.send(input).is_err() || is_last {
                        return;
                    }
                }
            })?;
        Ok(screen)
    }

    /// Waits for a key or another size. Nothing is lost if the wait is dropped.
    pub async fn input(&mut self) -> Input {
        let lost = || Input::Lost(io::ErrorKind::UnexpectedEof.into());
        self.input.recv().await.unwrap_or_else(lost)
    }

    /// Draws what has changed.
    pub fn draw(&mut self, view: &mut View, model: &Model) -> io::Result<()> {
        let area = area();
        if area != self.terminal.current_buffer_mut().area {
            self.terminal.resize(area)?;
        }
        let picture = view.prepare(model);
        let drawn = self
            .terminal
            .draw(|frame| draw::draw(frame.buffer_mut(), view, &picture));
        drawn.map(drop)
    }

    /// Draws everything anew with the next picture.
    pub fn clear(&mut self) -> io::Result<()> {
        // Not `clear`: it asks the terminal where the cursor is, and the answer goes to the keyboard.
        self.terminal.resize(area())
    }

    /// Gives the terminal back for as long as `meanwhile` lasts.
    pub fn lend(&mut self, meanwhile: impl FnOnce()) -> io::Result<()> {
        give_back();
        meanwhile();
        take()?;
        self.clear()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// How many columns the terminal has; `None` if it does not say.
pub fn columns() -> Option<usize> {
    let (columns, _) = terminal::size().ok()?;
    (columns > 0).then_some(columns.into())
}

/// What there is to draw on.
fn area() -> Rect {
    let number = |name| env::var(name).ok()?.parse().ok();
    area_of(
        terminal::size().unwrap_or_default(),
        (number("COLUMNS"), number("LINES")),
    )
}

/// The same by what the terminal says and what the environment does: a serial line knows no size.
fn area_of(size: (u16, u16), said: (Option<u16>, Option<u16>)) -> Rect {
    let pick = |size: u16, said: Option<u16>, usual| match (size, said) {
        (0, None | Some(0)) => usual,
        (0, Some(said)) => said,
        (size, _) => size,
    };
    let (width, height) = (pick(size.0, said.0, 80), pick(size.1, said.1, 24));
    Rect::new(0, 0, width, height)
}

fn take() -> io::Result<()> {
    enable_raw_mode()?;
    TAKEN.store(true, Ordering::SeqCst);
    let taken = execute!(io::stdout(), EnterAlternateScreen, cursor::Hide);
    taken.inspect_err(|_| give_back())
}

/// Gives the terminal back, once. That it is gone is no reason to fail.
fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        let mut out = io::stdout();
        execute!(out, LeaveAlternateScreen, cursor::Show).ok();
        out.flush().ok();
        disable_raw_mode().ok();
    }
}

type Hook = Box<dyn Fn(&panic::PanicHookInfo<'_>) + Send + Sync>;

/// Gives the terminal back before a panic is told of: the release build ends right after that.
fn restore_after_panics() {
    static ONCE: Once = Once::new();
    static BEFORE: RwLock<Option<Hook>> = RwLock::new(None);
    ONCE.call_once(|| {
        *BEFORE.write().unwrap_or_else(PoisonError::into_inner) = Some(panic::take_hook());
        panic::set_hook(Box::new(|panic| {
            give_back();
            if let Some(before) = &*BEFORE.read().unwrap_or_else(PoisonError::into_inner) {
                before(panic);
            }
        }));
    });
}

fn understand(event: &Event) -> Option<Input> {
    match event {
        Event::Resize(..) => Some(Input::Resized),
        Event::Key(key) if key.kind != KeyEventKind::Release => key_of(*key).map(Input::Key),
        _ => None,
    }
}

fn key_of(key: KeyEvent) -> Option<Key> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(match key.code {
        KeyCode::Char('c') if control => Key::Interrupt,
        KeyCode::Char('z') if control => Key::Suspend,
        KeyCode::Char('l') if control => Key::Redraw,
        KeyCode::Char('p') if control => Key::Up,
        KeyCode::Char('n') if control => Key::Down,
        KeyCode::Char(_) if control => return None,
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_without_a_size_has_a_usual_one() {
        let area = |size, said| area_of(size, said).as_size();
        let (none, said) = ((None, None), (Some(100), Some(30)));
        assert_eq!(area((120, 40), said), (120, 40).into());
        assert_eq!(area((0, 0), none), (80, 24).into());
        assert_eq!(area((0, 0), said), (100, 30).into());
        assert_eq!(area((0, 40), (Some(0), None)), (80, 40).into());
    }
}
