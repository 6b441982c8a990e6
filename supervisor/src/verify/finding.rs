//! What a check may find.

use std::fmt;
use std::path::PathBuf;

/// A disagreement between records and files, or among records.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Finding {
    /// A blob is missing, or has other bytes than its digest says.
    Blob { namespace: String, digest: String },
    /// A good blob that no record names.
    UnknownBlob { digest: String, size: i64 },
    /// A snapshot without its files, or on a parent that cannot carry it.
    Snapshot { namespace: String, snapshotter: String, key: String },
    /// A snapshot directory that no record names.
    Directory { path: PathBuf },
    /// A blob whose namespace is not in the index.
    NoHolder { namespace: String, digest: String },
    /// An entry of that index without its blob.
    Holder { namespace: String, digest: String },
    /// A snapshot that is not in the index of its parent.
    NoChild { path: [String; 4] },
    /// An entry of that index without its snapshot.
    Child { path: [String; 4] },
    /// A resource of a lease that does not exist.
    Leased { path: [String; 4] },
}

impl Finding {
    /// Whether something is wrong; otherwise it was only left over.
    pub(crate) fn is_damage(&self) -> bool {
        !matches!(self, Self::UnknownBlob { .. } | Self::Directory { .. })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blob { namespace, digest } => {
                write!(formatter, "content {namespace}/{digest} is missing or has other bytes")
            }
            Self::UnknownBlob { digest, .. } => write!(formatter, "blob {digest} has no record"),
            Self::Snapshot { namespace, snapshotter, key } => {
                write!(formatter, "snapshot {namespace}/{snapshotter}/{key} has lost its files or its parent")
            }
            Self::Directory { path } => write!(formatter, "directory {} has no record", path.display()),
            Self::NoHolder { namespace, digest } => {
                write!(formatter, "content {namespace}/{digest} is not in the index of holders")
            }
            Self::Holder { namespace, digest } => {
                write!(formatter, "the index of holders names {namespace}/{digest}, which has no record")
            }
            Self::NoChild { path } => {
                write!(formatter, "snapshot {} is not in the index of children", path.join("/"))
            }
            Self::Child { path } => {
                write!(formatter, "the index of children names {}, which has no record", path.join("/"))
            }
            Self::Leased { path } => {
                write!(formatter, "{} is held by a lease that does not exist", path.join("/"))
            }
        }
    }
}
