//! Descriptors by number: those that a caller passed on, and those that must not pass on.

#![expect(unsafe_code, reason = "descriptors by number have no owner")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Whether descriptor `number` is open.
#[must_use]
pub fn is_open(number: RawFd) -> bool {
    // SAFETY: F_GETFD reads a flag and takes no pointer; a closed number answers EBADF.
    unsafe { libc::fcntl(number, libc::F_GETFD) >= 0 }
}

/// Lets descriptor `number`, which the caller of this program passed on, pass on through exec.
///
/// # Errors
/// When it is not open.
pub fn keep_on_exec(number: RawFd) -> io::Result<()> {
    // SAFETY: F_SETFD takes a flag, no pointer.
    match unsafe { libc::fcntl(number, libc::F_SETFD, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Marks every descriptor from `first` on as closed by exec: nothing that the caller leaked reaches a container.
///
/// # Errors
/// When the kernel has no close_range (before 5.11).
pub fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
    // SAFETY: only the close-on-exec flag changes; every descriptor stays open and owned by whom it was.
    match unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, CLOSE_RANGE_CLOEXEC) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Closes every descriptor from `first` on but those of `kept`.
///
/// For a process that owns nothing else any more: what is left is what its caller leaked, and other processes of a
/// container could reach that through `/proc/PID/fd`.
///
/// # Errors
/// When the kernel has no close_range (before 5.9).
pub fn close_all_but(first: RawFd, kept: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut kept: Vec<i64> = kept.iter().map(|one| i64::from(one.as_raw_fd())).collect();
    kept.sort_unstable();
    let mut from = i64::from(first);
    for keep in kept.into_iter().chain([i64::from(libc::c_uint::MAX) + 1]) {
        if from < keep {
            // SAFETY: integers only; the documented contract is that nobody uses what is closed here.
            if unsafe { libc::syscall(libc::SYS_close_range, from, keep - 1, 0) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        from = from.max(keep + 1);
    }
    Ok(())
}

/// Makes descriptors 0, 1 and 2 exist, on `/dev/null` when the caller closed them: no file opened later may land there.
///
/// # Errors
/// When `/dev/null` cannot be opened.
pub fn fill_standard() -> io::Result<()> {
    for number in 0..3 {
        if is_open(number) {
            continue;
        }
        let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
        // The lowest free number is the missing one, so this is it already.
        std::mem::forget(null);
        keep_on_exec(number)?;
    }
    Ok(())
}

/// Puts a copy of `from` at 0, 1 and 2.
///
/// # Errors
/// What dup3 refuses.
pub fn replace_standard(from: &OwnedFd) -> io::Result<()> {
    for number in 0..3 {
        replace(number, from)?;
    }
    Ok(())
}

/// Puts a copy of `from` at standard descriptor `number` (0, 1 or 2), kept through exec.
///
/// # Errors
/// `EINVAL` for another number, or what dup2 refuses.
pub fn replace(number: RawFd, from: &OwnedFd) -> io::Result<()> {
    if !(0..3).contains(&number) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: nobody owns 0, 1 and 2 in this program as an OwnedFd; std only writes through them.
    match unsafe { libc::dup2(from.as_raw_fd(), number) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// A copy of descriptor `number` of process `pidfd` (pidfd_getfd(2)).
///
/// # Errors
/// What the kernel refuses (the caller must be allowed to trace that process).
pub fn copy_from(pidfd: &OwnedFd, number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: integers only; a result that is not negative is a new descriptor that nobody else owns.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), number, 0) };
    match RawFd::try_from(result) {
        // SAFETY: as above.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}
