//! What a snapshot stands on, and what stands on it.

use std::path::PathBuf;

use super::{CHILDREN, Kind, Record, SNAPSHOTS, SnapshotError, Snapshots, StateError};
use crate::lease::{self, Resource};
use crate::metadata::{StoreError, Transaction, View};
use crate::namespace::{self, Namespace, Scope};

impl Snapshots {
    pub(super) fn find(
        &self,
        view: &impl View,
        namespace: &Namespace,
        key: &str,
    ) -> Result<Record, SnapshotError> {
        let record = SNAPSHOTS.get(view, &[namespace.as_str(), self.name(), key])?;
        record.ok_or_else(|| SnapshotError::NotFound(key.to_owned()))
    }

    /// The directories that a snapshot on `parent` stands on, the nearest first.
    pub(super) fn lineage(
        &self,
        view: &impl View,
        namespace: &Namespace,
        parent: &str,
    ) -> Result<Vec<PathBuf>, SnapshotError> {
        let mut directories = Vec::new();
        let mut next = parent.to_owned();
        while !next.is_empty() {
            let record = SNAPSHOTS
                .get(view, &[namespace.as_str(), self.name(), &next])?
                .ok_or_else(|| SnapshotError::NoParent(next.clone()))?;
            directories.push(self.0.directories.path(record.directory));
            next = record.parent;
        }
        Ok(directories)
    }

    pub(super) fn resource(&self, key: &str) -> Resource {
        Resource::Snapshot { snapshotter: self.name().to_owned(), key: key.to_owned() }
    }

    pub(super) fn check_parent(
        &self,
        view: &impl View,
        namespace: &Namespace,
        parent: &str,
        refusal: fn(String) -> StateError,
    ) -> Result<(), SnapshotError> {
        if parent.is_empty() {
            return Ok(());
        }
        match SNAPSHOTS.get(view, &[namespace.as_str(), self.name(), parent])? {
            None => Err(SnapshotError::NoParent(parent.to_owned())),
            Some(record) if record.kind() == Kind::Committed => Ok(()),
            Some(_) => Err(refusal(parent.to_owned()).into()),
        }
    }

    pub(super) fn insert(
        &self,
        transaction: &mut Transaction<'_>,
        scope: &Scope,
        record: &Record,
    ) -> Result<(), SnapshotError> {
        let namespace = scope.namespace.as_str();
        namespace::ensure(transaction, &scope.namespace)?;
        lease::hold(transaction, scope, &self.resource(&record.key))?;
        SNAPSHOTS.put(transaction, &[namespace, self.name(), &record.key], record)?;
        if !record.parent.is_empty() {
            CHILDREN.put(transaction, &[namespace, self.name(), &record.parent, &record.key], &())?;
        }
        Ok(())
    }

    /// Removes the record of `key` in `transaction` and returns it; its directory is the caller's to discard, once
    /// the transaction is committed.
    pub(crate) fn take_out(
        &self,
        transaction: &mut Transaction<'_>,
        namespace: &str,
        record: &Record,
    ) -> Result<(), StoreError> {
        SNAPSHOTS.remove(transaction, &[namespace, self.name(), &record.key])?;
        if !record.parent.is_empty() {
            CHILDREN.remove(transaction, &[namespace, self.name(), &record.parent, &record.key])?;
        }
        Ok(())
    }
}
