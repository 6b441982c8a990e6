//! Images in tar streams: OCI layouts, and what `docker save` writes.
//!
//! ```text
//! OCI layout:      oci-layout, index.json, blobs/sha256/HEX …
//! docker save:     manifest.json, CONFIG.json, LAYER/layer.tar …      (newer ones are both at once)
//! ```
//! An import stores every file of the stream as it comes, then looks at what the documents say; an export writes
//! both forms over the same blobs.

mod export;
mod import;

use std::io;

use dhow_proto::error::Kind;

pub(crate) use export::ExportOptions;

use crate::diff::ArchiveError;
use crate::fault::Fault;

/// The annotation with the full name of an image.
pub(crate) const IMAGE_NAME: &str = "io.containerd.image.name";
/// The annotation with the tag, or the whole name, of an image.
pub(crate) const REFERENCE_NAME: &str = "org.opencontainers.image.ref.name";

/// Why an archive of images cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageArchiveError {
    /// It is not a sound archive.
    #[error("read image archive")]
    Read(#[from] ArchiveError),
    /// It cannot be decompressed.
    #[error("decompress image archive")]
    Decompress(#[source] io::Error),
    /// A file of it cannot be read.
    #[error("read {path} of the image archive")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A document of it is not what it should be.
    #[error("{path} of the image archive is not valid")]
    Json {
        /// Which.
        path: String,
        /// Why.
        source: serde_json::Error,
    },
    /// A document is too long.
    #[error("{path} of the image archive is longer than {limit} bytes")]
    Long {
        /// Which.
        path: String,
        /// The limit.
        limit: u64,
    },
    /// Something that a document names is not in it.
    #[error("{path} is not in the image archive")]
    Missing {
        /// What.
        path: String,
    },
    /// It holds no images.
    #[error("unrecognized image format: neither index.json nor manifest.json is in the archive")]
    Format,
    /// It is an OCI layout of another version.
    #[error("unsupported OCI version {0}")]
    Version(String),
    /// It cannot be written.
    #[error("write image archive")]
    Write(#[source] io::Error),
}

impl Fault for ImageArchiveError {
    fn kind(&self) -> Kind {
        match self {
            Self::Write(_) => Kind::Unavailable,
            _ => Kind::InvalidArgument,
        }
    }
}
