//! The metadata store: one transactional file for everything that the supervisor must remember.
//!
//! Owns: the file, its schema and migrations, and who writes when. Does not own: what records mean; each domain
//! module declares its own [`Collection`].
//!
//! ```text
//! <root>/metadata.redb, table "metadata": path of names -> protobuf message
//!
//! meta/                            Meta            schema version, identity, last sequence
//! namespace/NS                     namespace::Record
//! container/NS/ID                  container::Container
//! sandbox/NS/ID                    sandbox::Sandbox
//! image/NS/NAME                    image::Image
//! content/NS/DIGEST                content::Blob   what NS can see of the blobs on disk
//! ingest/NS/REF                    content::Ingest a write that has begun
//! holder/DIGEST/NS                 ()              the namespaces that can see a blob
//! snapshot/NS/SNAPSHOTTER/KEY      snapshot::Record
//! child/NS/SNAPSHOTTER/PARENT/KEY  ()              the snapshots that stand on another
//! lease/NS/ID                      lease::Lease
//! leased/NS/ID/TYPE/RESOURCE       ()              what a lease holds
//! mount/NS/NAME                    mount::Activation what is mounted for a client
//! collected/SEQUENCE               gc::Collected   what garbage collection removed lately
//! ```
//!
//! Readers see a snapshot and never wait. Writers hand a closure to one thread ([`writer`]), which runs the closures
//! that wait together in one transaction: a commit for the disk costs one sync however many meet in it. A write
//! whose subject ends with the boot anyway ([`Durability::Process`]) is not synced: it goes to a journal in the state
//! directory ([`journal`]), so that it survives `kill -9`, and reaches the disk with the next sync.

pub(crate) mod collection;
mod database;
mod journal;
pub(crate) mod key;
mod listing;
mod migration;
mod reserve;
#[cfg(test)]
mod tests;
mod transaction;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use collection::Collection;
use database::Handle;
pub(crate) use dhow_linux::file::Durability;
use dhow_linux::file::PathError;
use dhow_proto::error::Kind;
pub(crate) use listing::Listing;
use redb::{Database, TableDefinition};
pub(crate) use transaction::{Snapshot, Transaction, View};
use writer::Writer;

use crate::fault::Fault;

/// The one table.
const TABLE: TableDefinition<'static, &'static [u8], &'static [u8]> = TableDefinition::new("metadata");
/// Memory for pages of the file; the rest stays in the page cache of the kernel.
const CACHE_BYTES: usize = 2 << 20;

/// What the store knows of itself.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Meta {
    /// Version of the schema.
    #[prost(uint32, tag = "1")]
    pub(crate) version: u32,
    /// Random name of this store, for its whole life.
    #[prost(string, tag = "2")]
    pub(crate) identity: String,
    /// Number of the last transaction that the journal has seen.
    #[prost(uint64, tag = "3")]
    pub(crate) sequence: u64,
}

/// Where [`Meta`] is.
pub(crate) const META: Collection<Meta> = Collection::new("meta");

/// A failure of the store itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("read the metadata store")]
    Read(#[source] Box<redb::Error>),
    #[error("write to the metadata store")]
    Write(#[source] Box<redb::Error>),
    #[error("commit to the metadata store")]
    Commit(#[source] Arc<redb::Error>),
    #[error("journal a commit")]
    Journal(#[source] Arc<PathError>),
    #[error("decode the record {key} of the metadata store")]
    Decode { key: String, source: prost::DecodeError },
    #[error("the metadata store has failed and cannot be opened again yet: is the disk full?")]
    Failed,
    #[error("the disk is full: the metadata store has room for deletions alone")]
    Full,
    #[error("the metadata store is closed")]
    Closed,
}

impl StoreError {
    /// The same once more: one failed commit has several callers.
    fn again(&self) -> Self {
        match self {
            Self::Commit(source) => Self::Commit(source.clone()),
            Self::Journal(source) => Self::Journal(source.clone()),
            _ => Self::Failed,
        }
    }

    /// Whether the disk had no room.
    fn is_full(&self) -> bool {
        match self {
            Self::Read(source) | Self::Write(source) => has_no_room(source),
            Self::Commit(source) => has_no_room(source),
            Self::Journal(source) => reserve::is_full(&source.source),
            Self::Full => true,
            Self::Decode { .. } | Self::Failed | Self::Closed => false,
        }
    }
}

fn has_no_room(error: &redb::Error) -> bool {
    matches!(error, redb::Error::Io(error) if reserve::is_full(error))
}

impl Fault for StoreError {
    fn kind(&self) -> Kind {
        match self {
            _ if self.is_full() => Kind::ResourceExhausted,
            Self::Decode { .. } => Kind::DataLoss,
            Self::Closed | Self::Failed => Kind::Unavailable,
            Self::Read(_) | Self::Write(_) | Self::Commit(_) | Self::Journal(_) | Self::Full => {
                Kind::Internal
            }
        }
    }
}

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("open metadata store {path}; `dhow-supervisor repair` rebuilds it from what is on disk")]
    Database { path: PathBuf, source: Box<redb::Error> },
    #[error("metadata store {path} is gone, its copy {copy} is not; `dhow-supervisor repair` makes it again")]
    Gone { path: PathBuf, copy: PathBuf },
    #[error("metadata store {path} has version {found}, this binary knows {known}: start the newer one")]
    Newer { path: PathBuf, found: u32, known: u32 },
    #[error("prepare metadata store {path}")]
    Prepare { path: PathBuf, source: StoreError },
    #[error("read the journal of the metadata store")]
    Journal(#[source] PathError),
    #[error("start the writer of the metadata store")]
    Thread(#[source] std::io::Error),
}

/// Why the metadata was not copied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    File(#[from] PathError),
}

/// How a store is opened: every page is checked first, since the library trusts what it reads later. A store has a few
/// megabytes, and this reads them once.
fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

/// Whether the file at `path` is a whole store: every page has its checksum.
pub(crate) fn is_whole(path: &Path) -> bool {
    builder().open(path).is_ok()
}

/// Refuses a store that has gone without its copy at `copy`: what its records name would be deleted as left over.
pub(crate) fn require(path: &Path, copy: &Path) -> Result<(), OpenError> {
    if copy.exists() && std::fs::metadata(path).map_or(true, |file| file.len() == 0) {
        return Err(OpenError::Gone { path: path.to_owned(), copy: copy.to_owned() });
    }
    Ok(())
}

/// Makes a store at `path`, which must not exist, of the copy at `backup`, if there is one; how many records it had.
pub(crate) fn restore(path: &Path, backup: &Path) -> Result<usize, OpenError> {
    let entries = journal::load(backup, |_| true).map_err(OpenError::Journal)?;
    let failed =
        |source: redb::Error| OpenError::Database { path: path.to_owned(), source: Box::new(source) };
    let database = builder().create(path).map_err(|error| failed(error.into()))?;
    journal::apply(&database, &entries).map_err(failed)
}

/// The store; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    database: Arc<Handle>,
    barrier: Arc<Barrier>,
    writer: Writer,
    identity: String,
}

/// Keys written since a garbage collection began to mark; nothing outside one.
#[derive(Debug, Default)]
struct Barrier(Mutex<Option<Vec<Vec<u8>>>>);

impl Barrier {
    fn add(&self, keys: impl Iterator<Item = Vec<u8>>) {
        if let Some(written) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            written.extend(keys);
        }
    }
}

impl Store {
    /// Opens the store at `path`, making it when it is missing, and takes over what its journal at `journal` holds.
    pub(crate) fn open(path: &Path, journal: &Path) -> Result<Self, OpenError> {
        let (database, journal, meta) = Handle::open(path, journal)?;
        let reserve = reserve::Reserve::beside(path);
        let (database, barrier) = (Arc::new(database), Arc::new(Barrier::default()));
        let writer = Writer::start(database.clone(), barrier.clone(), journal, reserve);
        let writer = writer.map_err(OpenError::Thread)?;
        Ok(Self(Arc::new(Inner { database, barrier, writer, identity: meta.identity })))
    }

    /// The random name that this store got when it was made.
    pub(crate) fn identity(&self) -> &str {
        &self.0.identity
    }

    /// What is committed now; it does not change while it is held.
    pub(crate) fn read(&self) -> Result<Snapshot, StoreError> {
        self.0.database.read()
    }

    /// Runs `work` in a transaction and returns once it will survive what `durability` asks.
    ///
    /// `work` runs again when a neighbour in the same commit failed; an error takes back what it wrote.
    pub(crate) async fn write<R, E>(
        &self,
        durability: Durability,
        work: impl FnMut(&mut Transaction<'_>) -> Result<R, E> + Send + 'static,
    ) -> Result<R, E>
    where
        R: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.write_then(durability, work, |_| ()).await
    }

    /// As [`Store::write`], and calls `then` once committed: also when the caller has gone meanwhile, and in the
    /// order of the commits. This is where events are published.
    pub(crate) async fn write_then<R, E>(
        &self,
        durability: Durability,
        work: impl FnMut(&mut Transaction<'_>) -> Result<R, E> + Send + 'static,
        then: impl FnOnce(&R) + Send + 'static,
    ) -> Result<R, E>
    where
        R: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.0.writer.run(durability, work, then).await
    }

    /// Returns once everything committed so far is on the disk.
    pub(crate) async fn sync(&self) -> Result<(), StoreError> {
        self.0.writer.sync().await
    }

    /// Copies everything that is committed now to `path`, in the form of a journal.
    pub(crate) async fn back_up(&self, path: PathBuf) -> Result<(), BackupError> {
        let (view, identity) = (self.read()?, self.identity().to_owned());
        crate::blocking::run(move || {
            let copy = journal::copy(&view, &identity)?;
            Ok(dhow_linux::file::replace(&path, &copy, 0o600, Durability::Disk)?)
        })
        .await
    }

    /// Begins to note the keys that are written, for [`Transaction::written`].
    pub(crate) fn watch(&self) -> Watch {
        *self.0.barrier.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
        Watch(self.0.barrier.clone())
    }

    /// Syncs everything to the disk and ends the writer; writes fail from now on.
    pub(crate) async fn close(&self) {
        self.0.writer.close().await;
    }
}

/// Keys are noted until this is dropped.
#[derive(Debug)]
pub(crate) struct Watch(Arc<Barrier>);

impl Drop for Watch {
    fn drop(&mut self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
