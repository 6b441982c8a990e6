//! The document of a container: what it is, and what became of it. One writer, replaced as a whole.
//!
//! ```text
//! <data-root>/containers/<id>/record.json     this document, {"version": 1, …}
//!                             <id>-json.log   its output (written by its shim)
//!                             hostname, hosts, resolv.conf
//! ```
//! Whether it runs is not in here: that is the supervisor's to tell. A container whose last start is later than its last
//! end ran when the record was written.

use std::path::{Path, PathBuf};

use dhow_engine_api::container::{ContainerConfig, HostConfig};
use dhow_engine_api::endpoint::NetworkingConfig;
use dhow_engine_api::mount::MountPoint;
use dhow_linux::file::{self, Durability, PathError};
use serde::{Deserialize, Serialize};

use crate::time::NEVER;

/// The version of the document that this daemon writes.
const VERSION: u32 = 1;
/// The largest record that is read.
const LIMIT: u64 = 16 << 20;

/// Why a record could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("keep a container's record")]
    File(#[from] PathError),
    #[error("encode a container's record")]
    Encode(#[source] serde_json::Error),
    #[error("decode {path}")]
    Decode { path: PathBuf, source: serde_json::Error },
    #[error("{path} has version {version}; this daemon knows version {VERSION}: use a newer daemon")]
    Version { path: PathBuf, version: u32 },
}

/// A container on disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    pub(crate) id: String,
    /// Without the `/` that the API puts before it.
    pub(crate) name: String,
    pub(crate) created: String,
    /// ID of the image.
    pub(crate) image: String,
    /// With what the image gave.
    pub(crate) config: ContainerConfig,
    /// With the daemon's defaults.
    pub(crate) host: HostConfig,
    /// Networks as they were asked for.
    #[serde(default)]
    pub(crate) networking: NetworkingConfig,
    /// Mounts other than those of every container.
    #[serde(default)]
    pub(crate) mounts: Vec<MountPoint>,
    #[serde(default)]
    pub(crate) history: History,
}

/// What became of a container.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct History {
    pub(crate) started_at: String,
    pub(crate) finished_at: String,
    pub(crate) exit_code: i64,
    /// Why it could not be started.
    pub(crate) error: String,
    pub(crate) oom_killed: bool,
    /// How often the restart policy acted since a person did.
    pub(crate) restart_count: i64,
    /// A person stopped it: `unless-stopped` keeps it so.
    pub(crate) stopped_by_hand: bool,
    /// Its removal failed half-way.
    pub(crate) dead: bool,
}

impl Default for History {
    fn default() -> Self {
        Self {
            started_at: NEVER.to_owned(),
            finished_at: NEVER.to_owned(),
            exit_code: 0,
            error: String::new(),
            oom_killed: false,
            restart_count: 0,
            stopped_by_hand: false,
            dead: false,
        }
    }
}

impl History {
    /// Whether it was ever started.
    pub(crate) fn was_started(&self) -> bool {
        self.started_at != NEVER
    }

    /// Whether its last start has no end yet.
    pub(crate) fn is_open(&self) -> bool {
        crate::time::parse(&self.started_at) > crate::time::parse(&self.finished_at)
    }
}

impl Record {
    /// A container that was just made.
    pub(crate) fn new(
        id: String,
        name: String,
        image: String,
        config: ContainerConfig,
        host: HostConfig,
    ) -> Self {
        Self {
            version: VERSION,
            id,
            name,
            created: crate::time::now(),
            image,
            config,
            host,
            networking: NetworkingConfig::default(),
            mounts: Vec::new(),
            history: History::default(),
        }
    }

    /// Reads the record in a container's folder.
    pub(crate) fn load(folder: &Path) -> Result<Self, RecordError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let path = folder.join("record.json");
        let text = file::read_limited(&path, LIMIT)?;
        let decode = |source| RecordError::Decode { path: path.clone(), source };
        let Versioned { version } = serde_json::from_slice(&text).map_err(decode)?;
        if version != VERSION {
            return Err(RecordError::Version { path, version });
        }
        dhow_engine_api::decode::from_slice(&text).map_err(decode)
    }

    /// Writes it into a container's folder. What `--rm` removes need not survive a power cut.
    pub(crate) fn save(&self, folder: &Path) -> Result<(), RecordError> {
        let text = serde_json::to_vec(self).map_err(RecordError::Encode)?;
        let durability = if self.host.auto_remove { Durability::Process } else { Durability::Disk };
        Ok(file::replace(&folder.join("record.json"), &text, 0o600, durability)?)
    }

    /// The program and its arguments.
    pub(crate) fn command(&self) -> Vec<String> {
        let words = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
        [words(&self.config.entrypoint), words(&self.config.cmd)].concat()
    }

    /// Where its log is, when its driver keeps a file.
    pub(crate) fn log(&self, folder: &Path) -> Option<PathBuf> {
        (self.host.log_config.kind == "json-file").then(|| folder.join(format!("{}-json.log", self.id)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut record = Record::new(
            "a".repeat(64),
            "web".into(),
            "sha256:b".into(),
            Default::default(),
            Default::default(),
        );
        record.host.resources.memory = 5;
        record.config.labels = Some([("k".to_owned(), "v".to_owned())].into());
        record.save(folder.path()).expect("save");
        let read = Record::load(folder.path()).expect("load");
        assert_eq!((read.host, read.config, read.name), (record.host, record.config, record.name));
        assert!(!read.history.was_started() && !read.history.is_open());
    }

    #[test]
    fn a_newer_version_is_refused_with_a_hint() {
        let folder = tempfile::tempdir().expect("temporary folder");
        std::fs::write(folder.path().join("record.json"), "{\"version\":2}").expect("write");
        let error = Record::load(folder.path()).expect_err("newer");
        assert!(error.to_string().contains("use a newer daemon"));
    }
}
