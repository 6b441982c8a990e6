//! The open file. Once a read or write of it failed, redb refuses everything, though what is committed is whole: after
//! a disk was full for a moment the file must be opened again, as after the death of the process.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use redb::Database;

use super::journal::Journal;
use super::{Meta, OpenError, Snapshot, StoreError, builder, journal, migration};

/// The way to the open file.
#[derive(Debug)]
pub(super) struct Handle {
    path: PathBuf,
    /// None while it cannot be opened.
    open: RwLock<Option<Arc<Database>>>,
}

impl Handle {
    /// Opens the file at `path`, making it when it is missing, and takes over what the journal at `journal` holds.
    pub(super) fn open(path: &Path, journal: &Path) -> Result<(Self, Journal, Meta), OpenError> {
        let (database, meta) = open(path, journal)?;
        let journal = Journal::open(journal, &meta.identity).map_err(OpenError::Journal)?;
        Ok((Self { path: path.to_owned(), open: RwLock::new(Some(database)) }, journal, meta))
    }

    /// What is committed now.
    pub(super) fn read(&self) -> Result<Snapshot, StoreError> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        Snapshot::begin(open.as_deref().ok_or(StoreError::Failed)?)
    }

    /// The file, for the one who writes.
    pub(super) fn get(&self) -> Result<Arc<Database>, StoreError> {
        self.open.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(StoreError::Failed)
    }

    /// Closes the file and opens it again, with what `journal` has more; who holds a snapshot must ask again.
    pub(super) fn reopen(&self, journal: &mut Journal) -> Result<(), OpenError> {
        let mut slot = self.open.write().unwrap_or_else(PoisonError::into_inner);
        // Not before the old one is closed: its lock excludes the new one.
        *slot = None;
        let (database, _) = open(&self.path, journal.path())?;
        *slot = Some(database);
        journal.clear().map_err(OpenError::Journal)
    }
}

fn open(path: &Path, journal: &Path) -> Result<(Arc<Database>, Meta), OpenError> {
    let refuse = |source: redb::DatabaseError| OpenError::Database {
        path: path.to_owned(),
        source: Box::new(source.into()),
    };
    let database = builder().create(path).map_err(refuse)?;
    let meta = migration::migrate(&database, path, migration::STEPS)?;
    journal::replay(&database, journal, &meta)?;
    Ok((Arc::new(database), meta))
}
