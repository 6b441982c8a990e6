//! What can go wrong with an image.

use dhow_proto::error::Kind;
use tonic::Status;

use super::reference::ReferenceError;
use crate::error::Failure;

/// An image operation that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    /// No such image.
    #[error("No such image: {0}")]
    NotFound(String),
    /// More than one image begins so.
    #[error("ambiguous image ID prefix: {0}")]
    Ambiguous(String),
    /// Not a name.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A request that makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Something uses it.
    #[error("conflict: {0}")]
    Conflict(String),
    /// A document that is not what its type says.
    #[error("read {what} {digest}")]
    Document {
        /// `manifest`, `index` or `config`.
        what: &'static str,
        /// Its digest.
        digest: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// An image without a manifest for this platform.
    #[error("image {0} has no manifest for this platform here")]
    NoPlatform(String),
    /// A registry, or the supervisor on the way to it, refused; in words that Docker's clients know.
    #[error("{message}")]
    Pull {
        /// What sort of refusal.
        kind: Kind,
        /// What it said.
        message: String,
    },
    /// The supervisor refused.
    #[error("{action}")]
    Supervisor {
        /// What was asked of it.
        action: &'static str,
        /// Its answer.
        source: Status,
    },
    /// The client's body broke off.
    #[error("read the request's body")]
    Body(#[source] std::io::Error),
}

impl ImageError {
    /// An adapter for `map_err`.
    pub(super) fn asked(action: &'static str) -> impl FnOnce(Status) -> Self {
        move |source| Self::Supervisor { action, source }
    }

    /// Whether the supervisor said that there is no such thing.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Supervisor { source, .. } if source.code() == tonic::Code::NotFound)
    }
}

impl Failure for ImageError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) | Self::NoPlatform(_) => Kind::NotFound,
            Self::Ambiguous(_) | Self::Reference(_) | Self::Invalid(_) | Self::Body(_) => {
                Kind::InvalidArgument
            }
            Self::Conflict(_) => Kind::AlreadyExists,
            Self::Document { .. } => Kind::DataLoss,
            Self::Pull { kind, .. } => *kind,
            Self::Supervisor { source, .. } => source.code().into(),
        }
    }
}
