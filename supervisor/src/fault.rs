//! How a failure crosses the wire: the one way from a domain error to a gRPC status.
//!
//! Every error of a domain module says its [`Kind`]; the text is its chain, ended by the words that clients of
//! containerd take off again when they turn a status back into one of their own errors.

use dhow_linux::file::PathError;
use dhow_proto::error::{Kind, chain};
use tonic::Status;

/// An error that knows what sort of failure it is.
pub(crate) trait Fault: std::error::Error + 'static {
    /// What sort of failure this is.
    fn kind(&self) -> Kind;
}

impl Fault for PathError {
    fn kind(&self) -> Kind {
        match self.source.kind() {
            std::io::ErrorKind::StorageFull => Kind::ResourceExhausted,
            _ => Kind::Internal,
        }
    }
}

/// The status that tells a client of `error`.
pub(crate) fn status(error: impl Fault) -> Status {
    let kind = error.kind();
    let mut text = chain(&error);
    // Whoever takes the words off puts them back after a colon, so they must not be there twice.
    if let Some(words) = words(kind).filter(|words| !text.ends_with(words)) {
        text.push_str(": ");
        text.push_str(words);
    }
    Status::new(kind.into(), text)
}

/// The words for `kind` that end a message of containerd.
fn words(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::InvalidArgument => "invalid argument",
        Kind::NotFound => "not found",
        Kind::AlreadyExists => "already exists",
        Kind::PermissionDenied => "permission denied",
        Kind::ResourceExhausted => "resource exhausted",
        Kind::FailedPrecondition => "failed precondition",
        Kind::Aborted => "aborted",
        Kind::OutOfRange => "out of range",
        Kind::Unimplemented => "not implemented",
        Kind::Unavailable => "unavailable",
        Kind::DataLoss => "data loss",
        Kind::Unauthenticated => "unauthenticated",
        Kind::Canceled | Kind::DeadlineExceeded | Kind::Unknown | Kind::Internal => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Failure(&'static str, Kind);

    impl Fault for Failure {
        fn kind(&self) -> Kind {
            self.1
        }
    }

    #[test]
    fn a_message_ends_with_the_words_of_its_kind_once() {
        let text = |text, kind| status(Failure(text, kind)).message().to_owned();
        assert_eq!(text("image \"a\"", Kind::NotFound), "image \"a\": not found");
        assert_eq!(text("task a not found", Kind::NotFound), "task a not found");
        assert_eq!(text("lease \"a\"", Kind::AlreadyExists), "lease \"a\": already exists");
        assert_eq!(text("checkpoint", Kind::Unimplemented), "checkpoint: not implemented");
        assert_eq!(text("open", Kind::Unknown), "open");
    }
}
