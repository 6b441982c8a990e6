//! A bundle, read and checked: what `create`, `run` and `restore` begin with.

use std::path::{Path, PathBuf};

use dhow_linux::file::PathError;
use serde_json::value::RawValue;

use super::LaunchError;
use crate::container::{ContainerId, State};
use crate::notify::Notify;
use crate::spec::{self, LoadError, Process, Spec};
use crate::validate::{self, Invalid};

const CONFIG: &str = "config.json";

/// The container that a bundle describes.
#[derive(Debug)]
pub(super) struct Bundle {
    /// The bundle's absolute path, which is the working directory too.
    pub(super) path: PathBuf,
    /// Its configuration.
    pub(super) spec: Spec,
    /// The absolute path of its root file system.
    pub(super) rootfs: PathBuf,
    /// The configuration as it was written.
    config: Box<RawValue>,
}

impl Bundle {
    /// Reads the bundle at `path`, the working directory. Whoever waits for readiness gets a socket in it.
    pub(super) fn read(path: PathBuf, notify: Option<&Notify>, no_pivot: bool) -> Result<Self, LaunchError> {
        let mut loaded = spec::load(Path::new(CONFIG))?;
        if let Some(notify) = notify {
            loaded = notify.prepare(&loaded.1)?;
        }
        let (spec, text) = loaded;
        let rootfs = validate::validate(&spec, &path, no_pivot)?;
        let config = raw(String::from_utf8_lossy(&text).into_owned())?;
        Ok(Self { path, spec, rootfs, config })
    }

    /// The process that it asks for.
    pub(super) fn process(&self) -> Result<&Process, Invalid> {
        validate::process(self.spec.process.as_ref())
    }

    /// The state document of a container from it that has no process yet.
    pub(super) fn state(&self, id: &ContainerId) -> State {
        let mut state = State::new(id.clone(), self.path.clone(), self.rootfs.clone(), self.config.clone());
        if !self.spec.process.as_ref().is_some_and(|process| process.terminal) {
            state.descriptors = super::stdio::names();
        }
        state
    }
}

/// Changes into the bundle, so that relative paths in it mean what they should; gives its absolute path.
pub(super) fn enter(path: Option<&Path>) -> Result<PathBuf, LaunchError> {
    if let Some(path) = path {
        std::env::set_current_dir(path).map_err(PathError::at("chdir", path))?;
    }
    std::env::current_dir().map_err(LaunchError::call("getcwd"))
}

/// A configuration's text, as the state document keeps it.
pub(super) fn raw(text: String) -> Result<Box<RawValue>, LaunchError> {
    RawValue::from_string(text).map_err(|source| LoadError::Decode { name: CONFIG.to_owned(), source }.into())
}
