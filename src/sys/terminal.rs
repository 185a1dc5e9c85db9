//! The terminal's settings, put back however we end.

use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};

/// The settings of the terminal that is standard input; dropping it puts them back.
pub struct SavedTerminal(Termios);

impl SavedTerminal {
    /// Reads them; `None` if standard input is no terminal.
    pub fn of_stdin() -> Option<Self> {
        tcgetattr(std::io::stdin()).ok().map(Self)
    }
}

impl std::fmt::Debug for SavedTerminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SavedTerminal")
    }
}

impl Drop for SavedTerminal {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        tcsetattr(std::io::stdin(), SetArg::TCSANOW, &self.0).ok();
    }
}
