//! Signals: sent by number, the real-time ones included, and what a program started by this one inherits.

#![expect(unsafe_code, reason = "nix names no real-time signal, and has unsafe dispositions")]

use std::io;

use nix::errno::Errno;
use nix::sys::signal::SigSet;
use nix::unistd::Pid;

/// Sends signal `number` to the process `pid`; 0 only asks whether it is there.
///
/// # Errors
/// As kill(2); a `pid` that is not positive is `ESRCH`, so that no group is ever meant.
pub fn send(pid: Pid, number: i32) -> Result<(), Errno> {
    if pid.as_raw() <= 0 {
        return Err(Errno::ESRCH);
    }
    // SAFETY: kill(2) takes two numbers and touches no memory of ours.
    Errno::result(unsafe { libc::kill(pid.as_raw(), number) }).map(drop)
}

/// Unblocks every signal.
///
/// # Errors
/// When the mask cannot be set.
pub fn unblock_all() -> io::Result<()> {
    SigSet::empty().thread_set_mask().map_err(io::Error::from)
}

/// Makes the usual requests to end (TERM, INT, HUP, QUIT) end the process also where it is the first of its PID
/// namespace: the kernel keeps a first process from dying of what it does not handle. An exec takes this back.
pub fn end_on_request() {
    extern "C" fn end(number: libc::c_int) {
        // SAFETY: _exit is async-signal-safe and does not return.
        unsafe { libc::_exit(128 + number) }
    }
    for number in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT] {
        // SAFETY: the handler makes one async-signal-safe call. What the caller has chosen to ignore stays ignored.
        unsafe {
            let before = libc::signal(number, end as *const () as libc::sighandler_t);
            if before != libc::SIG_DFL {
                libc::signal(number, before);
            }
        }
    }
}

/// Lets a write to a closed pipe answer `EPIPE` instead of ending the process.
pub(crate) fn ignore_broken_pipe() {
    // SAFETY: SIG_IGN is not a handler: no code of ours runs in signal context.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_and_a_group_is_refused() {
        assert_eq!(send(Pid::this(), 0), Ok(()));
        assert_eq!(send(Pid::from_raw(-1), 0), Err(Errno::ESRCH));
        assert_eq!(send(Pid::this(), 10_000), Err(Errno::EINVAL));
    }
}
