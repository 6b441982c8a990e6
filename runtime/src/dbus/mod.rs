//! As much D-Bus as talking to systemd takes: one connection, calls that wait for their answer, signals that are
//! waited for. Knows nothing of systemd.
//!
//! ```text
//! connection   socket, authentication, calls, signals
//! message      a message's header and body
//! wire         values as bytes (little endian) and back
//! value        values and their types
//! text         values as people write them: GVariant's text form
//! ```
//! What comes in is limited and checked; file descriptors are never passed.

mod connection;
mod message;
mod text;
mod value;
mod wire;

use std::io;
use std::path::PathBuf;

pub(crate) use self::connection::{Address, Connection};
pub(crate) use self::message::Call;
pub(crate) use self::text::parse;
pub(crate) use self::value::Value;

/// A conversation failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BusError {
    /// Nobody listens.
    #[error("connect to {}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// An address that is no Unix socket.
    #[error("no usable D-Bus address in {0:?}")]
    Address(String),
    /// The other side does not take us for who we are.
    #[error("the bus refused to authenticate: {0:?}")]
    Refused(String),
    /// Sending or receiving.
    #[error("talk to the bus")]
    Io(#[from] io::Error),
    /// The other side does not keep to the protocol.
    #[error("malformed message from the bus")]
    Malformed,
    /// The answer is an error.
    #[error("{text}")]
    Remote {
        /// Its name, as `org.freedesktop.systemd1.NoSuchUnit`.
        name: String,
        /// What it says.
        text: String,
    },
    /// No answer in time.
    #[error("no answer from the bus in time")]
    Timeout,
}

impl BusError {
    /// Whether the answer is the error `name`.
    pub(crate) fn is(&self, expected: &str) -> bool {
        matches!(self, Self::Remote { name, .. } if name == expected)
    }
}

#[cfg(test)]
mod tests;
