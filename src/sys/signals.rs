//! Signals that are caught, and who sent them.

use std::fs;
use std::io;
use std::os::raw::c_int;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::backend::Handle;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::Cause;
use tokio::sync::mpsc;

/// Those that end a program: hang-up, interrupt, quit, terminate.
const ENDING: [Signal; 4] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
];

/// Those that mean what the program makes of them.
const OTHER: [Signal; 2] = [Signal::SIGUSR1, Signal::SIGUSR2];

/// A signal that comes again so soon is the same: timeout(1), for one, sends it to its child, and then
/// to the group that the child is in.
const ECHO: Duration = Duration::from_millis(100);

/// A signal that reached us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caught {
    /// Its number.
    pub number: i32,
    /// Whether the kernel sent it to our whole process group: Ctrl-C, Ctrl-\, a terminal that was
    /// closed. A child in our group has got it too.
    pub to_group: bool,
}

impl Caught {
    /// Whether it asks us to end.
    pub fn ends(self) -> bool {
        ENDING.iter().any(|signal| *signal as c_int == self.number)
    }
}

/// Signals, from the moment when this is made. Dropped, they are no longer heeded, and still caught.
#[derive(Debug)]
pub struct Signals {
    handle: Handle,
    caught: mpsc::UnboundedReceiver<Caught>,
    last: Option<(i32, Instant)>,
}

impl Signals {
    /// Catches those that end a program; with `all`, those for its own use too. SIGHUP is left alone
    /// if we were started to ignore it (`nohup`).
    pub fn catch(all: bool) -> io::Result<Self> {
        let mut numbers: Vec<c_int> = ENDING.iter().map(|signal| *signal as c_int).collect();
        if all {
            numbers.extend(OTHER.iter().map(|signal| *signal as c_int));
        }
        numbers.retain(|number| *number != Signal::SIGHUP as c_int || !hang_up_is_ignored());
        let mut signals = SignalsInfo::<WithOrigin>::new(&numbers)?;
        let handle = signals.handle();
        let (sender, caught) = mpsc::unbounded_channel();
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                for origin in signals.forever() {
                    let caught = Caught {
                        number: origin.signal,
                        to_group: origin.cause == Cause::Kernel,
                    };
                    if sender.send(caught).is_err() {
                        break;
                    }
                }
            })?;
        Ok(Self {
            handle,
            caught,
            last: None,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Caught {
        loop {
            let Some(caught) = self.caught.recv().await else {
                // The thread is gone: none will ever come.
                return std::future::pending().await;
            };
            let now = Instant::now();
            let last = self.last.replace((caught.number, now));
            let is_echo =
                last.is_some_and(|(number, at)| number == caught.number && now - at < ECHO);
            if !is_echo {
                return caught;
            }
        }
    }

    /// The next one that asks us to end.
    pub async fn next_end(&mut self) -> Caught {
        loop {
            let caught = self.next().await;
            if caught.ends() {
                return caught;
            }
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.handle.close();
    }
}

/// Whether SIGHUP was ignored when we were started, or is by now.
pub fn hang_up_is_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Bit 0 is signal 1.
    mask.is_some_and(|mask| mask & (1 << (Signal::SIGHUP as c_int - 1)) != 0)
}
