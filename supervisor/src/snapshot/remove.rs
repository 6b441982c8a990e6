//! The end of snapshots: asked for, collected, or left by a crash.

use std::collections::HashSet;

use dhow_proto::containerd::events::SnapshotRemove;

use super::{CHILDREN, Record, SNAPSHOTS, SnapshotError, Snapshots, StateError};
use crate::lease;
use crate::metadata::{Durability, Transaction};
use crate::namespace::Scope;

impl Snapshots {
    /// Removes a snapshot that nothing stands on; its files go in the background.
    pub(crate) async fn remove(&self, scope: &Scope, key: &str) -> Result<(), SnapshotError> {
        let (this, place, gone) = (self.clone(), scope.clone(), key.to_owned());
        let take = move |transaction: &mut Transaction<'_>| {
            let namespace = place.namespace.as_str();
            let record = this.find(transaction, &place.namespace, &gone)?;
            if !CHILDREN.is_empty(transaction, &[namespace, this.name(), &gone])? {
                return Err(SnapshotError::from(StateError::HasChild));
            }
            this.take_out(transaction, namespace, &record)?;
            lease::release(transaction, &place, &this.resource(&gone))?;
            Ok(record)
        };
        let (this, namespace) = (self.clone(), scope.namespace.clone());
        let tell = move |record: &Record| {
            this.discard(record);
            this.0.collector.pull();
            let event = SnapshotRemove { key: record.key.clone(), snapshotter: this.name().to_owned() };
            this.0.events.publish(namespace.as_str(), "/snapshot/remove", &event);
        };
        self.0.metadata.write_then(Durability::Process, take, tell).await.map(drop)
    }

    /// Deletes the directory of a record that is gone.
    pub(crate) fn discard(&self, record: &Record) {
        self.0.directories.discard(record.directory);
    }

    /// Deletes directories that no record names, such as a crash leaves.
    pub(crate) fn sweep(&self) -> Result<(), SnapshotError> {
        let orphans = self.0.directories.orphans(|| {
            let mut named = HashSet::new();
            SNAPSHOTS.each(&self.0.metadata.read()?, &[], |names, record| {
                if names.get(1).is_some_and(|snapshotter| snapshotter == self.name()) {
                    named.insert(record.directory);
                }
                Ok(())
            })?;
            Ok::<_, SnapshotError>(named)
        })?;
        orphans.into_iter().for_each(|number| self.0.directories.discard(number));
        Ok(())
    }
}
