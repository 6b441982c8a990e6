//! Layers unpacked side by side: a directory each, published from the lowest up.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use dhow_proto::containerd::events::SnapshotCommit;

use super::directory::Reserved;
use super::{Kind, Record, SNAPSHOTS, SnapshotError, Snapshots, StateError, Usage, driver, tree};
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

/// A staged layer, and the committed snapshot that it is to become.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) staging: Staging,
    pub(crate) name: Digest,
    /// What it stands on: published before, or earlier in the same list.
    pub(crate) parent: Option<Digest>,
    pub(crate) labels: Labels,
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
            inner.driver.fill(&reserved.path(), Kind::View, &[], None)?;
            Ok(Staging { files: driver::files(&reserved.path()), reserved })
        })
        .await
    }

    /// Makes what was staged committed snapshots, all of them durably or none, at the cost of one sync.
    ///
    /// Where there is one of that name already, the staged files are thrown away, and that is success: a chain ID
    /// names one content.
    pub(crate) async fn publish(&self, scope: &Scope, layers: Vec<Publication>) -> Result<(), SnapshotError> {
        let Some(first) = layers.first() else { return Ok(()) };
        let files: Vec<PathBuf> = layers.iter().map(|layer| layer.staging.files.clone()).collect();
        let root = first.staging.files.clone();
        let usages = blocking::run(move || {
            tree::sync(&root)?;
            files.iter().map(|files| tree::usage(files)).collect::<Result<Vec<_>, _>>()
        })
        .await?;
        let leased = scope.lease.is_some();
        let mut layers = layers
            .into_iter()
            .zip(usages)
            .map(|(layer, usage)| layer.into_record(usage, leased))
            .collect::<Result<Vec<_>, _>>()?;
        let (this, place) = (self.clone(), scope.clone());
        let insert = move |transaction: &mut Transaction<'_>| {
            layers.iter_mut().for_each(|(reserved, _)| reserved.keep(false));
            let mut fresh = Vec::new();
            for (number, (_, record)) in layers.iter().enumerate() {
                if this.insert_layer(transaction, &place, record)? {
                    fresh.push((number, record.key.clone()));
                }
            }
            // Only now: an error above takes all of them back.
            fresh.iter().for_each(|(number, _)| layers[*number].0.keep(true));
            Ok::<_, SnapshotError>(fresh)
        };
        let (this, namespace) = (self.clone(), scope.namespace.clone());
        let tell = move |fresh: &Vec<(usize, String)>| {
            for (_, key) in fresh {
                let (key, name, snapshotter) = (key.clone(), key.clone(), this.name().to_owned());
                let event = SnapshotCommit { key, name, snapshotter };
                this.0.events.publish(namespace.as_str(), "/snapshot/commit", &event);
            }
        };
        self.0.metadata.write_then(Durability::Disk, insert, tell).await.map(drop)
    }

    /// Inserts the record of a layer; `false` when there is one of its name.
    fn insert_layer(
        &self,
        transaction: &mut Transaction<'_>,
        scope: &Scope,
        record: &Record,
    ) -> Result<bool, SnapshotError> {
        if SNAPSHOTS.contains(transaction, &[scope.namespace.as_str(), self.name(), &record.key])? {
            lease::hold(transaction, scope, &self.resource(&record.key))?;
            return Ok(false);
        }
        self.check_parent(transaction, &scope.namespace, &record.parent, StateError::ParentNotCommitted)?;
        self.insert(transaction, scope, record)?;
        Ok(true)
    }
}

impl Publication {
    fn into_record(self, usage: Usage, leased: bool) -> Result<(Reserved, Record), SnapshotError> {
        let Self { staging, name, parent, mut labels } = self;
        label::validate(&labels)?;
        labels.retain(|_, value| !value.is_empty());
        let now = Some(SystemTime::now().into());
        let record = Record {
            key: name.to_string(),
            parent: parent.map(|parent| parent.to_string()).unwrap_or_default(),
            kind: Kind::Committed.into(),
            created_at: now,
            updated_at: now,
            labels,
            directory: staging.reserved.number(),
            size: usage.size,
            inodes: usage.inodes,
            leased,
        };
        Ok((staging.reserved, record))
    }
}
