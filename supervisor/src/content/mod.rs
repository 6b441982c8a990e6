//! Content: blobs named by their digest, each whole and verified, or not there.
//!
//! Owns: the files of blobs and of unfinished writes, which namespace sees which blob, and the locks on references.
//! Does not own: what blobs mean, and when they may go (garbage collection decides).
//!
//! ```text
//! <root>/io.containerd.content.v1.content/
//!     blobs/ALGORITHM/HEX    read-only, whole, synced before its first record is committed
//!     ingest/NAME            what was written so far under a reference; its record is older than the file
//!     trash/NAME             removed, not yet deleted
//! ```
//! A blob is one file however many namespaces see it. Its file goes when the last of them lets go: [`Store::settle`]
//! checks that under the exclusive side of `gate`, whose shared side covers the time from the rename of a new blob to
//! the commit of its record.

mod digest;
mod error;
mod record;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use dhow_linux::file::PathError;
use dhow_proto::containerd::events::ContentDelete;
pub(crate) use digest::{Algorithm, Digest, DigestError, Digester};
pub(crate) use error::{ContentError, WriteError};
pub(crate) use record::{BLOBS, Blob, HOLDERS, INGESTS, Ingest, Status};
pub(crate) use writer::Writer;
use writer::unique_name;

use crate::blocking;
use crate::event::Exchange;
use crate::filter::Filter;
use crate::gc::Trigger;
use crate::label;
use crate::lease::{self, Resource};
use crate::metadata::{self, Durability, Listing, Transaction};
use crate::namespace::{Namespace, Scope};

/// The store of content; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    metadata: metadata::Store,
    events: Exchange,
    collector: Trigger,
    locks: Mutex<HashMap<(Namespace, String), SystemTime>>,
    gate: Arc<tokio::sync::RwLock<()>>,
}

impl Store {
    /// Opens the store below `root`, making its folders.
    pub(crate) fn open(
        root: &Path,
        metadata: metadata::Store,
        events: Exchange,
        collector: Trigger,
    ) -> Result<Self, PathError> {
        let root = root.join("io.containerd.content.v1.content");
        for folder in ["blobs/sha256", "ingest", "trash"] {
            let folder = root.join(folder);
            std::fs::create_dir_all(&folder).map_err(PathError::at("create", &folder))?;
        }
        let (locks, gate) = (Mutex::default(), Arc::default());
        Ok(Self(Arc::new(Inner { root, metadata, events, collector, locks, gate })))
    }

    /// Where the blob named `digest` is, when it is there.
    pub(crate) fn path(&self, digest: &Digest) -> PathBuf {
        self.0.root.join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    fn ingest_path(&self, ingest: &Ingest) -> PathBuf {
        self.0.root.join("ingest").join(&ingest.file)
    }

    /// What `namespace` knows of a blob.
    pub(crate) fn info(&self, namespace: &Namespace, digest: &Digest) -> Result<Blob, ContentError> {
        let blob = BLOBS.get(&self.0.metadata.read()?, &[namespace.as_str(), digest.as_str()])?;
        blob.ok_or_else(|| ContentError::NotFound(digest.clone()))
    }

    /// Opens a blob that `namespace` sees.
    pub(crate) fn reader(&self, namespace: &Namespace, digest: &Digest) -> Result<File, ContentError> {
        self.info(namespace, digest)?;
        let path = self.path(digest);
        Ok(File::open(&path).map_err(PathError::at("open blob", &path))?)
    }

    /// Reads a blob of at most `limit` bytes whole: a manifest, an index, a configuration.
    pub(crate) async fn read(
        &self,
        namespace: &Namespace,
        digest: &Digest,
        limit: u64,
    ) -> Result<Vec<u8>, ContentError> {
        self.info(namespace, digest)?;
        let path = self.path(digest);
        Ok(blocking::run(move || dhow_linux::file::read_limited(&path, limit)).await?)
    }

    /// The blobs that `filters` want, by digest.
    pub(crate) fn list(
        &self,
        namespace: &Namespace,
        filters: &[String],
    ) -> Result<Listing<Blob>, ContentError> {
        let filter = Filter::parse(filters)?;
        let keep = move |blob: &Blob| filter.matches(blob);
        Ok(BLOBS.listing(self.0.metadata.read()?, &[namespace.as_str()], keep))
    }

    /// Changes the labels of a blob: those that `mask` names, or all.
    pub(crate) async fn update(
        &self,
        namespace: &Namespace,
        blob: Blob,
        mask: Vec<String>,
    ) -> Result<Blob, ContentError> {
        let digest = parse(&blob.digest)?;
        let mask = if mask.is_empty() { vec!["labels".to_owned()] } else { mask };
        let namespace = namespace.clone();
        let updated = self
            .0
            .metadata
            .write(Durability::Disk, move |transaction| {
                let path = [namespace.as_str(), digest.as_str()];
                let mut updated =
                    BLOBS.get(transaction, &path)?.ok_or_else(|| ContentError::NotFound(digest.clone()))?;
                for field in &mask {
                    if !label::apply_mask(field, &mut updated.labels, &blob.labels) {
                        let (field, digest) = (field.clone(), digest.to_string());
                        return Err(ContentError::Field { field, digest });
                    }
                }
                label::validate(&updated.labels)?;
                updated.labels.retain(|_, value| !value.is_empty());
                updated.updated_at = Some(SystemTime::now().into());
                BLOBS.put(transaction, &path, &updated)?;
                Ok(updated)
            })
            .await?;
        self.0.collector.pull();
        Ok(updated)
    }

    /// Takes a blob out of the sight of the namespace of `scope`; the file goes with the last namespace.
    pub(crate) async fn delete(&self, scope: &Scope, digest: &Digest) -> Result<(), ContentError> {
        let (place, gone) = (scope.clone(), digest.clone());
        let remove = move |transaction: &mut Transaction<'_>| {
            let namespace = place.namespace.as_str();
            if !BLOBS.remove(transaction, &[namespace, gone.as_str()])? {
                return Err(ContentError::NotFound(gone.clone()));
            }
            HOLDERS.remove(transaction, &[gone.as_str(), namespace])?;
            Ok(lease::release(transaction, &place, &Resource::Content(gone.to_string()))?)
        };
        let (inner, namespace, gone) = (self.0.clone(), scope.namespace.clone(), digest.to_string());
        let tell = move |(): &()| {
            inner.collector.pull();
            inner.events.publish(namespace.as_str(), "/content/delete", &ContentDelete { digest: gone });
        };
        self.0.metadata.write_then(Durability::Disk, remove, tell).await?;
        self.settle(std::slice::from_ref(digest)).await
    }

    /// Begins a write under `reference`, or goes on with one; nobody else can until the writer is dropped.
    ///
    /// When the namespace sees `expected` already, that is the error; when another one does, nothing need be written.
    pub(crate) async fn writer(
        &self,
        scope: &Scope,
        reference: &str,
        expected: Option<Digest>,
        total: i64,
    ) -> Result<Writer, ContentError> {
        Writer::open(self.clone(), scope.clone(), reference.to_owned(), expected, total).await
    }

    /// How far the write under `reference` has come.
    pub(crate) fn status(&self, namespace: &Namespace, reference: &str) -> Result<Status, ContentError> {
        let ingest = INGESTS.get(&self.0.metadata.read()?, &[namespace.as_str(), reference])?;
        Ok(self.measure(ingest.ok_or_else(|| ContentError::NoIngest(reference.to_owned()))?))
    }

    /// The unfinished writes that `filters` want, by reference.
    pub(crate) fn statuses(
        &self,
        namespace: &Namespace,
        filters: &[String],
    ) -> Result<Vec<Status>, ContentError> {
        let filter = Filter::parse(filters)?;
        let ingests = INGESTS.list(&self.0.metadata.read()?, &[namespace.as_str()], |_| true)?;
        let statuses = ingests.into_iter().map(|ingest| self.measure(ingest));
        Ok(statuses.filter(|status| filter.matches(status)).collect())
    }

    fn measure(&self, ingest: Ingest) -> Status {
        let file = std::fs::metadata(self.ingest_path(&ingest)).ok();
        let offset = file.as_ref().map_or(0, |file| i64::try_from(file.len()).unwrap_or(i64::MAX));
        let updated_at = file.and_then(|file| file.modified().ok()).map(Into::into).or(ingest.started_at);
        let Ingest { reference, total, linked, started_at, .. } = ingest;
        Status { reference, offset, total, expected: linked, started_at, updated_at }
    }

    /// Gives up the write under `reference`.
    pub(crate) async fn abort(&self, scope: &Scope, reference: &str) -> Result<(), ContentError> {
        let (place, reference) = (scope.clone(), reference.to_owned());
        let ingest = self
            .0
            .metadata
            .write(Durability::Process, move |transaction| {
                let path = [place.namespace.as_str(), reference.as_str()];
                let ingest = INGESTS
                    .get(transaction, &path)?
                    .ok_or_else(|| ContentError::NoIngest(reference.clone()))?;
                INGESTS.remove(transaction, &path)?;
                lease::release(transaction, &place, &Resource::Ingest(reference.clone()))?;
                Ok::<_, ContentError>(ingest)
            })
            .await?;
        self.discard(&[ingest.file]).await
    }

    /// Deletes the files of writes whose records are gone.
    pub(crate) async fn discard(&self, files: &[String]) -> Result<(), ContentError> {
        let paths: Vec<PathBuf> = files.iter().map(|file| self.0.root.join("ingest").join(file)).collect();
        Ok(blocking::run(move || each(paths.iter(), |path| remove(path))).await?)
    }

    /// Deletes the files of those of `digests` that no namespace sees any more.
    pub(crate) async fn settle(&self, digests: &[Digest]) -> Result<(), ContentError> {
        let mut trash = Vec::new();
        let moved = {
            let _alone = self.0.gate.write().await;
            let view = self.0.metadata.read()?;
            let mut unseen = Vec::new();
            for digest in digests {
                if HOLDERS.is_empty(&view, &[digest.as_str()])? {
                    unseen.push(self.path(digest));
                }
            }
            each(unseen.iter(), |from| {
                // A name of its own: rename(2) leaves both names of one file, should a writer that was linked to
                // this blob publish it again before the last of it is deleted.
                let to = self.0.root.join("trash").join(unique_name()?);
                match std::fs::rename(from, &to) {
                    Ok(()) => trash.push(to),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(PathError::at("remove blob", from)(error).into()),
                }
                Ok::<_, ContentError>(())
            })
        };
        blocking::run(move || each(trash.iter(), |path| remove(path))).await?;
        moved
    }

    /// Deletes what a crash left: trash, blobs that nobody sees, and files of writes without a record.
    pub(crate) async fn sweep(&self) -> Result<(), ContentError> {
        let root = self.0.root.clone();
        let emptied = blocking::run(move || {
            let trash = names(&root.join("trash"))?;
            each(trash.iter(), |name| remove(&root.join("trash").join(name)))
        })
        .await;
        let mut orphans = Vec::new();
        let files = names(&self.0.root.join("ingest"))?;
        let mut known = std::collections::HashSet::new();
        INGESTS.each(&self.0.metadata.read()?, &[], |_, ingest| {
            known.insert(ingest.file);
            Ok(())
        })?;
        orphans.extend(files.into_iter().filter(|file| !known.contains(file)));
        let mut swept = emptied.map_err(Into::into).and(self.discard(&orphans).await);
        for algorithm in [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512] {
            let blobs = names(&self.0.root.join("blobs").join(algorithm.name()))?;
            let digests: Vec<Digest> =
                blobs.iter().filter_map(|hex| format!("{}:{hex}", algorithm.name()).parse().ok()).collect();
            swept = swept.and(self.settle(&digests).await);
        }
        swept
    }

    fn lock(&self, namespace: &Namespace, reference: &str) -> Result<Lock, WriteError> {
        let key = (namespace.clone(), reference.to_owned());
        let mut locks = self.0.locks.lock().unwrap_or_else(PoisonError::into_inner);
        match locks.get(&key) {
            Some(since) => Err(WriteError::Locked { reference: reference.to_owned(), since: *since }),
            None => {
                locks.insert(key.clone(), SystemTime::now());
                Ok(Lock { store: self.clone(), key })
            }
        }
    }
}

/// Holds a reference for one writer.
#[derive(Debug)]
struct Lock {
    store: Store,
    key: (Namespace, String),
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.store.0.locks.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// Parses a digest that a client sent.
pub(crate) fn parse(text: &str) -> Result<Digest, ContentError> {
    text.parse().map_err(|source| ContentError::Digest { text: text.to_owned(), source })
}

/// Does `action` to every item, also when it fails for one; the first failure is told.
fn each<T, E>(items: impl Iterator<Item = T>, mut action: impl FnMut(T) -> Result<(), E>) -> Result<(), E> {
    let failures = items.filter_map(|item| action(item).err());
    failures.collect::<Vec<_>>().into_iter().next().map_or(Ok(()), Err)
}

/// Removes a file that may be gone already.
fn remove(path: &Path) -> Result<(), PathError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(PathError::at("remove", path)(error)),
        _ => Ok(()),
    }
}

/// The names in a folder; none when it does not exist.
fn names(folder: &Path) -> Result<Vec<String>, PathError> {
    match std::fs::read_dir(folder) {
        Ok(entries) => {
            Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(PathError::at("list", folder)(error)),
    }
}
