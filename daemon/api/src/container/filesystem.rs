//! `archive`, `changes` and `prune`.

use serde::{Deserialize, Serialize};

/// A file in a container: the header of `archive`, in base64 of its JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PathStat {
    /// Last part of the path.
    pub name: String,
    /// Bytes.
    pub size: i64,
    /// Type and permissions as Go's `os.FileMode` has them.
    pub mode: u32,
    /// When it was written to last.
    pub mtime: String,
    /// Target of a symbolic link.
    #[serde(rename = "linkTarget")]
    pub link_target: String,
}

/// One path that differs from the image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct FilesystemChange {
    /// The path.
    pub path: String,
    /// 0 changed, 1 added, 2 removed.
    pub kind: u8,
}

/// Answer of `POST /containers/prune`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PruneReport {
    /// IDs of the containers that are gone.
    pub containers_deleted: Option<Vec<String>>,
    /// Bytes that are free again.
    pub space_reclaimed: u64,
}
