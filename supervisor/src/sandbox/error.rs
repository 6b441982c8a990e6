//! Why running a sandbox failed.

use dhow_linux::file::PathError;
use dhow_proto::error::Kind;

use crate::fault::Fault;
use crate::identifier::IdentifierError;
use crate::task::LaunchError;
use crate::ttrpc::CallError;

/// A failure around running sandboxes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControllerError {
    #[error("sandbox {0} already running")]
    AlreadyExists(String),
    #[error("sandbox {0}")]
    NotFound(String),
    #[error("invalid sandbox ID")]
    Id(#[source] IdentifierError),
    #[error("failed to start new shim for sandbox {id}")]
    Start { id: String, source: LaunchError },
    #[error("use bundle of sandbox")]
    Bundle(#[from] PathError),
    /// The shim failed the call, or could not be reached.
    #[error("failed to {action} sandbox {id}: {}", crate::task::message(call))]
    Call { action: &'static str, id: String, call: CallError },
    #[error("create of sandbox {0} was given up by its client")]
    Canceled(String),
}

impl ControllerError {
    /// Whether the shim went away while, or just before, it was spoken to.
    pub(super) fn is_gone(&self) -> bool {
        match self {
            Self::Call { call, .. } => matches!(call, CallError::Closed),
            Self::Start { source, .. } => {
                matches!(source, LaunchError::Connect { .. } | LaunchError::Call(CallError::Closed))
            }
            _ => false,
        }
    }
}

impl Fault for ControllerError {
    fn kind(&self) -> Kind {
        match self {
            Self::AlreadyExists(_) => Kind::AlreadyExists,
            Self::NotFound(_) => Kind::NotFound,
            Self::Id(_) => Kind::InvalidArgument,
            Self::Start { .. } | Self::Bundle(_) => Kind::Unknown,
            Self::Call { call, .. } => call.kind(),
            Self::Canceled(_) => Kind::Canceled,
        }
    }
}
