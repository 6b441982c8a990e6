//! What a new process gets at its descriptors: the caller's own, or a terminal.

use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::dialogue::connect;
use super::{Connection, LaunchError};
use crate::init::{Console, Task};
use crate::spec::Process;

/// The first descriptor that is not a standard one.
const FIRST: i32 = 3;

/// Fills the parts of `task` that connect it to the caller; gives the end of a terminal that is relayed in the
/// foreground.
pub(super) fn connect_task(
    task: &mut Task<'_>,
    connection: &Connection,
) -> Result<Option<OwnedFd>, LaunchError> {
    task.descriptors = inherited(connection.preserve_fds)?;
    if let Some(path) = &connection.pidfd_socket {
        task.pidfd_socket = Some(connect(path).map_err(LaunchError::call("connect to the pidfd socket"))?);
    }
    let (console, relayed) = console(task.process, connection)?;
    task.console = console;
    Ok(relayed)
}

/// Where the terminal's master goes, when there is one, and our end when it is relayed in the foreground.
pub(super) fn console(
    process: &Process,
    connection: &Connection,
) -> Result<(Option<Console>, Option<OwnedFd>), LaunchError> {
    if !process.terminal {
        return Ok((None, None));
    }
    let size = process.console_size.and_then(|size| {
        let (rows, columns) = (u16::try_from(size.height).ok()?, u16::try_from(size.width).ok()?);
        (rows != 0 && columns != 0).then_some((rows, columns))
    });
    if let Some(path) = &connection.console_socket {
        let socket = connect(path).map_err(LaunchError::call("connect to the console socket"))?;
        return Ok((Some(Console { socket, size, plain_lines: false }), None));
    }
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .map_err(LaunchError::call("socketpair"))?;
    Ok((Some(Console { socket: theirs, size, plain_lines: true }), Some(ours)))
}

/// What the standard streams are, as the kernel names them: a checkpoint tells pipes apart by that.
pub(super) fn names() -> Vec<String> {
    let name = |number: i32| std::fs::read_link(format!("/proc/self/fd/{number}")).unwrap_or_default();
    (0..3).map(|number| name(number).to_string_lossy().into_owned()).collect()
}

/// How many descriptors the process keeps: the standard ones, systemd's (`LISTEN_FDS`), and `extra` more.
fn inherited(extra: i32) -> Result<i32, LaunchError> {
    let listened = listen_fds();
    let first_extra = FIRST + listened;
    for number in first_extra..first_extra + extra {
        if !dhow_linux::descriptor::is_open(number) {
            let place = number - first_extra;
            return Err(LaunchError::Call {
                action: "unable to stat preserved-fd",
                source: std::io::Error::other(format!("{place} (of {extra}): no such file or directory")),
            });
        }
    }
    let end = first_extra + extra.max(0);
    dhow_linux::descriptor::close_on_exec_from(end).map_err(LaunchError::call("close_range"))?;
    for number in FIRST..end {
        dhow_linux::descriptor::keep_on_exec(number)
            .map_err(LaunchError::call("keep a passed descriptor"))?;
    }
    Ok(end)
}

/// How many sockets systemd passed to this very process.
pub(super) fn listen_fds() -> i32 {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<i32>().ok());
    let own = rustix::process::getpid().as_raw_nonzero().get();
    match (number("LISTEN_PID"), number("LISTEN_FDS")) {
        (Some(pid), Some(count)) if pid == own && count > 0 => count,
        _ => 0,
    }
}
