//! Signal dispositions and masks: what a program started by this one inherits.

use std::io;

use nix::sys::signal::SigSet;

/// Unblocks every signal.
///
/// # Errors
/// When the mask cannot be set.
pub fn unblock_all() -> io::Result<()> {
    SigSet::empty().thread_set_mask().map_err(io::Error::from)
}

/// Lets a write to a closed pipe answer `EPIPE` instead of ending the process.
pub(crate) fn ignore_broken_pipe() {
    // SAFETY: SIG_IGN is not a handler: no code of ours runs in signal context.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}
