//! A process that only exists: it keeps a cgroup alive until somebody else is inside.

#![expect(unsafe_code, reason = "fork(2) has no safe wrapper")]

use std::io;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

/// The process; it ends with this value, or with its parent.
#[derive(Debug)]
pub struct Sleeper(Pid);

impl Sleeper {
    /// Makes it.
    ///
    /// # Errors
    /// When no process can be made.
    pub fn spawn() -> io::Result<Self> {
        let parent = std::process::id().cast_signed();
        // SAFETY: the child calls nothing but the async-signal-safe functions below, and never returns.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => sleep(parent),
            pid => Ok(Self(Pid::from_raw(pid))),
        }
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.0.as_raw()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        // Nobody else may have ended it; one that is gone needs no signal.
        let _ = kill(self.0, Signal::SIGKILL);
        let _ = waitpid(self.0, None);
    }
}

fn sleep(parent: libc::pid_t) -> ! {
    // SAFETY: plain system calls on numbers, allowed after fork; `_exit` runs no code of ours.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::syscall(libc::SYS_close_range, 0, libc::c_uint::MAX, 0);
        // The parent may have died before the signal was asked for.
        while libc::getppid() == parent {
            libc::pause();
        }
        libc::_exit(0)
    }
}
