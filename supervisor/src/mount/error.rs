//! Failures around activated mounts.

use std::io;

use dhow_linux::file::PathError;
use dhow_proto::error::Kind;

use crate::fault::Fault;
use crate::filter::FilterError;
use crate::label::LabelError;
use crate::lease::LeaseError;
use crate::metadata::StoreError;

/// A failure around activated mounts.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MountError {
    #[error("mount {0:?}")]
    NotFound(String),
    #[error("mount {0:?}")]
    AlreadyExists(String),
    /// The client does all of it by itself.
    #[error("no mount needs the mount manager")]
    NothingToDo,
    #[error("more than {0} mounts")]
    Many(usize),
    #[error("cannot update {field:?} field on mount {name:?}")]
    Field { field: String, name: String },
    #[error("mount {index}")]
    Mount { index: usize, source: StepError },
    #[error(transparent)]
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

/// Why one mount of a list was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    #[error("template {text:?}: {problem}")]
    Template { text: String, problem: String },
    #[error("invalid option {0:?}")]
    Option(String),
    #[error("mkfs needs the option X-containerd.mkfs.size")]
    NoSize,
    #[error("{0} is in none of the folders where this may be made")]
    Outside(String),
    #[error("{path} is there with mode {found:o}, not {wanted:o}")]
    Mode { path: String, found: u32, wanted: u32 },
    #[error("{program} failed: {output}")]
    Mkfs { program: String, output: String },
    #[error("attach to a loop device")]
    Loop(#[source] io::Error),
    #[error(transparent)]
    Mount(#[from] dhow_linux::fstab::MountError),
    #[error(transparent)]
    File(#[from] PathError),
}

impl Fault for MountError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) => Kind::NotFound,
            Self::AlreadyExists(_) => Kind::AlreadyExists,
            Self::NothingToDo => Kind::Unimplemented,
            Self::Many(_) | Self::Field { .. } | Self::Label(_) | Self::Filter(_) => Kind::InvalidArgument,
            Self::Mount { source, .. } => match source {
                StepError::Template { .. } | StepError::Option(_) | StepError::NoSize => {
                    Kind::InvalidArgument
                }
                StepError::Outside(_) | StepError::Mode { .. } => Kind::Unimplemented,
                StepError::Mount(dhow_linux::fstab::MountError::Option(_)) => Kind::InvalidArgument,
                StepError::Mkfs { .. } | StepError::Loop(_) => Kind::Unknown,
                StepError::Mount(_) | StepError::File(_) => Kind::Unknown,
            },
            Self::File(error) => error.kind(),
            Self::Lease(error) => error.kind(),
            Self::Store(error) => error.kind(),
        }
    }
}
