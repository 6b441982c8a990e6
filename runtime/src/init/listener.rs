//! Installing the system call filter; its listener goes to the parent.

use std::os::fd::AsRawFd;

use super::namespace::show;
use super::sync::{Channel, Message};
use super::{InitError, Task};

/// Installs the filter of `task`, when it has one.
///
/// From here on only the calls that the filter allows work. The listener's number is written, not sent: the filter
/// may well trap sendmsg.
pub(super) fn install(task: &Task<'_>, channel: &Channel) -> Result<(), InitError> {
    let Some(filter) = &task.seccomp else { return Ok(()) };
    if !task.sets_groups {
        // A runtime that is not root takes the listener only from a process that it could trace.
        show()?;
    }
    let listener = dhow_linux::seccomp::install(filter.program(), filter.flags())
        .map_err(InitError::step("unable to init seccomp"))?;
    let Some(listener) = listener else { return Ok(()) };
    channel
        .send(&Message::Listener(listener.as_raw_fd()))
        .and_then(|()| channel.wait())
        .map_err(InitError::step("hand over the seccomp listener"))
}
