//! What the kernel says about a process: `/proc/PID/stat`, and its start time, which together with the pid names a
//! process for ever.

use std::io;

use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;

/// The parts of `/proc/PID/stat` that tell whether a process is the one that was meant, and alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// The state letter: `R`, `S`, `D`, `Z`, `X`, `T` …
    pub state: u8,
    /// When it started, in clock ticks after boot.
    pub start_time: u64,
}

impl Stat {
    /// Reads the entry of `pid` in this process's `/proc`.
    ///
    /// # Errors
    /// `NotFound` when there is no such process.
    pub fn of(pid: Pid) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::open(format!("/proc/{}/stat", pid.as_raw_nonzero()), flags, Mode::empty())?;
        // The kernel gives the whole line at once; the longest has 52 numbers and a name of 16 bytes.
        let mut line = [0_u8; 2048];
        let length = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut line[..]))?;
        Self::parse(&line[..length]).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Parses a stat line. The command name may hold anything, so fields count from the last `)`.
    fn parse(text: &[u8]) -> Option<Self> {
        let end = text.iter().rposition(|byte| *byte == b')')?;
        let mut fields = text.get(end + 2..)?.split(|byte| *byte == b' ');
        let state = *fields.next()?.first()?;
        let start_time = std::str::from_utf8(fields.nth(18)?).ok()?.trim().parse().ok()?;
        Some(Self { state, start_time })
    }

    /// Whether it has ended: a zombie runs no more code.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let line = b"42 (a) b) c) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 0 0\n";
        assert_eq!(Stat::parse(line), Some(Stat { state: b'S', start_time: 98765 }));
    }

    #[test]
    fn this_process_runs() {
        let stat = Stat::of(rustix::process::getpid()).expect("own entry");
        assert!(!stat.has_ended());
        assert!(stat.start_time > 0);
    }
}
