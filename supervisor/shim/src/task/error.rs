//! Why a call failed, in the words that clients of containerd know.

use dhow_linux::file::PathError;
use dhow_proto::error::Kind;

use crate::console::ConsoleError;
use crate::io::IoError;
use crate::oci_runtime::RuntimeError;
use crate::rootfs::MountError;

/// Why a call of the Task service failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    #[error("container not created: not found")]
    NoContainer,
    #[error("process does not exist {0}: not found")]
    NoProcess(String),
    #[error("{0}: already exists")]
    Exists(String),
    /// The state of the subject forbids it.
    #[error("{0}: failed precondition")]
    State(String),
    #[error("{0}: invalid argument")]
    Invalid(String),
    #[error("process already finished: not found")]
    Finished,
    #[error("{0}: not found")]
    NotFound(&'static str),
    #[error("{0}: not implemented")]
    Unimplemented(String),
    #[error("decode message")]
    Decode(#[source] prost::DecodeError),
    #[error("context canceled")]
    Canceled,
    #[error("context deadline exceeded")]
    Deadline,
    /// A command of the OCI runtime failed.
    #[error("{action}")]
    Runtime { action: &'static str, source: RuntimeError },
    #[error("failed to mount rootfs component")]
    Mount(#[source] MountError),
    #[error("failed rootfs umount")]
    Unmount(#[source] MountError),
    #[error("failed to create process I/O")]
    Io(#[from] IoError),
    #[error("failed to set up the console")]
    Console(#[from] ConsoleError),
    #[error("failed to use the bundle")]
    Bundle(#[from] PathError),
}

impl TaskError {
    /// An adapter for `map_err`.
    pub(super) fn runtime(action: &'static str) -> impl FnOnce(RuntimeError) -> Self {
        move |source| Self::Runtime { action, source }
    }

    /// What sort of failure this is.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::NoContainer | Self::NoProcess(_) | Self::Finished | Self::NotFound(_) => Kind::NotFound,
            Self::Exists(_) => Kind::AlreadyExists,
            Self::State(_) => Kind::FailedPrecondition,
            Self::Invalid(_) | Self::Decode(_) => Kind::InvalidArgument,
            Self::Unimplemented(_) => Kind::Unimplemented,
            Self::Canceled => Kind::Canceled,
            Self::Deadline => Kind::DeadlineExceeded,
            Self::Runtime { .. }
            | Self::Mount(_)
            | Self::Unmount(_)
            | Self::Io(_)
            | Self::Console(_)
            | Self::Bundle(_) => Kind::Unknown,
        }
    }
}
