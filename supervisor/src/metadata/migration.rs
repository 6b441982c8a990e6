//! Versions of the schema: an ordered list of steps, each run once, in one transaction with its new version.
//!
//! Version 1 is the first. A step goes to the end of [`STEPS`] with a test that opens an old store of `testdata/`
//! (made by the binary of its time, compressed with zstd); a store of each version stays there.

use std::path::Path;
use std::sync::Arc;

use prost::Message;
use redb::{Database, ReadableTable, Table};

use super::{Meta, OpenError, StoreError, TABLE, key};

type Step = fn(&mut Table<'_, &'static [u8], &'static [u8]>) -> Result<(), redb::Error>;

/// Step `n` (from 0) turns a store of version `n + 1` into one of version `n + 2`.
pub(super) const STEPS: &[Step] = &[];

/// Brings the store up to the version after the last of `steps` and returns what it knows of itself.
pub(super) fn migrate(database: &Database, path: &Path, steps: &[Step]) -> Result<Meta, OpenError> {
    let version = u32::try_from(steps.len()).unwrap_or(u32::MAX - 1) + 1;
    let failed = |source| OpenError::Prepare { path: path.to_owned(), source };
    let commit = |error: redb::Error| failed(StoreError::Commit(Arc::new(error)));
    let place = key::encode(&["meta"]);
    let write = database.begin_write().map_err(|error| commit(error.into()))?;
    let mut meta;
    {
        let mut table = write.open_table(TABLE).map_err(|error| commit(error.into()))?;
        let stored = table.get(place.as_slice()).map_err(|error| commit(error.into()))?;
        let stored = stored.map(|value| value.value().to_vec());
        let found = stored.is_some();
        meta = match stored {
            Some(value) => Meta::decode(value.as_slice())
                .map_err(|source| failed(StoreError::Decode { key: "meta".into(), source }))?,
            None => Meta { version, identity: identity(), ..Meta::default() },
        };
        if meta.version > version {
            return Err(OpenError::Newer { path: path.to_owned(), found: meta.version, known: version });
        }
        if found && meta.version == version {
            // A full disk is no reason not to start.
            return Ok(meta);
        }
        for step in steps.iter().skip(meta.version.saturating_sub(1) as usize) {
            step(&mut table).map_err(commit)?;
        }
        meta.version = version;
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

#[cfg(test)]
mod tests {
    use redb::ReadableDatabase;

    use super::*;

    type Content<'a> = Table<'a, &'static [u8], &'static [u8]>;

    fn append(table: &mut Content<'_>, text: &str) -> Result<(), redb::Error> {
        let old = table.get(b"log".as_slice())?.map(|value| value.value().to_vec()).unwrap_or_default();
        table.insert(b"log".as_slice(), [&old, text.as_bytes()].concat().as_slice())?;
        Ok(())
    }

    fn log(database: &Database) -> Vec<u8> {
        let read = database.begin_read().expect("read");
        let table = read.open_table(TABLE).expect("table");
        table.get(b"log".as_slice()).expect("get").map(|value| value.value().to_vec()).unwrap_or_default()
    }

    #[test]
    fn steps_run_in_order_once_and_all_or_none() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("store");
        let database = Database::create(&path).expect("create");
        let one: Step = |table| append(table, "1");
        let two: Step = |table| append(table, "2");
        let fails: Step = |table| {
            append(table, "lost")?;
            Err(redb::Error::Corrupted("a step that fails".to_owned()))
        };
        assert_eq!(migrate(&database, &path, &[]).expect("make").version, 1);
        migrate(&database, &path, &[one, fails]).expect_err("the second step fails");
        assert_eq!(log(&database), b"", "nothing of a failed migration stays");
        assert_eq!(migrate(&database, &path, &[one]).expect("step").version, 2);
        let meta = migrate(&database, &path, &[one, two, two]).expect("steps");
        assert_eq!((meta.version, log(&database).as_slice()), (4, b"122".as_slice()));
        assert_eq!(migrate(&database, &path, &[one, two, two]).expect("again"), meta);
        let error = migrate(&database, &path, &[one]).expect_err("newer");
        assert!(matches!(error, OpenError::Newer { found: 4, known: 2, .. }), "{error}");
        let fresh = Database::create(folder.path().join("fresh")).expect("create");
        assert_eq!(migrate(&fresh, &path, &[one, two]).expect("make").version, 3);
        assert_eq!(log(&fresh), b"", "a new store needs no step");
    }
}
