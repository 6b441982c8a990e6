//! Why work on a task failed.

use std::path::PathBuf;

use dhow_linux::file::PathError;
use dhow_proto::error::Kind;

use crate::fault::Fault;
use crate::identifier::IdentifierError;
use crate::ttrpc::CallError;

/// A failure around tasks.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    #[error("task {0}")]
    AlreadyExists(String),
    #[error("task {0} not found")]
    NotFound(String),
    #[error("invalid id")]
    Id(#[source] IdentifierError),
    #[error("invalid exec id {id}")]
    ExecId { id: String, source: IdentifierError },
    #[error("use bundle of task")]
    Bundle(#[from] PathError),
    #[error("failed to start shim")]
    Start(#[from] LaunchError),
    /// The shim failed the call, or could not be reached.
    #[error("{context}{}", message(call))]
    Call { context: &'static str, call: CallError },
    #[error("create of task {0} was given up by its client")]
    Canceled(String),
}

/// Why a shim could not be started or reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    #[error("failed to resolve runtime path: no runtime name")]
    NoName,
    #[error(
        "failed to resolve runtime path: invalid runtime name {0}, correct runtime name should be either format like `io.containerd.runc.v2` or a full path to the binary"
    )]
    Name(String),
    #[error(
        "failed to resolve runtime path: runtime {name:?} binary not installed {binary:?}: file does not exist"
    )]
    NotInstalled { name: String, binary: String },
    #[error("run {binary} {action}")]
    Run { binary: PathBuf, action: &'static str, source: std::io::Error },
    #[error("{binary} {action} failed: {output}")]
    Failed { binary: PathBuf, action: &'static str, output: String },
    #[error("{binary} {action} did not end in time")]
    Timeout { binary: PathBuf, action: &'static str },
    #[error("unsupported shim address {0:?}")]
    Address(String),
    #[error("unsupported shim version ({0})")]
    Version(i32),
    #[error("unsupported shim protocol {0:?}: only ttrpc is")]
    Protocol(String),
    #[error("call shim")]
    Call(#[from] CallError),
    #[error("connect to shim at {address}")]
    Connect { address: PathBuf, source: std::io::Error },
    #[error("use bundle of task")]
    Bundle(#[from] PathError),
}

impl TaskError {
    /// An adapter for `map_err` on calls that need no more words than the shim's.
    pub(super) fn call(call: CallError) -> Self {
        Self::Call { context: "", call }
    }

    /// Whether the shim went away during the call.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self, Self::Call { call: CallError::Closed, .. })
    }
}

impl Fault for TaskError {
    fn kind(&self) -> Kind {
        match self {
            Self::AlreadyExists(_) => Kind::AlreadyExists,
            Self::NotFound(_) => Kind::NotFound,
            Self::Id(_) | Self::ExecId { .. } => Kind::InvalidArgument,
            Self::Bundle(_) => Kind::Unknown,
            Self::Start(LaunchError::Protocol(_) | LaunchError::Version(_)) => Kind::Unimplemented,
            Self::Start(_) => Kind::Unknown,
            Self::Call { call, .. } => call.kind(),
            Self::Canceled(_) => Kind::Canceled,
        }
    }
}

/// The shim's text without the words for its kind: [`crate::fault::status`] puts them at the end again.
pub(crate) fn message(call: &CallError) -> String {
    let CallError::Remote(error) = call else { return dhow_proto::error::chain(call) };
    let words = match error.kind {
        Kind::NotFound => ": not found",
        Kind::AlreadyExists => ": already exists",
        Kind::FailedPrecondition => ": failed precondition",
        Kind::InvalidArgument => ": invalid argument",
        Kind::Unimplemented => ": not implemented",
        Kind::Unavailable => ": unavailable",
        _ => return error.message.clone(),
    };
    error.message.strip_suffix(words).unwrap_or(&error.message).to_owned()
}
