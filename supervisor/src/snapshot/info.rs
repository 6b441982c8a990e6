//! What is known of snapshots, and how they are mounted.

use std::time::SystemTime;

use dhow_proto::containerd::types::Mount;

use super::{Kind, Record, Remap, SNAPSHOTS, SnapshotError, Snapshots, StateError, Usage, driver, tree};
use crate::blocking;
use crate::filter::Filter;
use crate::label;
use crate::metadata::{Durability, Listing};
use crate::namespace::Namespace;

impl Snapshots {
    /// The record of a snapshot.
    pub(crate) fn stat(&self, namespace: &Namespace, key: &str) -> Result<Record, SnapshotError> {
        self.find(&self.0.metadata.read()?, namespace, key)
    }

    /// Changes the labels of a snapshot: those that `mask` names, or all.
    pub(crate) async fn update(
        &self,
        namespace: &Namespace,
        record: Record,
        mask: Vec<String>,
    ) -> Result<Record, SnapshotError> {
        if record.key.is_empty() {
            return Err(StateError::NoKey.into());
        }
        let mask = if mask.is_empty() { vec!["labels".to_owned()] } else { mask };
        let (this, namespace) = (self.clone(), namespace.clone());
        let updated = self
            .0
            .metadata
            .write(Durability::Disk, move |transaction| {
                let mut updated = this.find(transaction, &namespace, &record.key)?;
                for path in &mask {
                    if !label::apply_mask(path, &mut updated.labels, &record.labels) {
                        let (field, key) = (path.clone(), record.key.clone());
                        return Err(StateError::Field { field, key }.into());
                    }
                }
                label::validate(&updated.labels)?;
                updated.labels.retain(|_, value| !value.is_empty());
                updated.updated_at = Some(SystemTime::now().into());
                SNAPSHOTS.put(transaction, &[namespace.as_str(), this.name(), &updated.key], &updated)?;
                Ok::<_, SnapshotError>(updated)
            })
            .await?;
        self.0.collector.pull();
        Ok(updated)
    }

    /// What a snapshot takes on disk by itself; an active one is measured now.
    pub(crate) async fn usage(&self, namespace: &Namespace, key: &str) -> Result<Usage, SnapshotError> {
        let record = self.stat(namespace, key)?;
        match record.kind() {
            Kind::Active => {
                let files = driver::files(&self.0.directories.path(record.directory));
                Ok(blocking::run(move || tree::usage(&files)).await?)
            }
            _ => Ok(Usage { size: record.size, inodes: record.inodes }),
        }
    }

    /// How to mount a view or an active snapshot.
    pub(crate) fn mounts(&self, namespace: &Namespace, key: &str) -> Result<Vec<Mount>, SnapshotError> {
        let view = self.0.metadata.read()?;
        let record = self.find(&view, namespace, key)?;
        if !matches!(record.kind(), Kind::Active | Kind::View) {
            return Err(StateError::NotMountable(key.to_owned()).into());
        }
        let parents = self.lineage(&view, namespace, &record.parent)?;
        let (directory, remap) = (self.0.directories.path(record.directory), Remap::of(&record.labels)?);
        Ok(self.0.driver.mounts(&directory, record.kind(), &parents, remap.as_ref()))
    }

    /// The snapshots that `filters` want, by key.
    pub(crate) fn list(
        &self,
        namespace: &Namespace,
        filters: &[String],
    ) -> Result<Listing<Record>, SnapshotError> {
        let filter = Filter::parse(filters)?;
        let keep = move |record: &Record| filter.matches(record);
        Ok(SNAPSHOTS.listing(self.0.metadata.read()?, &[namespace.as_str(), self.name()], keep))
    }
}
