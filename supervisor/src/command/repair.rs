//! `repair`: makes the records true again.
//!
//! A store that is damaged is put aside; it, or one that is gone, is rebuilt from its last copy. Then whatever `verify`
//! finds is taken out of the records, and blobs that no record knows are kept for a day, so that pulling their image
//! again costs nothing.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Context;

use super::say;
use crate::metadata::{self, Durability, StoreError, Transaction};
use crate::options::Options;
use crate::supervisor::{BACKUP, JOURNAL, METADATA, directory, lock};
use crate::verify::{check, mend};

/// How long blobs that no record knows are kept.
const KEEP: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    let (root, state) = (directory(&options.root)?, directory(&options.state)?);
    let _lock = lock(&root)?;
    let path = root.join(METADATA);
    let copy = root.join(BACKUP);
    if metadata::require(&path, &copy).is_err() || (path.exists() && !metadata::is_whole(&path)) {
        rebuild(&path, &copy)?;
    }
    let store = metadata::Store::open(&path, &state.join(JOURNAL))?;
    let findings = check(&root, &store.read()?)?;
    findings.iter().try_for_each(|finding| say(&format!("repaired: {finding}")))?;
    let count = findings.len();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let until = SystemTime::now() + KEEP;
        let work = move |transaction: &mut Transaction<'_>| {
            findings.iter().try_for_each(|finding| mend(transaction, finding, until))
        };
        store.write::<(), StoreError>(Durability::Disk, work).await?;
        store.close().await;
        Ok::<_, StoreError>(())
    })?;
    say(&format!("{count} repaired"))
}

/// Puts the damaged store aside, if it is still there, and makes one of its last copy.
fn rebuild(path: &Path, backup: &Path) -> anyhow::Result<()> {
    if path.exists() {
        let aside = path.with_extension("redb.damaged");
        std::fs::rename(path, &aside).with_context(|| format!("rename {}", path.display()))?;
        say(&format!("put the damaged store aside as {}", aside.display()))?;
    }
    let count = metadata::restore(path, backup)?;
    say(&format!("restored {count} records from {}", backup.display()))
}
