//! Signals that are caught, and who sent them.

use std::fs;
use std::io;
use std::os::raw::c_int;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use signal_hook::iterator::backend::{Handle, SignalDelivery};
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::Cause;
use tokio::signal::unix;
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

/// A signal that comes again so soon by the same way is the same: timeout(1), for one, sends it to its
/// child, and then to the group that the child is in; npm passes on what the terminal has sent us too.
const ECHO: Duration = Duration::from_millis(100);

/// A signal that reached us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caught {
    /// Its number.
    pub number: i32,
    /// Whether the kernel sent it to our whole process group: Ctrl-C, Ctrl-\, a terminal that was
    /// closed. A child in our group has got it too.
    pub to_group: bool,
    /// When it was caught, which may be long before it is read.
    pub at: Instant,
    /// The process that sent it; none if the kernel did.
    sender: Option<i32>,
}

impl Caught {
    /// Whether it asks us to end.
    pub fn ends(self) -> bool {
        ENDING.iter().any(|signal| *signal as c_int == self.number)
    }

    /// Whether it is `last` once more. What two processes have sent is meant twice.
    fn echoes(self, last: Self) -> bool {
        let by_same_way = match (self.sender, last.sender) {
            (Some(sender), Some(before)) => sender == before,
            _ => true,
        };
        self.number == last.number && by_same_way && self.at.duration_since(last.at) < ECHO
    }
}

/// Signals, from the moment when this is made. Dropped, they are no longer heeded, and still caught.
#[derive(Debug)]
pub struct Signals {
    inbox: Arc<Inbox>,
    handle: Handle,
    caught: mpsc::UnboundedReceiver<Caught>,
    last: Option<Caught>,
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
        Self::of(&numbers)
    }

    fn of(numbers: &[c_int]) -> io::Result<Self> {
        let (arrivals, bell) = UnixStream::pair()?;
        let news = arrivals.try_clone()?;
        let delivery = SignalDelivery::with_pipe(arrivals, bell, WithOrigin::default(), numbers)?;
        let handle = delivery.handle();
        let (queue, caught) = mpsc::unbounded_channel();
        let inbox = Arc::new(Inbox {
            delivery: Mutex::new(delivery),
            queue,
        });
        let signals = Self {
            inbox: Arc::clone(&inbox),
            handle: handle.clone(),
            caught,
            last: None,
        };
        // Whoever waits for a signal may be busy when it comes: it is this thread that knows when.
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                let mut bell = [PollFd::new(&news, PollFlags::IN)];
                while !handle.is_closed() {
                    match rustix::event::poll(&mut bell, None) {
                        Ok(_) => inbox.take_in(),
                        Err(Errno::INTR) => {}
                        Err(_) => break,
                    }
                }
            })?;
        Ok(signals)
    }

    /// The next one.
    pub async fn next(&mut self) -> Caught {
        loop {
            let Some(caught) = self.caught.recv().await else {
                // Never, while we hold the other end.
                return std::future::pending().await;
            };
            if self.is_new(caught) {
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

    /// Forgets all that have reached this process, even if our thread has not run since to see them.
    /// (One that another thread than the caller's is in the middle of taking may be left.)
    pub fn forget(&mut self) {
        self.inbox.take_in();
        while let Ok(caught) = self.caught.try_recv() {
            // An echo may still come.
            self.last = Some(caught);
        }
    }

    /// Whether `caught` is no echo of the one before it.
    fn is_new(&mut self, caught: Caught) -> bool {
        let last = self.last.replace(caught);
        !last.is_some_and(|last| caught.echoes(last))
    }
}

/// Where signals arrive.
#[derive(Debug)]
struct Inbox {
    delivery: Mutex<SignalDelivery<UnixStream, WithOrigin>>,
    queue: mpsc::UnboundedSender<Caught>,
}

impl Inbox {
    /// Puts all that have arrived into the queue.
    fn take_in(&self) {
        let mut delivery = self.delivery.lock().unwrap_or_else(PoisonError::into_inner);
        for origin in delivery.pending() {
            let caught = Caught {
                number: origin.signal,
                to_group: origin.cause == Cause::Kernel,
                at: Instant::now(),
                sender: origin.process.map(|process| process.pid),
            };
            // Whoever has stopped reading wants none.
            self.queue.send(caught).ok();
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.handle.close();
    }
}

/// What becomes of a program that has the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// SIGTSTP: it is to stop.
    Asked,
    /// SIGCONT: it was stopped, and goes on.
    Over,
}

/// SIGTSTP and SIGCONT, from the moment when this is made: who is asked to stop can give the terminal
/// back first. SIGSTOP asks nobody.
#[derive(Debug)]
pub struct Stops {
    asked: unix::Signal,
    over: unix::Signal,
}

impl Stops {
    /// Catches them.
    pub fn catch() -> io::Result<Self> {
        let catch = |signal: Signal| unix::signal(unix::SignalKind::from_raw(signal as c_int));
        Ok(Self {
            asked: catch(Signal::SIGTSTP)?,
            over: catch(Signal::SIGCONT)?,
        })
    }

    /// The next one. Nothing is lost if the wait is dropped.
    pub async fn next(&mut self) -> Stop {
        tokio::select! {
            Some(()) = self.asked.recv() => Stop::Asked,
            Some(()) = self.over.recv() => Stop::Over,
            else => std::future::pending().await,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_come_is_forgotten_whether_or_not_it_was_heard_of() {
        // This one alone: others are still caught, and end nobody, when the test is over.
        let mut signals = Signals::of(&[Signal::SIGUSR2 as c_int]).expect("signals are caught");
        for _ in 0..100 {
            // To this very thread, so that it has come when this returns.
            nix::sys::signal::raise(Signal::SIGUSR2).expect("raised");
            signals.forget();
            signals.caught.try_recv().expect_err("forgotten");
        }
        // Nor does the other thread come with one later.
        thread::sleep(Duration::from_millis(50));
        signals.caught.try_recv().expect_err("forgotten");
    }

    #[test]
    fn a_signal_is_an_echo_only_by_the_same_way_and_soon() {
        let at = Instant::now();
        let caught = |sender: Option<i32>, after| Caught {
            number: Signal::SIGINT as c_int,
            to_group: sender.is_none(),
            at: at + Duration::from_millis(after),
            sender,
        };
        for (first, then, after, is_echo) in [
            // timeout(1), and a key that bounces.
            (Some(7), Some(7), 1, true),
            (None, None, 1, true),
            // npm passes on what came from the terminal, before or after we have heard it.
            (None, Some(7), 1, true),
            (Some(7), None, 1, true),
            // Two kill(1).
            (Some(7), Some(8), 1, false),
            (Some(7), Some(7), 100, false),
            (None, None, 100, false),
        ] {
            let (first, then) = (caught(first, 0), caught(then, after));
            assert_eq!(then.echoes(first), is_echo, "{first:?} {then:?}");
        }
        let term = Caught {
            number: Signal::SIGTERM as c_int,
            ..caught(None, 1)
        };
        assert!(!term.echoes(caught(None, 0)));
    }
}
