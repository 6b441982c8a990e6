//! An active snapshot becomes a committed one.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use dhow_linux::file::PathError;
use dhow_proto::containerd::events::SnapshotCommit;

use super::{Kind, Record, SNAPSHOTS, SnapshotError, Snapshots, StateError, Usage, driver, tree};
use crate::blocking;
use crate::diff::inherit_marked;
use crate::label::{self, Labels};
use crate::lease;
use crate::metadata::{Durability, Transaction};
use crate::namespace::Scope;

impl Snapshots {
    /// Makes the active snapshot under `key` a committed one called `name`; `parent` is for one that has none yet.
    pub(crate) async fn commit(
        &self,
        scope: &Scope,
        name: &str,
        key: &str,
        parent: &str,
        mut labels: Labels,
    ) -> Result<(), SnapshotError> {
        if name.is_empty() {
            return Err(StateError::NoKey.into());
        }
        label::validate(&labels)?;
        labels.retain(|_, value| !value.is_empty());
        let view = self.0.metadata.read()?;
        if SNAPSHOTS.contains(&view, &[scope.namespace.as_str(), self.name(), name])? {
            return Err(SnapshotError::AlreadyExists(name.to_owned()));
        }
        let active = self.find(&view, &scope.namespace, key)?;
        if active.kind() != Kind::Active {
            return Err(StateError::NotActive { key: key.to_owned() }.into());
        }
        let files = driver::files(&self.0.directories.path(active.directory));
        let rebased = active.parent.is_empty();
        // One that does not exist is refused below, in the words that clients know.
        let parents = if rebased {
            self.lineage(&view, &scope.namespace, parent).unwrap_or_default()
        } else {
            Vec::new()
        };
        drop(view);
        let usage = blocking::run(move || {
            if rebased {
                let parents: Vec<PathBuf> = parents.iter().map(|parent| driver::files(parent)).collect();
                let parents: Vec<&Path> = parents.iter().map(PathBuf::as_path).collect();
                inherit_marked(&files, &parents).map_err(PathError::at("copy metadata below", &files))?;
            }
            tree::sync(&files)?;
            tree::usage(&files)
        })
        .await?;
        let (this, place) = (self.clone(), scope.clone());
        let (new, old, parent) = (name.to_owned(), key.to_owned(), parent.to_owned());
        let rename = move |transaction: &mut Transaction<'_>| {
            this.rename(transaction, &place, (&new, &old, &parent), usage, &labels)
        };
        let (inner, namespace) = (self.0.clone(), scope.namespace.clone());
        let (key, name, snapshotter) = (key.to_owned(), name.to_owned(), self.name().to_owned());
        let tell = move |(): &()| {
            let event = SnapshotCommit { key, name, snapshotter };
            inner.events.publish(namespace.as_str(), "/snapshot/commit", &event);
        };
        self.0.metadata.write_then(Durability::Disk, rename, tell).await
    }

    fn rename(
        &self,
        transaction: &mut Transaction<'_>,
        scope: &Scope,
        (name, key, parent): (&str, &str, &str),
        usage: Usage,
        labels: &Labels,
    ) -> Result<(), SnapshotError> {
        if SNAPSHOTS.contains(transaction, &[scope.namespace.as_str(), self.name(), name])? {
            return Err(SnapshotError::AlreadyExists(name.to_owned()));
        }
        let old = self.find(transaction, &scope.namespace, key)?;
        if old.kind() != Kind::Active {
            return Err(StateError::NotActive { key: key.to_owned() }.into());
        }
        let parent = match (old.parent.as_str(), parent) {
            (kept, "") => kept,
            ("", new) => new,
            (kept, new) if kept == new => kept,
            _ => return Err(StateError::Rebase(key.to_owned()).into()),
        };
        self.check_parent(transaction, &scope.namespace, parent, StateError::ParentNotCommitted)?;
        let now = Some(SystemTime::now().into());
        let record = Record {
            key: name.to_owned(),
            parent: parent.to_owned(),
            kind: Kind::Committed.into(),
            created_at: now,
            updated_at: now,
            labels: labels.clone(),
            directory: old.directory,
            size: usage.size,
            inodes: usage.inodes,
            leased: scope.lease.is_some(),
        };
        self.insert(transaction, scope, &record)?;
        self.take_out(transaction, scope.namespace.as_str(), &old)?;
        Ok(lease::release(transaction, scope, &self.resource(key))?)
    }
}
