//! What every error of the daemon can tell about itself.

use dhow_proto::error::Kind;

/// An error that knows what sort of failure it is; the HTTP edge turns the kind into a status.
pub(crate) trait Failure: std::error::Error + Send + Sync + 'static {
    /// The sort of failure.
    fn kind(&self) -> Kind;
}

impl Failure for tonic::Status {
    fn kind(&self) -> Kind {
        self.code().into()
    }
}

impl Failure for dhow_linux::file::PathError {
    fn kind(&self) -> Kind {
        Kind::Internal
    }
}
