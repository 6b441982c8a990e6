//! containerd's configuration file: the keys that mean something here, and a list of those that do not.
//!
//! ```text
//! version = 1..4
//! imports = [FILE or pattern ...]             read after this file, and win over it
//! root, state = DIRECTORY
//! oom_score = NUMBER
//! required_plugins, disabled_plugins = [TYPE.ID ...]
//! [grpc]   address = SOCKET, uid, gid         also [plugins."io.containerd.server.v1.grpc"]
//! [ttrpc]  address = SOCKET, uid, gid         also [plugins."io.containerd.server.v1.ttrpc"]
//! [debug]  level = LEVEL, format = text | json
//! [plugins."io.containerd.internal.v1.opt"]  path = DIRECTORY
//! ```
//! Flags win over the file. A key that we do not know is no error, since the file may be shared with a containerd; it
//! is named once in the log.

mod document;
mod key;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use dhow_linux::file::PathError;
pub(crate) use document::{Document, migrate};

use crate::options::Level;

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error(transparent)]
    Read(#[from] PathError),
    #[error("parse configuration {path}")]
    Parse { path: PathBuf, source: Box<toml::de::Error> },
    #[error("configuration {0} is not text")]
    Text(PathBuf),
    #[error("configuration {0} imports more than {limit} files", limit = document::IMPORT_LIMIT)]
    Imports(PathBuf),
    #[error("{key} of configuration {path} must be {expected}")]
    Value { path: PathBuf, key: String, expected: &'static str },
}

/// A socket as a file describes it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Socket {
    pub(crate) address: Option<PathBuf>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
}

/// How lines of the log look.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    #[default]
    Text,
    Json,
}

/// What a file says.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Config {
    pub(crate) root: Option<PathBuf>,
    pub(crate) state: Option<PathBuf>,
    pub(crate) grpc: Socket,
    pub(crate) ttrpc: Socket,
    pub(crate) log_level: Option<Level>,
    pub(crate) log_format: Format,
    pub(crate) oom_score: Option<i16>,
    /// Without these we must not start.
    pub(crate) required_plugins: Vec<String>,
    /// These should be off.
    pub(crate) disabled_plugins: Vec<String>,
    /// Where clients install shims and runtimes.
    pub(crate) opt: Option<PathBuf>,
    /// Keys that mean nothing here.
    pub(crate) unknown: Vec<String>,
}

/// Reads the file at `path`, and what it imports.
pub(crate) fn load(path: &Path) -> Result<Config, ConfigError> {
    key::interpret(path, &Document::load(path)?)
}
