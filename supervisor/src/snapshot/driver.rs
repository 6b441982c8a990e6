//! What differs between snapshotters: how a new directory is filled, and how a snapshot is mounted.

use std::path::{Path, PathBuf};

use dhow_linux::file::PathError;
use dhow_proto::containerd::types::Mount;

use super::{Kind, Remap};

/// A way to stack file trees.
///
/// Each snapshot has a directory of its own; the driver decides what is in it. `parents` are the directories that it
/// stands on, the nearest first.
pub(crate) trait Driver: std::fmt::Debug + Send + Sync {
    /// The name that clients ask for.
    fn name(&self) -> &'static str;

    /// Fills the empty `directory` of a new view or active snapshot.
    fn fill(
        &self,
        directory: &Path,
        kind: Kind,
        parents: &[PathBuf],
        remap: Option<&Remap>,
    ) -> Result<(), PathError>;

    /// How to mount the snapshot in `directory`.
    fn mounts(&self, directory: &Path, kind: Kind, parents: &[PathBuf], remap: Option<&Remap>) -> Vec<Mount>;

    /// What clients may rely on, in containerd's words.
    fn capabilities(&self) -> &[&'static str];

    /// Whether a directory may hold only what differs from its parents, so that layers can be unpacked side by side.
    fn holds_differences(&self) -> bool;
}

/// The files of the snapshot in `directory`.
pub(super) fn files(directory: &Path) -> PathBuf {
    directory.join("fs")
}

/// A bind mount of a whole tree.
pub(super) fn bind(source: &Path, access: &str, mut options: Vec<String>) -> Mount {
    options.extend([access.to_owned(), "rbind".to_owned()]);
    let source = source.to_string_lossy().into_owned();
    Mount { r#type: "bind".to_owned(), source, target: String::new(), options }
}
