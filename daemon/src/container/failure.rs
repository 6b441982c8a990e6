//! Why a verb cannot be done to a container now. The texts are Docker's: clients match on them.

use dhow_proto::error::Kind;

use super::record::RecordError;
use crate::error::Failure;

/// A container is in the wrong state.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("container {0} is not running")]
    NotRunning(String),
    #[error("Container {0} is paused, unpause the container before {1}")]
    Paused(String, &'static str),
    #[error("Container {0} is already paused")]
    AlreadyPaused(String),
    #[error("Container {0} is not paused")]
    NotPaused(String),
    #[error("Container {0} is restarting, wait until the container is running")]
    Restarting(String),
    #[error("container is marked for removal and cannot be {0}")]
    Removing(&'static str),
    #[error("cannot start a paused container, try unpause instead")]
    StartPaused,
}

impl Failure for StateError {
    fn kind(&self) -> Kind {
        Kind::FailedPrecondition
    }
}

impl Failure for RecordError {
    fn kind(&self) -> Kind {
        Kind::Internal
    }
}
