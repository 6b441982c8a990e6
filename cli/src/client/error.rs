//! What can go wrong between the client and the daemon.

use std::io;

use super::ApiVersion;

/// A request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("Cannot connect to the Docker daemon at {host}. Is the docker daemon running?")]
    Connect { host: String, source: io::Error },
    #[error("permission denied while trying to connect to the Docker daemon socket at {host}")]
    Denied { host: String, source: io::Error },
    #[error("request {path}")]
    Request { path: String, source: http::Error },
    #[error("error during connect: {path}")]
    Exchange { path: String, source: hyper::Error },
    #[error("encode request")]
    Encode { source: serde_json::Error },
    #[error("decode answer of {path}")]
    Decode { path: String, source: serde_json::Error },
    #[error("read answer")]
    Read { source: hyper::Error },
    /// The daemon refused.
    #[error("Error response from daemon: {message}")]
    Daemon { status: u16, message: String },
    /// A stream of messages ended with an error.
    #[error("{message}")]
    Reported { code: Option<i64>, message: String },
    #[error("unable to upgrade to tcp, received {status}")]
    Upgrade { status: u16 },
    #[error("take over the connection")]
    Takeover { source: io::Error },
    #[error("\"--{flag}\" requires API version {version}, but the Docker daemon API version is {daemon}")]
    FlagVersion { flag: String, version: ApiVersion, daemon: ApiVersion },
}

impl ClientError {
    /// Status of the daemon's answer, when it gave one.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Daemon { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether the daemon knows no such thing.
    pub(crate) fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// What the daemon said, without our words around it.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Daemon { message, .. } => message.clone(),
            other => chain(other),
        }
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
