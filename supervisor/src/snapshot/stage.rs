//! Layers unpacked side by side: a directory each, published from the lowest up.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use dhow_proto::containerd::events::SnapshotCommit;

use super::directory::Reserved;
use super::{Kind, Record, SNAPSHOTS, SnapshotError, Snapshots, StateError, driver, tree};
use crate::blocking;
use crate::content::Digest;
use crate::label::{self, Labels};
use crate::lease;
use crate::metadata::{Durability, Transaction};
use crate::namespace::Scope;

/// A directory to unpack one layer into; dropped without [`Snapshots::publish`], it is deleted.
#[derive(Debug)]
pub(crate) struct Staging {
    reserved: Reserved,
    files: PathBuf,
}

impl Staging {
    /// The empty directory for the files of the layer: root's, `0755`.
    pub(crate) fn path(&self) -> &Path {
        &self.files
    }
}

impl Snapshots {
    /// A directory for a layer, on the file system of the snapshots.
    pub(crate) async fn stage(&self) -> Result<Staging, SnapshotError> {
        if !self.0.driver.holds_differences() {
            return Err(StateError::WholeTrees(self.name()).into());
        }
        let inner = self.0.clone();
        blocking::run(move || {
            let reserved = inner.directories.reserve()?;
            inner.driver.fill(&reserved.path(), Kind::View, &[])?;
            Ok(Staging { files: driver::files(&reserved.path()), reserved })
        })
        .await
    }

    /// Makes what was staged the committed snapshot called `name`, on `parent`, durably.
    ///
    /// When there is one of that name already, the staged files are thrown away, and that is success: a chain ID
    /// names one content.
    pub(crate) async fn publish(
        &self,
        scope: &Scope,
        staging: Staging,
        name: &Digest,
        parent: Option<&Digest>,
        mut labels: Labels,
    ) -> Result<(), SnapshotError> {
        labels.retain(|_, value| !value.is_empty());
        label::validate(&labels)?;
        let files = staging.files.clone();
        let usage = blocking::run(move || {
            tree::sync(&files)?;
            tree::usage(&files)
        })
        .await?;
        let now = Some(SystemTime::now().into());
        let record = Record {
            key: name.to_string(),
            parent: parent.map(Digest::to_string).unwrap_or_default(),
            kind: Kind::Committed.into(),
            created_at: now,
            updated_at: now,
            labels,
            directory: staging.reserved.number(),
            size: usage.size,
            inodes: usage.inodes,
            leased: scope.lease.is_some(),
        };
        let (this, place, mut reserved) = (self.clone(), scope.clone(), staging.reserved);
        let insert = move |transaction: &mut Transaction<'_>| {
            reserved.keep(false);
            if SNAPSHOTS.contains(transaction, &[place.namespace.as_str(), this.name(), &record.key])? {
                lease::hold(transaction, &place, &this.resource(&record.key))?;
                return Ok::<_, SnapshotError>(false);
            }
            this.check_parent(transaction, &place.namespace, &record.parent, StateError::ParentNotCommitted)?;
            this.insert(transaction, &place, &record)?;
            reserved.keep(true);
            Ok(true)
        };
        let (this, namespace, name) = (self.clone(), scope.namespace.clone(), name.to_string());
        let tell = move |fresh: &bool| {
            if *fresh {
                let event = SnapshotCommit { key: name.clone(), name, snapshotter: this.name().to_owned() };
                this.0.events.publish(namespace.as_str(), "/snapshot/commit", &event);
            }
        };
        self.0.metadata.write_then(Durability::Disk, insert, tell).await.map(drop)
    }
}
