//! `state.json`: what later commands need to know and cannot ask the kernel.
//!
//! ```text
//! version       1
//! id, bundle, rootfs, created
//! init          pid and start time of the first process
//! cgroup_paths  controller ("" for cgroup2) to folder
//! config        the config.json it was created with, as it was
//! ```
//! Written once, after the first process exists and before it may run anything of the container; replaced by `update`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dhow_linux::file::{self, Durability};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{ContainerError, ContainerId};
use crate::resctrl::Class;

const VERSION: u32 = 1;
const NAME: &str = "state.json";
/// The configuration in it is limited to 32 MiB; the rest is small.
const LIMIT: u64 = 64 << 20;

/// The document.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    version: u32,
    /// The container's name.
    pub(crate) id: ContainerId,
    /// Its first process; none only while it is being made.
    pub(crate) init: Option<Init>,
    /// The absolute path of the bundle.
    pub(crate) bundle: PathBuf,
    /// The absolute path of the root file system.
    pub(crate) rootfs: PathBuf,
    /// When it was created, RFC 3339 with nanoseconds.
    pub(crate) created: String,
    /// Where its cgroups are.
    pub(crate) cgroup_paths: BTreeMap<String, PathBuf>,
    /// The systemd unit that holds it, when the systemd driver made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) systemd_unit: Option<String>,
    /// Whether that unit is of the user's own systemd.
    #[serde(default)]
    pub(crate) systemd_user: bool,
    /// Its class of service, when it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resctrl: Option<Class>,
    /// What its standard streams were when it was made, for a checkpoint; none with a terminal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) descriptors: Vec<String>,
    /// Whether the session keyring of the caller was kept.
    #[serde(default)]
    pub(crate) no_new_keyring: bool,
    /// The configuration.
    pub(crate) config: Box<RawValue>,
}

/// A process, named for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Init {
    /// As seen by whoever ran `create`.
    pub(crate) pid: i32,
    /// Clock ticks after boot.
    pub(crate) start_time: u64,
}

impl State {
    /// A document without a process yet.
    pub(crate) fn new(id: ContainerId, bundle: PathBuf, rootfs: PathBuf, config: Box<RawValue>) -> Self {
        Self {
            version: VERSION,
            id,
            init: None,
            bundle,
            rootfs,
            created: String::new(),
            cgroup_paths: BTreeMap::new(),
            systemd_unit: None,
            systemd_user: false,
            resctrl: None,
            descriptors: Vec::new(),
            no_new_keyring: false,
            config,
        }
    }

    /// Reads the document in `folder`.
    pub(crate) fn load(folder: &Path, id: &ContainerId) -> Result<Self, ContainerError> {
        let text = file::read_limited(&folder.join(NAME), LIMIT)
            .map_err(|error| if error.is_not_found() { ContainerError::NotFound } else { error.into() })?;
        let state: Self = serde_json::from_slice(&text)
            .map_err(|source| ContainerError::Document { id: id.clone(), source })?;
        if state.version > VERSION {
            return Err(ContainerError::NewerState { id: id.clone(), version: state.version });
        }
        Ok(state)
    }

    /// Puts the document into `folder`. The root is on a tmpfs: nothing there outlives the boot, so nothing is synced.
    pub(crate) fn save(&self, folder: &Path) -> Result<(), ContainerError> {
        let text = serde_json::to_vec(self)
            .map_err(|source| ContainerError::Document { id: self.id.clone(), source })?;
        file::replace(&folder.join(NAME), &text, 0o600, Durability::Process).map_err(Into::into)
    }
}
