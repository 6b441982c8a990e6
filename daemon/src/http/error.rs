//! Errors at the HTTP edge: the one table from a kind to a status, and `{"message": …}`.

use dhow_engine_api::ErrorMessage;
use dhow_proto::error::Kind;
use http::StatusCode;

use super::body::{self, Answer};
use crate::error::Failure;

/// A failure on its way out.
#[derive(Debug)]
pub(crate) struct HttpError {
    kind: Kind,
    message: String,
}

impl HttpError {
    /// A failure that only the HTTP edge can see.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// A request that no state of the daemon would make right.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::InvalidArgument, message)
    }

    /// What went wrong, for answers that began before it did.
    pub(crate) fn into_message(self) -> String {
        self.message
    }

    /// The status and the document that tell a client.
    pub(crate) fn answer(self) -> Answer {
        let status = status(self.kind);
        if status.is_server_error() {
            tracing::warn!(%status, message = %self.message, "request failed");
        }
        body::json(status, &ErrorMessage { message: self.message })
    }
}

/// The text of a failure: what we say, and below it what a layer said. A gRPC status carries its chain in its message.
fn text(error: &(dyn std::error::Error + 'static)) -> String {
    let boxed = error.downcast_ref::<Box<tonic::Status>>().map(AsRef::as_ref);
    if let Some(status) = error.downcast_ref::<tonic::Status>().or(boxed) {
        return status.message().to_owned();
    }
    match error.source() {
        Some(source) => format!("{error}: {}", text(source)),
        None => error.to_string(),
    }
}

impl<E: Failure> From<E> for HttpError {
    fn from(error: E) -> Self {
        Self { kind: error.kind(), message: text(&error) }
    }
}

/// The one table from a kind of failure to a status.
fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::InvalidArgument | Kind::OutOfRange => StatusCode::BAD_REQUEST,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::PermissionDenied => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::AlreadyExists | Kind::FailedPrecondition | Kind::Aborted => StatusCode::CONFLICT,
        Kind::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::ResourceExhausted
        | Kind::Canceled
        | Kind::Unknown
        | Kind::DeadlineExceeded
        | Kind::Internal
        | Kind::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("start task")]
    struct Start(#[source] Box<tonic::Status>);

    impl Failure for Start {
        fn kind(&self) -> Kind {
            self.0.code().into()
        }
    }

    #[test]
    fn a_status_from_below_is_told_by_its_message() {
        let error = HttpError::from(Start(Box::new(tonic::Status::not_found("no such task"))));
        assert_eq!(error.into_message(), "start task: no such task");
        assert_eq!(status(Kind::NotFound), StatusCode::NOT_FOUND);
    }
}
