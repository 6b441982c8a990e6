//! Signals by number, the real-time ones included.

#![expect(unsafe_code, reason = "nix names no real-time signal")]

use nix::errno::Errno;
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
