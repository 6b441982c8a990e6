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

mod copy;
mod directory;
mod driver;
mod error;
mod native;
mod overlay;
mod record;
mod stage;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use dhow_linux::file::PathError;
use dhow_proto::containerd::events::{SnapshotCommit, SnapshotPrepare, SnapshotRemove};
use dhow_proto::containerd::types::Mount;
use directory::Directories;
pub(crate) use driver::Driver;
pub(crate) use error::{SnapshotError, StateError};
pub(crate) use record::{CHILDREN, Kind, Record, SNAPSHOTS};
pub(crate) use stage::Staging;
pub(crate) use tree::Usage;

use crate::blocking;
use crate::event::Exchange;
use crate::filter::Filter;
use crate::gc::Trigger;
use crate::label::{self, Labels};
use crate::lease::{self, Resource};
use crate::metadata::{self, Durability, StoreError, Transaction, View};
use crate::namespace::{self, Namespace, Scope};

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
        let drivers: [Box<dyn Driver>; 2] = [Box::new(overlay::Overlay::detect()), Box::new(native::Native)];
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

    fn find(&self, view: &impl View, namespace: &Namespace, key: &str) -> Result<Record, SnapshotError> {
        let record = SNAPSHOTS.get(view, &[namespace.as_str(), self.name(), key])?;
        record.ok_or_else(|| SnapshotError::NotFound(key.to_owned()))
    }

    /// The directories that a snapshot on `parent` stands on, the nearest first.
    fn lineage(
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

    /// Whether layers can be unpacked side by side, with [`Snapshots::stage`].
    pub(crate) fn unpacks_apart(&self) -> bool {
        self.0.driver.holds_differences()
    }

    /// The files of the committed snapshot `name` and of those that it stands on, the nearest first.
    pub(crate) fn layers(&self, namespace: &Namespace, name: &str) -> Result<Vec<PathBuf>, SnapshotError> {
        let directories = self.lineage(&self.0.metadata.read()?, namespace, name)?;
        Ok(directories.iter().map(|directory| driver::files(directory)).collect())
    }

    /// Makes an active snapshot under `key`, on `parent` or on nothing.
    pub(crate) async fn prepare(
        &self,
        scope: &Scope,
        key: &str,
        parent: &str,
        labels: Labels,
    ) -> Result<Vec<Mount>, SnapshotError> {
        self.make(scope, Kind::Active, key, parent, labels).await
    }

    /// Makes a view of `parent` under `key`.
    pub(crate) async fn view(
        &self,
        scope: &Scope,
        key: &str,
        parent: &str,
        labels: Labels,
    ) -> Result<Vec<Mount>, SnapshotError> {
        self.make(scope, Kind::View, key, parent, labels).await
    }

    async fn make(
        &self,
        scope: &Scope,
        kind: Kind,
        key: &str,
        parent: &str,
        mut labels: Labels,
    ) -> Result<Vec<Mount>, SnapshotError> {
        if key.is_empty() {
            return Err(StateError::NoKey.into());
        }
        labels.retain(|_, value| !value.is_empty());
        label::validate(&labels)?;
        if let Some(present) = self.present(scope, key, labels.get(TARGET)).await? {
            return Err(present);
        }
        let parents = self.lineage(&self.0.metadata.read()?, &scope.namespace, parent)?;
        let inner = self.0.clone();
        let (mut reserved, parents) = blocking::run(move || {
            let reserved = inner.directories.reserve()?;
            inner.driver.fill(&reserved.path(), kind, &parents)?;
            Ok::<_, PathError>((reserved, parents))
        })
        .await?;
        let now = Some(SystemTime::now().into());
        let record = Record {
            key: key.to_owned(),
            parent: parent.to_owned(),
            kind: kind.into(),
            created_at: now,
            updated_at: now,
            labels,
            directory: reserved.number(),
            leased: scope.lease.is_some(),
            ..Record::default()
        };
        let mounts = self.0.driver.mounts(&reserved.path(), kind, &parents);
        let this = self.clone();
        let place = scope.clone();
        let insert = move |transaction: &mut Transaction<'_>| {
            // The directory belongs to this closure: it stays or goes with the record, whoever waits for the reply.
            reserved.keep(false);
            if SNAPSHOTS.contains(transaction, &[place.namespace.as_str(), this.name(), &record.key])? {
                return Err(SnapshotError::AlreadyExists(record.key.clone()));
            }
            this.check_parent(transaction, &place.namespace, &record.parent, StateError::Parent)?;
            this.insert(transaction, &place, &record)?;
            reserved.keep(true);
            Ok(record.clone())
        };
        let (inner, place) = (self.0.clone(), scope.clone());
        let tell = move |new: &Record| {
            if kind == Kind::Active {
                let (key, parent) = (new.key.clone(), new.parent.clone());
                let event = SnapshotPrepare { key, parent, snapshotter: inner.driver.name().to_owned() };
                inner.events.publish(place.namespace.as_str(), "/snapshot/prepare", &event);
            }
        };
        self.0.metadata.write_then(Durability::Process, insert, tell).await?;
        Ok(mounts)
    }

    /// Whether `key`, or the committed snapshot that it is to become, exists; the lease of `scope` then holds it.
    async fn present(
        &self,
        scope: &Scope,
        key: &str,
        target: Option<&String>,
    ) -> Result<Option<SnapshotError>, SnapshotError> {
        let namespace = scope.namespace.as_str();
        let view = self.0.metadata.read()?;
        let exists = |key: &str| SNAPSHOTS.contains(&view, &[namespace, self.name(), key]);
        let found = match target {
            Some(target) if exists(target)? => SnapshotError::Target(target.clone()),
            _ if exists(key)? => SnapshotError::AlreadyExists(key.to_owned()),
            _ => return Ok(None),
        };
        let held = match &found {
            SnapshotError::Target(name) | SnapshotError::AlreadyExists(name) => self.resource(name),
            _ => return Ok(Some(found)),
        };
        if scope.lease.is_some() {
            let place = scope.clone();
            let hold = move |transaction: &mut Transaction<'_>| lease::hold(transaction, &place, &held);
            self.0.metadata.write(Durability::Process, hold).await?;
        }
        Ok(Some(found))
    }

    fn resource(&self, key: &str) -> Resource {
        Resource::Snapshot { snapshotter: self.name().to_owned(), key: key.to_owned() }
    }

    fn check_parent(
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

    fn insert(
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

    /// Deletes the directory of a record that is gone.
    pub(crate) fn discard(&self, record: &Record) {
        self.0.directories.discard(record.directory);
    }

    /// How to mount a view or an active snapshot.
    pub(crate) fn mounts(&self, namespace: &Namespace, key: &str) -> Result<Vec<Mount>, SnapshotError> {
        let view = self.0.metadata.read()?;
        let record = self.find(&view, namespace, key)?;
        if !matches!(record.kind(), Kind::Active | Kind::View) {
            return Err(StateError::NotMountable(key.to_owned()).into());
        }
        let parents = self.lineage(&view, namespace, &record.parent)?;
        Ok(self.0.driver.mounts(&self.0.directories.path(record.directory), record.kind(), &parents))
    }

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
        labels.retain(|_, value| !value.is_empty());
        label::validate(&labels)?;
        let view = self.0.metadata.read()?;
        if SNAPSHOTS.contains(&view, &[scope.namespace.as_str(), self.name(), name])? {
            return Err(SnapshotError::AlreadyExists(name.to_owned()));
        }
        let active = self.find(&view, &scope.namespace, key)?;
        if active.kind() != Kind::Active {
            return Err(StateError::NotActive { key: key.to_owned() }.into());
        }
        let files = driver::files(&self.0.directories.path(active.directory));
        drop(view);
        let usage = blocking::run(move || {
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
                updated.labels.retain(|_, value| !value.is_empty());
                label::validate(&updated.labels)?;
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

    /// The snapshots that `filters` want, by key.
    pub(crate) fn list(
        &self,
        namespace: &Namespace,
        filters: &[String],
    ) -> Result<Vec<Record>, SnapshotError> {
        let filter = Filter::parse(filters)?;
        let view = self.0.metadata.read()?;
        Ok(SNAPSHOTS.list(&view, &[namespace.as_str(), self.name()], |record| filter.matches(record))?)
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
