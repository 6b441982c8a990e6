//! What goes wrong with a registry, in words that say what to do.

use std::io;

use dhow_proto::error::Kind;
use http::StatusCode;

use super::credentials::CredentialsError;
use super::hosts::HostsError;
use super::reference::ReferenceError;
use crate::fault::Fault;

/// A failure at a registry.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistryError {
    /// The reference is none.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The configuration of hosts is wrong.
    #[error(transparent)]
    Hosts(#[from] HostsError),
    /// Whoever has the credentials did not answer.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// No connection, or it broke.
    #[error("{method} {url}")]
    Transport {
        /// Of the request.
        method: http::Method,
        /// Of the request, without query.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The server wants other credentials than it got.
    #[error(
        "{action} access denied, repository does not exist or may require authorization: server message: {message}"
    )]
    Denied {
        /// `pull` or `push`.
        action: &'static str,
        /// 401 or 403.
        status: StatusCode,
        /// What the server says.
        message: String,
    },
    /// The server does not have it.
    #[error("{0}")]
    NotFound(String),
    /// Any other answer that is no success.
    #[error("unexpected status from {method} request to {url}: {status}{}", details(.message))]
    Status {
        /// Of the request.
        method: http::Method,
        /// Of the request.
        url: String,
        /// The answer.
        status: StatusCode,
        /// What the server says.
        message: String,
    },
    /// The token server did not give a token.
    #[error("fetch token from {realm}: {reason}")]
    Token {
        /// Address of the token server.
        realm: String,
        /// Why it is not good.
        reason: String,
    },
    /// A redirect that is not followed.
    #[error("refuse to follow the redirect from {from}: {reason}")]
    Redirect {
        /// Who sent it.
        from: String,
        /// Why.
        reason: &'static str,
    },
    /// A blob that ends too early, again and again.
    #[error("{url} ended after {received} of {size} bytes")]
    Short {
        /// Whose.
        url: String,
        /// How much came.
        received: u64,
        /// How much was promised.
        size: u64,
    },
    /// An answer breaks the protocol.
    #[error("{url} answered with {what}")]
    Protocol {
        /// Who.
        url: String,
        /// How.
        what: String,
    },
    /// A file that was to be sent cannot be read.
    #[error("read {path} for the upload")]
    Upload {
        /// Which file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// No host is configured for this.
    #[error("no host of {registry} is allowed to {action}")]
    NoHost {
        /// The registry.
        registry: String,
        /// What was wanted.
        action: &'static str,
    },
}

fn details(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

impl Fault for RegistryError {
    fn kind(&self) -> Kind {
        match self {
            Self::Reference(_) | Self::Hosts(_) => Kind::InvalidArgument,
            Self::Credentials(_) | Self::Transport { .. } | Self::Short { .. } => Kind::Unavailable,
            Self::Denied { status, .. } if *status == StatusCode::FORBIDDEN => Kind::PermissionDenied,
            Self::Denied { .. } | Self::Token { .. } => Kind::Unauthenticated,
            Self::NotFound(_) => Kind::NotFound,
            Self::Status { status, .. } if *status == StatusCode::TOO_MANY_REQUESTS => {
                Kind::ResourceExhausted
            }
            Self::Status { status, .. } if status.is_server_error() => Kind::Unavailable,
            Self::Status { .. } | Self::Redirect { .. } | Self::Protocol { .. } => Kind::Unknown,
            Self::Upload { .. } => Kind::Internal,
            Self::NoHost { .. } => Kind::FailedPrecondition,
        }
    }
}

impl RegistryError {
    /// Whether the same request may well succeed a moment later.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Transport { source, .. } => !source.is_builder(),
            Self::Status { status, .. } => {
                matches!(status.as_u16(), 408 | 429) || (status.is_server_error() && status.as_u16() != 501)
            }
            _ => false,
        }
    }
}
