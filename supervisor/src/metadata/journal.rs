//! The journal: commits that the disk has not seen yet, kept where they survive the death of the process.
//!
//! ```text
//! <state>/metadata.journal: records of  u32 length (little endian) | u32 CRC-32 of the message | Entry (protobuf)
//! ```
//! It is emptied by each sync. At start, entries newer than the store are applied in order; an entry that is cut
//! short or damaged ends the journal: its commit was never promised. A journal of another store is ignored.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dhow_linux::file::PathError;
use prost::Message;
use redb::Database;

use super::transaction::Operation;
use super::{Meta, OpenError, StoreError, TABLE, View};

/// A journal longer than this was not written by us.
const LIMIT: u64 = 256 << 20;

/// How many changes one entry of a copy has.
const COPY_CHUNK: usize = 256;

/// The changes of one commit.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Entry {
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
    /// Where the next entry goes.
    end: u64,
}

impl Journal {
    /// Opens the journal at `path` and empties it.
    pub(super) fn open(path: &Path, identity: &str) -> Result<Self, PathError> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(path).map_err(PathError::at("create", path))?;
        let (path, identity) = (path.to_owned(), identity.to_owned());
        Ok(Self { path, file, identity, end: 0 })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a commit: whole, or not at all. Gives the way to [`Self::retract`] it.
    pub(super) fn append(&mut self, sequence: u64, operations: &[Operation]) -> Result<u64, PathError> {
        let entry = Entry { identity: self.identity.clone(), sequence, operations: operations.to_vec() };
        let (frame, end) = (frame(&entry), self.end);
        if let Err(error) = self.file.write_all_at(&frame, end) {
            // What follows a torn entry would be lost.
            drop(self.retract(end));
            return Err(PathError::at("append to", &self.path)(error));
        }
        self.end += frame.len() as u64;
        Ok(end)
    }

    /// Takes back what was added from `end` on.
    pub(super) fn retract(&mut self, end: u64) -> Result<(), PathError> {
        self.end = end;
        self.file.set_len(end).map_err(PathError::at("shorten", &self.path))
    }

    /// Forgets all commits.
    pub(super) fn clear(&mut self) -> Result<(), PathError> {
        self.retract(0)
    }
}

/// Applies the entries at `path` that the store of `meta` has not seen, and syncs them.
pub(super) fn replay(database: &Database, path: &Path, meta: &Meta) -> Result<(), OpenError> {
    let newer = |entry: &Entry| entry.identity == meta.identity && entry.sequence > meta.sequence;
    let entries = load(path, newer).map_err(OpenError::Journal)?;
    if entries.is_empty() {
        return Ok(());
    }
    tracing::info!(commits = entries.len(), "taking over commits from the metadata journal");
    apply(database, &entries).map(drop).map_err(|error| OpenError::Prepare {
        path: path.to_owned(),
        source: StoreError::Commit(Arc::new(error)),
    })
}

/// Makes the changes of `entries`, and counts them.
pub(super) fn apply(database: &Database, entries: &[Entry]) -> Result<usize, redb::Error> {
    let write = database.begin_write()?;
    let mut count = 0;
    {
        let mut table = write.open_table(TABLE)?;
        for Operation { key, value } in entries.iter().flat_map(|entry| &entry.operations) {
            count += 1;
            match value {
                Some(value) => table.insert(key.as_slice(), value.as_slice())?,
                None => table.remove(key.as_slice())?,
            };
        }
    }
    write.commit()?;
    Ok(count)
}

/// Everything in `view`, as a journal of changes.
pub(super) fn copy(view: &impl View, identity: &str) -> Result<Vec<u8>, StoreError> {
    let mut copy = Vec::new();
    let mut entry = Entry { identity: identity.to_owned(), sequence: 0, operations: Vec::new() };
    view.scan(b"", &mut |key, value| {
        entry.operations.push(Operation { key: key.to_owned(), value: Some(value.to_owned()) });
        if entry.operations.len() == COPY_CHUNK {
            copy.extend(frame(&entry));
            entry.operations.clear();
        }
        Ok(ControlFlow::Continue(()))
    })?;
    copy.extend(frame(&entry));
    Ok(copy)
}

/// The whole entries at `path` that `wanted` takes.
pub(super) fn load(path: &Path, wanted: impl Fn(&Entry) -> bool) -> Result<Vec<Entry>, PathError> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(LIMIT).read_to_end(&mut bytes).map_err(PathError::at("read", path))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(PathError::at("open", path)(error)),
    };
    let mut rest = bytes.as_slice();
    let mut entries = Vec::new();
    while let Some(entry) = take(&mut rest) {
        if wanted(&entry) {
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

fn frame(entry: &Entry) -> Vec<u8> {
    let message = entry.encode_to_vec();
    // No transaction has 4 GiB; if one had, its length would not be believed.
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut frame = Vec::with_capacity(message.len() + 8);
    frame.extend(length.to_le_bytes());
    frame.extend(checksum(&message).to_le_bytes());
    frame.extend(&message);
    frame
}

fn checksum(message: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(message);
    crc.sum()
}
