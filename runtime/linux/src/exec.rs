//! execve(2), as the last act of a container's first code. The program starts with SIGPIPE as it expects it, which Rust's
//! start-up ignores.

#![expect(unsafe_code, reason = "execve(2) takes raw arrays")]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

/// Closes every descriptor from `first_closed` on but `kept` and becomes `program`; returns only with the reason why
/// not.
///
/// The descriptors are closed before the call, not by it: a program path such as `/proc/self/fd/7` must not reach a
/// file of the host (CVE-2024-21626). `kept` is a socket, which cannot be opened by such a path. After a failure the
/// process can do nothing but use `kept` and exit, since whatever owned another descriptor now owns a closed one.
#[must_use]
pub fn replace_process(
    program: &CStr,
    arguments: &[CString],
    environment: &[CString],
    first_closed: RawFd,
    kept: BorrowedFd<'_>,
) -> io::Error {
    let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
        list.iter().map(|item| item.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, envp) = (pointers(arguments), pointers(environment));
    let kept = kept.as_raw_fd();
    for (first, last) in [(first_closed, i64::from(kept) - 1), (kept + 1, i64::from(libc::c_uint::MAX))] {
        if i64::from(first) <= last {
            // SAFETY: close_range takes integers; the documented contract is that nothing closed is used afterwards.
            unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        }
    }
    // SAFETY: the default action installs no handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    // SAFETY: path and both lists are NUL-terminated strings in NULL-terminated arrays that outlive the call.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    let error = io::Error::last_os_error();
    super::signal::ignore_broken_pipe();
    error
}

/// Ends the process at once: no destructor, no exit handler, nothing flushed.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit takes an integer and does not return.
    unsafe { libc::_exit(status) }
}
