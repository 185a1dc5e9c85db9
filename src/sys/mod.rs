//! The only door to the kernel: files below a held directory, processes, limits, signals.
//!
//! What is dangerous to get wrong has one place each: which process may be signalled
//! ([`process`]), and that a file is reached below a held directory and never through a link
//! ([`dir`]); which files may be deleted at all is decided in [`store`](crate::store).

mod cgroup;
pub mod dir;
pub mod limits;
pub mod mounts;
pub mod process;
pub mod sockets;
pub mod surroundings;

use std::io;

use nix::sys::signal::{SigHandler, Signal, raise, signal};
use nix::sys::stat::{Mode, umask};

/// Makes everything that this process and its children create private: directories 0700, files 0600.
pub fn private_umask() {
    umask(Mode::from_bits_truncate(0o077));
}

/// Twenty random bytes: a node id.
pub fn random_bytes() -> io::Result<[u8; 20]> {
    let mut bytes = [0; 20];
    let mut filled = 0;
    while filled < bytes.len() {
        filled +=
            rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(bytes)
}

/// A random number, to begin a search at.
pub fn random_number() -> io::Result<u64> {
    let bytes = random_bytes()?;
    Ok(u64::from_be_bytes(
        bytes.first_chunk().copied().unwrap_or_default(),
    ))
}

/// The effective user's id.
pub fn user() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// Ends this process by signal `number`, as if nobody had caught it, so that whoever waits for us
/// sees a death by signal. Returns only if the signal could not be raised.
pub fn die_by(number: i32) {
    if let Ok(name) = Signal::try_from(number) {
        // A default disposition is no function of ours: nothing that runs in a handler can be wrong.
        restore_default(name);
        raise(name).ok();
    }
}

#[expect(
    unsafe_code,
    reason = "signal(2) has no safe wrapper; SIG_DFL installs no handler"
)]
fn restore_default(name: Signal) {
    // SAFETY: SIG_DFL runs no code of ours.
    unsafe { signal(name, SigHandler::SigDfl) }.ok();
}
