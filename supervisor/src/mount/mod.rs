//! Activated mounts: lists of mounts of which the supervisor itself does the first, so that a client can do the rest.
//!
//! Owns: what is mounted below its folder, and the records of it. Does not own: the mounts that it gives back to
//! clients, nor files that are mounted.
//!
//! ```text
//! <state>/mounts/NUMBER/INDEX    a mount point, or for `loop` a link to the device
//! ```
//! A mount is done here when its type asks for a preparation ([`transform`]: `format/`, `mkdir/`, `mkfs/`), when it
//! is `loop` or `erofs`, when a later one is done here, or when the client wants a temporary activation.
//!
//! The record is written before anything is mounted, and again when all is. A record that is not complete, and a
//! folder without a record, are what a crash left: [`Manager::recover`] takes both away. Neither outlives the boot.

mod activate;
mod error;
mod folder;
mod format;
mod mkdir;
mod mkfs;
mod plan;
mod record;
#[cfg(test)]
mod tests;
mod transform;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dhow_linux::file::PathError;
pub(crate) use error::MountError;
pub(crate) use record::{Activation, MOUNTS};

use crate::blocking;
use crate::filter::Filter;
use crate::gc::Trigger;
use crate::label::{self, Labels};
use crate::lease::{self, Resource};
use crate::metadata::{self, Durability, Listing, StoreError, Transaction};
use crate::namespace::{Namespace, Scope};
use crate::turn::Turns;

/// The activated mounts; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Manager(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    metadata: metadata::Store,
    collector: Trigger,
    targets: PathBuf,
    /// Where a client may have folders and file systems made: our own root, and what is mounted here.
    roots: [PathBuf; 2],
    last: AtomicU64,
    turns: Turns,
}

impl Manager {
    /// Mounts below `state`, kept in `metadata`.
    pub(crate) fn open(
        root: &Path,
        state: &Path,
        metadata: metadata::Store,
        collector: Trigger,
    ) -> Result<Self, PathError> {
        let targets = state.join("mounts");
        std::fs::create_dir_all(&targets).map_err(PathError::at("create", &targets))?;
        let last = folder::numbers(&targets)?.into_iter().max().unwrap_or(0).into();
        let roots = [root.to_owned(), targets.clone()];
        Ok(Self(Arc::new(Inner { metadata, collector, targets, roots, last, turns: Turns::default() })))
    }

    fn folder(&self, number: u64) -> PathBuf {
        self.0.targets.join(number.to_string())
    }

    fn next(&self) -> u64 {
        self.0.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The activation called `name`.
    pub(crate) fn info(&self, namespace: &Namespace, name: &str) -> Result<Activation, MountError> {
        let found = MOUNTS.get(&self.0.metadata.read()?, &[namespace.as_str(), name])?;
        found.filter(|found| found.complete).ok_or_else(|| MountError::NotFound(name.to_owned()))
    }

    /// The activations that `filters` want, by name.
    pub(crate) fn list(
        &self,
        namespace: &Namespace,
        filters: &[String],
    ) -> Result<Listing<Activation>, MountError> {
        let filter = Filter::parse(filters)?;
        let keep = move |found: &Activation| found.complete && filter.matches(found);
        Ok(MOUNTS.listing(self.0.metadata.read()?, &[namespace.as_str()], keep))
    }

    /// Changes the labels of an activation: those that `mask` names, or all.
    pub(crate) async fn update(
        &self,
        namespace: &Namespace,
        (name, labels): (String, Labels),
        mask: Vec<String>,
    ) -> Result<Activation, MountError> {
        let mask = if mask.is_empty() { vec!["labels".to_owned()] } else { mask };
        let namespace = namespace.clone();
        let change = move |transaction: &mut Transaction<'_>| {
            let path = [namespace.as_str(), name.as_str()];
            let found = MOUNTS.get(transaction, &path)?.filter(|found| found.complete);
            let mut updated = found.ok_or_else(|| MountError::NotFound(name.clone()))?;
            for field in &mask {
                if !label::apply_mask(field, &mut updated.labels, &labels) {
                    return Err(MountError::Field { field: field.clone(), name: name.clone() });
                }
            }
            label::validate(&updated.labels)?;
            updated.updated_at = Some(std::time::SystemTime::now().into());
            MOUNTS.put(transaction, &path, &updated)?;
            Ok(updated)
        };
        let updated = self.0.metadata.write(Durability::Process, change).await?;
        self.0.collector.pull();
        Ok(updated)
    }

    /// Unmounts what was activated as `name`, the last first.
    pub(crate) async fn deactivate(&self, scope: &Scope, name: &str) -> Result<(), MountError> {
        let _turn = self.0.turns.take(format!("{} {name}", scope.namespace)).await;
        let number = self.info(&scope.namespace, name)?.number;
        // The record goes first: unmounting cannot be undone, and what a crash leaves mounted is found by its folder.
        self.forget(scope, name).await?;
        self.clear(number).await
    }

    /// Unmounts everything of a folder and removes it.
    pub(crate) async fn clear(&self, number: u64) -> Result<(), MountError> {
        let folder = self.folder(number);
        Ok(blocking::run(move || folder::clear(&folder)).await?)
    }

    async fn forget(&self, scope: &Scope, name: &str) -> Result<(), MountError> {
        let (scope, name) = (scope.clone(), name.to_owned());
        let remove = move |transaction: &mut Transaction<'_>| {
            if !MOUNTS.remove(transaction, &[scope.namespace.as_str(), &name])? {
                return Err(MountError::NotFound(name.clone()));
            }
            Ok(lease::release(transaction, &scope, &Resource::Mount(name.clone()))?)
        };
        self.0.metadata.write(Durability::Process, remove).await
    }

    /// Takes away what a crash left half done, and records that an earlier boot left.
    pub(crate) async fn recover(&self) -> Result<(), MountError> {
        let (mut gone, mut kept) = (Vec::new(), Vec::new());
        MOUNTS.each(&self.0.metadata.read()?, &[], |path, found| {
            match found.complete && self.folder(found.number).exists() {
                true => kept.push(found.number),
                false => gone.push(path.to_vec()),
            }
            Ok(())
        })?;
        let remove = move |transaction: &mut Transaction<'_>| {
            for path in &gone {
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                MOUNTS.remove(transaction, &path)?;
            }
            Ok::<_, StoreError>(())
        };
        self.0.metadata.write(Durability::Process, remove).await?;
        for number in folder::numbers(&self.0.targets)? {
            if !kept.contains(&number) {
                self.clear(number).await?;
            }
        }
        Ok(())
    }
}
