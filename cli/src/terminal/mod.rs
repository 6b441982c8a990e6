//! The user's terminal and standard streams, joined to those of a container.

mod detach;
mod raw;
mod resize;
mod signal;
mod stream;

use std::os::fd::AsFd;

pub(crate) use detach::DetachKeys;
pub(crate) use raw::{restore, without_echo};
pub(crate) use resize::{Target, follow};
pub(crate) use signal::{abandon_on_signals, forward_signals};
pub(crate) use stream::{Attachment, Outcome, Stdio};

/// Whether standard input is a terminal.
pub(crate) fn stdin_is_terminal() -> bool {
    rustix::termios::isatty(rustix::stdio::stdin())
}

/// Whether standard output is a terminal.
pub(crate) fn stdout_is_terminal() -> bool {
    rustix::termios::isatty(rustix::stdio::stdout())
}

/// Whether standard error is a terminal.
pub(crate) fn stderr_is_terminal() -> bool {
    rustix::termios::isatty(rustix::stdio::stderr())
}

/// Rows and columns of the terminal at standard output; zeros when there is none.
pub(crate) fn size() -> [u32; 2] {
    size_of(rustix::stdio::stdout())
}

/// Columns of the terminal at standard error; zero when there is none.
pub(crate) fn stderr_columns() -> u32 {
    size_of(rustix::stdio::stderr())[1]
}

fn size_of(fd: impl AsFd) -> [u32; 2] {
    rustix::termios::tcgetwinsize(fd).map_or([0, 0], |size| [size.ws_row.into(), size.ws_col.into()])
}
