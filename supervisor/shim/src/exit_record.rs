//! Exits on disk, in the bundle, from before they are published until the process is deleted.
//!
//! ```text
//! <bundle>/exit.json            the container's first process
//! <bundle>/exit-EXEC_ID.json    an exec
//! {"version":1,"id":"…","exec_id":"","pid":42,"status":0,"exited_at":"2026-01-02T03:04:05.000000006Z"}
//! ```

use std::path::{Path, PathBuf};
use std::str::FromStr;

use dhow_linux::file::{Durability, PathError, read_limited, replace};
use prost_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::reaper::Exit;

/// The exit of one process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ExitRecord {
    version: u32,
    id: String,
    exec_id: String,
    pub(crate) pid: u32,
    pub(crate) status: u32,
    exited_at: String,
}

impl ExitRecord {
    pub(crate) fn new(id: &str, exec_id: &str, pid: u32, exit: Exit) -> Self {
        let (id, exec_id) = (id.to_owned(), exec_id.to_owned());
        Self { version: 1, id, exec_id, pid, status: exit.status, exited_at: exit.at.to_string() }
    }

    /// Puts it into `bundle`. It dies with the boot, as the container does: nothing is synced.
    pub(crate) fn save(&self, bundle: &Path) -> Result<(), PathError> {
        let path = path(bundle, &self.exec_id);
        let json = serde_json::to_vec(self).map_err(|error| PathError::at("encode", &path)(error.into()))?;
        replace(&path, &json, 0o600, Durability::Process)
    }

    /// The exit of the container's first process, if it is known.
    pub(crate) fn load(bundle: &Path) -> Option<Self> {
        let json = read_limited(&path(bundle, ""), 64 << 10).ok()?;
        serde_json::from_slice(&json).ok().filter(|record: &Self| record.version == 1)
    }

    pub(crate) fn exited_at(&self) -> Option<Timestamp> {
        Timestamp::from_str(&self.exited_at).ok()
    }
}

/// Forgets the exit of a process.
pub(crate) fn remove(bundle: &Path, exec_id: &str) {
    drop(std::fs::remove_file(path(bundle, exec_id)));
}

fn path(bundle: &Path, exec_id: &str) -> PathBuf {
    match exec_id {
        "" => bundle.join("exit.json"),
        exec_id => bundle.join(format!("exit-{exec_id}.json")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_tells_the_exit() {
        let bundle = tempfile::tempdir().expect("folder");
        let at = Timestamp { seconds: 1_700_000_000, nanos: 6 };
        ExitRecord::new("a", "", 42, Exit { status: 137, at }).save(bundle.path()).expect("save");
        let text = std::fs::read_to_string(bundle.path().join("exit.json")).expect("read");
        assert_eq!(
            text,
            r#"{"version":1,"id":"a","exec_id":"","pid":42,"status":137,"exited_at":"2023-11-14T22:13:20.000000006Z"}"#
        );
        let record = ExitRecord::load(bundle.path()).expect("load");
        assert_eq!((record.pid, record.status, record.exited_at()), (42, 137, Some(at)));
        remove(bundle.path(), "");
        assert!(ExitRecord::load(bundle.path()).is_none());
    }
}
