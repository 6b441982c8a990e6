//! Failures around content.

use std::time::{Duration, SystemTime};

use dhow_linux::file::PathError;
use dhow_proto::error::Kind;

use super::{Digest, DigestError};
use crate::fault::Fault;
use crate::filter::FilterError;
use crate::label::LabelError;
use crate::lease::LeaseError;
use crate::metadata::StoreError;

/// A failure around content.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContentError {
    #[error("content digest {0}")]
    NotFound(Digest),
    #[error("content {0}")]
    AlreadyExists(Digest),
    #[error("reference {0}")]
    NoIngest(String),
    #[error("invalid content digest {text:?}")]
    Digest { text: String, source: DigestError },
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("info.Labels")]
    Label(#[from] LabelError),
    #[error("cannot update {field:?} field on content info {digest:?}")]
    Field { field: String, digest: String },
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error(transparent)]
    Lease(#[from] LeaseError),
    #[error(transparent)]
    File(#[from] PathError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a write was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error("ref must not be empty")]
    NoReference,
    #[error("ref {reference} locked for {} (since {})", age(*.since), when(*.since))]
    Locked { reference: String, since: SystemTime },
    #[error("{reference:?} failed size validation: {actual} != {expected}")]
    Size { reference: String, actual: i64, expected: i64 },
    #[error("unexpected commit digest {actual}, expected {expected}")]
    Digest { actual: Digest, expected: Digest },
}

impl Fault for ContentError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) | Self::NoIngest(_) => Kind::NotFound,
            Self::AlreadyExists(_) => Kind::AlreadyExists,
            Self::Digest { .. } | Self::Label(_) | Self::Field { .. } => Kind::InvalidArgument,
            Self::Filter(_) | Self::Write(WriteError::NoReference) => Kind::InvalidArgument,
            Self::Write(WriteError::Locked { .. }) => Kind::Unavailable,
            Self::Write(WriteError::Size { .. } | WriteError::Digest { .. }) => Kind::FailedPrecondition,
            Self::File(error) => error.kind(),
            Self::Lease(error) => error.kind(),
            Self::Store(error) => error.kind(),
        }
    }
}

/// A duration as Go prints it, to the millisecond.
fn age(since: SystemTime) -> String {
    let age = since.elapsed().unwrap_or(Duration::ZERO);
    match age.as_secs() {
        0 => format!("{}ms", age.as_millis()),
        seconds @ 1..60 => format!("{seconds}.{:03}s", age.subsec_millis()),
        seconds @ 60..3600 => format!("{}m{}s", seconds / 60, seconds % 60),
        seconds => format!("{}h{}m{}s", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}

fn when(since: SystemTime) -> String {
    jiff::Timestamp::try_from(since).map_or_else(|_| "unknown".to_owned(), |when| when.to_string())
}
