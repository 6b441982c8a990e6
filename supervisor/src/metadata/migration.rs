//! Versions of the schema: an ordered list of steps, each run once, in one transaction with its new version.
//!
//! Version 1 is the first; a step goes into [`STEPS`] with a test and an old store beside it.

use std::path::Path;
use std::sync::Arc;

use prost::Message;
use redb::{Database, ReadableTable, Table};

use super::{Meta, OpenError, StoreError, TABLE, key};

/// The version that this binary writes.
pub(super) const VERSION: u32 = 1;

type Step = fn(&mut Table<'_, &'static [u8], &'static [u8]>) -> Result<(), redb::Error>;

/// Step `n` turns a store of version `n + 1` into one of version `n + 2`.
const STEPS: [Step; VERSION as usize - 1] = [];

/// Brings the store up to [`VERSION`] and returns what it knows of itself.
pub(super) fn migrate(database: &Database, path: &Path) -> Result<Meta, OpenError> {
    let failed = |source| OpenError::Prepare { path: path.to_owned(), source };
    let commit = |error: redb::Error| failed(StoreError::Commit(Arc::new(error)));
    let place = key::encode(&["meta"]);
    let write = database.begin_write().map_err(|error| commit(error.into()))?;
    let mut meta;
    {
        let mut table = write.open_table(TABLE).map_err(|error| commit(error.into()))?;
        meta = match table.get(place.as_slice()).map_err(|error| commit(error.into()))? {
            Some(value) => Meta::decode(value.value())
                .map_err(|source| failed(StoreError::Decode { key: "meta".into(), source }))?,
            None => Meta { version: VERSION, identity: identity(), ..Meta::default() },
        };
        if meta.version > VERSION {
            return Err(OpenError::Newer { path: path.to_owned(), found: meta.version, known: VERSION });
        }
        for step in STEPS.iter().skip(meta.version.saturating_sub(1) as usize) {
            step(&mut table).map_err(commit)?;
        }
        meta.version = VERSION;
        table
            .insert(place.as_slice(), meta.encode_to_vec().as_slice())
            .map_err(|error| commit(error.into()))?;
    }
    write.commit().map_err(|error| commit(error.into()))?;
    Ok(meta)
}

/// A random UUID (version 4).
fn identity() -> String {
    let mut bytes = [0u8; 16];
    if getrandom::fill(&mut bytes).is_err() {
        // Only uniqueness on this host is needed: the clock and the process give that.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        bytes = (now.as_nanos() ^ u128::from(std::process::id())).to_le_bytes();
    }
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}
