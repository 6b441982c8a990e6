//! Snapshots: file trees that stand on each other.
//!
//! Owns: their directories, their records, and how they are mounted. Does not own: mounting, nor when they may go.
//!
//! An *active* snapshot is prepared under a key, mounted, written to, and then committed under a name; what is
//! *committed* never changes, and others may stand on it; a *view* is mounted read-only. Unpacking an image takes a
//! short cut: [`Snapshots::stage`] gives a directory for each layer, so that all are filled at once, and
//! [`Snapshots::publish`] makes each a committed snapshot, from the lowest up.
//!
//! ```text
//! <root>/io.containerd.snapshotter.v1.NAME/snapshots/NUMBER/...
//! ```
//! What is committed is on disk before the reply: the file system is synced, then the record.

mod commit;
mod copy;
mod directory;
mod driver;
mod error;
mod info;
mod lineage;
mod native;
mod overlay;
mod prepare;
mod record;
mod remap;
mod remove;
mod stage;
#[cfg(test)]
mod tests;
mod tree;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dhow_linux::file::PathError;
use directory::Directories;
pub(crate) use driver::Driver;
pub(crate) use error::{SnapshotError, StateError};
pub(crate) use record::{CHILDREN, Kind, Record, SNAPSHOTS};
pub(crate) use remap::Remap;
pub(crate) use stage::{Publication, Staging};
pub(crate) use tree::Usage;

use crate::event::Exchange;
use crate::gc::Trigger;
use crate::metadata;
use crate::namespace::Namespace;

/// A label that names the committed snapshot which a prepared one is to become.
const TARGET: &str = "containerd.io/snapshot.ref";

/// The snapshotters of this supervisor.
#[derive(Debug, Clone)]
pub(crate) struct Snapshotters(Vec<Snapshots>);

impl Snapshotters {
    /// Opens the overlayfs and the native snapshotter below `root`.
    pub(crate) fn open(
        root: &Path,
        metadata: &metadata::Store,
        events: &Exchange,
        collector: &Trigger,
    ) -> Result<Self, PathError> {
        let drivers: [Box<dyn Driver>; 2] =
            [Box::new(overlay::Overlay::detect(root)), Box::new(native::Native)];
        let open =
            |driver| Snapshots::open(root, driver, metadata.clone(), events.clone(), collector.clone());
        drivers.into_iter().map(open).collect::<Result<_, _>>().map(Self)
    }

    /// The snapshotter that clients call `name`.
    pub(crate) fn named(&self, name: &str) -> Result<&Snapshots, SnapshotError> {
        match self.0.iter().find(|snapshots| snapshots.name() == name) {
            Some(snapshots) => Ok(snapshots),
            None if name.is_empty() => Err(SnapshotError::NoSnapshotter),
            None => Err(SnapshotError::Snapshotter(name.to_owned())),
        }
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Snapshots] {
        &self.0
    }
}

/// One snapshotter; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Snapshots(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    driver: Box<dyn Driver>,
    directories: Directories,
    metadata: metadata::Store,
    events: Exchange,
    collector: Trigger,
}

impl Snapshots {
    /// Opens the snapshotter of `driver` below `root`. Must be called on the asynchronous runtime.
    fn open(
        root: &Path,
        driver: Box<dyn Driver>,
        metadata: metadata::Store,
        events: Exchange,
        collector: Trigger,
    ) -> Result<Self, PathError> {
        let root = root.join(format!("io.containerd.snapshotter.v1.{}", driver.name())).join("snapshots");
        let (directories, garbage) = Directories::open(root.clone())?;
        tokio::spawn(directory::delete(root, garbage, metadata.clone()));
        Ok(Self(Arc::new(Inner { driver, directories, metadata, events, collector })))
    }

    /// The name that clients ask for.
    pub(crate) fn name(&self) -> &'static str {
        self.0.driver.name()
    }

    /// What clients may rely on, in containerd's words.
    pub(crate) fn capabilities(&self) -> &[&'static str] {
        self.0.driver.capabilities()
    }

    /// Whether layers can be unpacked side by side, with [`Snapshots::stage`].
    pub(crate) fn unpacks_apart(&self) -> bool {
        self.0.driver.holds_differences()
    }

    /// The files of the committed snapshot `name` and of those that it stands on, the nearest first.
    pub(crate) fn layers(&self, namespace: &Namespace, name: &str) -> Result<Vec<PathBuf>, SnapshotError> {
        let directories = self.lineage(&self.0.metadata.read()?, namespace, name)?;
        Ok(directories.iter().map(|directory| driver::files(directory)).collect())
    }
}
