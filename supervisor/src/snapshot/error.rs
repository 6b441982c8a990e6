//! Failures around snapshots.

use dhow_linux::file::PathError;
use dhow_proto::error::Kind;

use crate::fault::Fault;
use crate::filter::FilterError;
use crate::label::LabelError;
use crate::lease::LeaseError;
use crate::metadata::StoreError;

/// A failure around snapshots.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    #[error("snapshotter argument missing")]
    NoSnapshotter,
    #[error("snapshotter not loaded: {0}")]
    Snapshotter(String),
    #[error("snapshot {0} does not exist")]
    NotFound(String),
    #[error("parent snapshot {0} does not exist")]
    NoParent(String),
    #[error("snapshot {0:?}")]
    AlreadyExists(String),
    #[error("target snapshot {0:?}")]
    Target(String),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("info.Labels")]
    Label(#[from] LabelError),
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error(transparent)]
    Lease(#[from] LeaseError),
    #[error(transparent)]
    File(#[from] PathError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a snapshot cannot take part in an operation.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("snapshot key must not be empty")]
    NoKey,
    #[error("failed to create snapshot: parent {0:?} is not committed snapshot")]
    Parent(String),
    #[error("requested snapshot {0} not active or view")]
    NotMountable(String),
    #[error("failed to commit snapshot {key}: snapshot {key:?} is not active")]
    NotActive { key: String },
    #[error("cannot change parent of active snapshot {0:?} on commit")]
    Rebase(String),
    #[error("parent {0:?} is not committed")]
    ParentNotCommitted(String),
    #[error("cannot remove snapshot with child")]
    HasChild,
    #[error("cannot update {field:?} field on snapshot {key:?}")]
    Field { field: String, key: String },
    #[error("label {label}: {map:?} maps no root")]
    Mapping { label: &'static str, map: String },
    #[error("the {0} snapshotter does not unpack layers side by side")]
    WholeTrees(&'static str),
}

impl Fault for SnapshotError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoSnapshotter | Self::Snapshotter(_) | Self::Label(_) | Self::Filter(_) => {
                Kind::InvalidArgument
            }
            Self::NotFound(_) | Self::NoParent(_) => Kind::NotFound,
            Self::AlreadyExists(_) | Self::Target(_) => Kind::AlreadyExists,
            Self::State(error) => match error {
                StateError::NoKey | StateError::Parent(_) | StateError::Rebase(_) => Kind::InvalidArgument,
                StateError::Field { .. } | StateError::Mapping { .. } => Kind::InvalidArgument,
                StateError::NotMountable(_) | StateError::NotActive { .. } => Kind::FailedPrecondition,
                StateError::ParentNotCommitted(_) | StateError::HasChild => Kind::FailedPrecondition,
                StateError::WholeTrees(_) => Kind::Unimplemented,
            },
            Self::File(error) => error.kind(),
            Self::Lease(error) => error.kind(),
            Self::Store(error) => error.kind(),
        }
    }
}
