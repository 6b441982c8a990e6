//! What can go wrong with a volume, or with what a container asks to be mounted.

use std::io;
use std::path::PathBuf;

use dhow_linux::file::PathError;
use dhow_proto::error::Kind;

use crate::error::Failure;

/// A volume operation that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VolumeError {
    /// No such volume.
    #[error("get {0}: no such volume")]
    NotFound(String),
    /// Containers have it.
    #[error("remove {name}: volume is in use - [{users}]")]
    InUse {
        /// Its name.
        name: String,
        /// Their IDs.
        users: String,
    },
    /// A name that cannot be.
    #[error(
        "{0:?} includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
    )]
    Name(String),
    /// A driver that is not here.
    #[error("error looking up volume plugin {0}: plugin {0:?} not found")]
    Driver(String),
    /// An option of the driver that does not exist.
    #[error("invalid option: {0:?}")]
    Option(String),
    /// It is there with other options.
    #[error("volume {0} already exists with other options")]
    Differs(String),
    /// What a container asks for makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Its device cannot be mounted.
    #[error("failed to mount local volume: mount {device}:{target}, data: {options}")]
    Mount {
        /// What.
        device: String,
        /// Where.
        target: PathBuf,
        /// How.
        options: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Its document cannot be read.
    #[error("read {path}")]
    Document {
        /// The document.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Its document is newer than this daemon.
    #[error("{path} has version {version}: use a newer daemon")]
    Version {
        /// The document.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// No random name.
    #[error("make a volume: {0}")]
    Random(String),
    /// A file.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl Failure for VolumeError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) => Kind::NotFound,
            Self::InUse { .. } | Self::Differs(_) => Kind::AlreadyExists,
            Self::Driver(_) => Kind::NotFound,
            Self::Name(_) | Self::Option(_) | Self::Invalid(_) => Kind::InvalidArgument,
            Self::Mount { .. } | Self::Random(_) | Self::Path(_) => Kind::Internal,
            Self::Document { .. } | Self::Version { .. } => Kind::DataLoss,
        }
    }
}
