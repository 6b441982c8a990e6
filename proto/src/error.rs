//! The kinds of failure, and the one table between a kind and its gRPC code.
//!
//! Every domain error of the supervisor, the shim and the daemon answers `kind()`; nothing else decides a code on
//! the wire. The codes are those of `google.rpc.Code`; clients of containerd match on them.

/// What sort of failure an operation ended in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The caller gave up.
    Canceled,
    /// A failure that no other kind describes.
    Unknown,
    /// The request itself is wrong: no state of the system would make it right.
    InvalidArgument,
    /// A deadline passed first.
    DeadlineExceeded,
    /// The subject does not exist.
    NotFound,
    /// The subject exists already.
    AlreadyExists,
    /// The caller may not do this.
    PermissionDenied,
    /// A limit was reached.
    ResourceExhausted,
    /// The subject is in a state that forbids the operation.
    FailedPrecondition,
    /// A concurrent operation won.
    Aborted,
    /// A position lies past the end.
    OutOfRange,
    /// The operation is not offered.
    Unimplemented,
    /// An invariant broke, or the kernel refused something that should work.
    Internal,
    /// The other side is away; a retry may succeed.
    Unavailable,
    /// Stored data is lost or damaged.
    DataLoss,
    /// Credentials are missing or wrong.
    Unauthenticated,
}

impl Kind {
    const ALL: [Self; 16] = [
        Self::Canceled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// The number of this kind in `google.rpc.Code`.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::Canceled => 1,
            Self::Unknown => 2,
            Self::InvalidArgument => 3,
            Self::DeadlineExceeded => 4,
            Self::NotFound => 5,
            Self::AlreadyExists => 6,
            Self::PermissionDenied => 7,
            Self::ResourceExhausted => 8,
            Self::FailedPrecondition => 9,
            Self::Aborted => 10,
            Self::OutOfRange => 11,
            Self::Unimplemented => 12,
            Self::Internal => 13,
            Self::Unavailable => 14,
            Self::DataLoss => 15,
            Self::Unauthenticated => 16,
        }
    }

    /// The kind with this number in `google.rpc.Code`; [`Kind::Unknown`] for numbers outside it.
    #[must_use]
    pub fn from_code(code: i32) -> Self {
        Self::ALL.into_iter().find(|kind| kind.code() == code).unwrap_or(Self::Unknown)
    }
}

#[cfg(feature = "grpc")]
impl From<Kind> for tonic::Code {
    fn from(kind: Kind) -> Self {
        Self::from_i32(kind.code())
    }
}

#[cfg(feature = "grpc")]
impl From<tonic::Code> for Kind {
    fn from(code: tonic::Code) -> Self {
        Self::from_code(code as i32)
    }
}

/// The text of an error and of everything below it, joined by `: `.
///
/// Error types here do not repeat their source in `Display`, so this is what crosses a wire or meets a person.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_the_wire() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_code(kind.code()), kind);
        }
        assert_eq!(Kind::from_code(99), Kind::Unknown);
    }

    #[test]
    fn a_chain_names_every_cause_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("mount proc")]
        struct Mount(#[source] std::io::Error);

        let error = Mount(std::io::Error::from_raw_os_error(1));
        assert_eq!(chain(&error), "mount proc: Operation not permitted (os error 1)");
    }
}
