//! The journal: commits that the disk has not seen yet, kept where they survive the death of the process.
//!
//! ```text
//! <state>/metadata.journal: records of  u32 length (little endian) | u32 CRC-32 of the message | Entry (protobuf)
//! ```
//! It is emptied by each sync. At start, entries newer than the store are applied in order; an entry that is cut
//! short or damaged ends the journal: its commit was never promised. A journal of another store is ignored.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dhow_linux::file::PathError;
use prost::Message;
use redb::Database;

use super::transaction::Operation;
use super::{Meta, OpenError, StoreError, TABLE};

/// A journal longer than this was not written by us.
const LIMIT: u64 = 256 << 20;

#[derive(Clone, PartialEq, prost::Message)]
struct Entry {
    #[prost(string, tag = "1")]
    identity: String,
    #[prost(uint64, tag = "2")]
    sequence: u64,
    #[prost(message, repeated, tag = "3")]
    operations: Vec<Operation>,
}

/// The journal of an open store.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    identity: String,
}

impl Journal {
    /// Opens the journal at `path` and empties it.
    pub(super) fn open(path: &Path, identity: &str) -> Result<Self, PathError> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(path).map_err(PathError::at("create", path))?;
        let (path, identity) = (path.to_owned(), identity.to_owned());
        Ok(Self { path, file, identity })
    }

    /// Adds a commit.
    pub(super) fn append(&mut self, sequence: u64, operations: &[Operation]) -> Result<(), PathError> {
        let entry = Entry { identity: self.identity.clone(), sequence, operations: operations.to_vec() };
        let message = entry.encode_to_vec();
        let length = u32::try_from(message.len())
            .map_err(|_| PathError::at("append to", &self.path)(io::ErrorKind::FileTooLarge.into()))?;
        let mut record = Vec::with_capacity(message.len() + 8);
        record.extend(length.to_le_bytes());
        record.extend(checksum(&message).to_le_bytes());
        record.extend(&message);
        self.file.write_all(&record).map_err(PathError::at("append to", &self.path))
    }

    /// Forgets all commits.
    pub(super) fn clear(&mut self) -> Result<(), PathError> {
        self.file
            .set_len(0)
            .and_then(|()| io::Seek::rewind(&mut self.file))
            .map_err(PathError::at("empty", &self.path))
    }
}

/// Applies the entries at `path` that the store of `meta` has not seen, and syncs them.
pub(super) fn replay(database: &Database, path: &Path, meta: &Meta) -> Result<(), OpenError> {
    let entries = load(path, meta).map_err(OpenError::Journal)?;
    if entries.is_empty() {
        return Ok(());
    }
    tracing::info!(commits = entries.len(), "taking over commits from the metadata journal");
    apply(database, &entries).map_err(|error| OpenError::Prepare {
        path: path.to_owned(),
        source: StoreError::Commit(Arc::new(error)),
    })
}

fn apply(database: &Database, entries: &[Entry]) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    {
        let mut table = write.open_table(TABLE)?;
        for Operation { key, value } in entries.iter().flat_map(|entry| &entry.operations) {
            match value {
                Some(value) => table.insert(key.as_slice(), value.as_slice())?,
                None => table.remove(key.as_slice())?,
            };
        }
    }
    Ok(write.commit()?)
}

fn load(path: &Path, meta: &Meta) -> Result<Vec<Entry>, PathError> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(LIMIT).read_to_end(&mut bytes).map_err(PathError::at("read", path))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(PathError::at("open", path)(error)),
    };
    let mut rest = bytes.as_slice();
    let mut entries = Vec::new();
    while let Some(entry) = take(&mut rest) {
        if entry.identity == meta.identity && entry.sequence > meta.sequence {
            entries.push(entry);
        }
    }
    Ok(entries)
}

/// Cuts the first whole entry off `bytes`.
fn take(bytes: &mut &[u8]) -> Option<Entry> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let (message, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    if checksum(message) != u32::from_le_bytes(*sum) {
        return None;
    }
    *bytes = rest;
    Entry::decode(message).ok()
}

fn checksum(message: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(message);
    crc.sum()
}
