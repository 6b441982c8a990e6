//! containerd's configuration file: the keys that mean something here, and a list of those that do not.
//!
//! ```text
//! version = 2 | 3
//! root, state = DIRECTORY
//! [grpc]  address = SOCKET
//! [debug] level = LEVEL
//! ```
//! Flags win over the file. A key that we do not know is no error, since the file may be shared with a containerd; it
//! is named once in the log.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use dhow_linux::file::{PathError, read_limited};
use toml::{Table, Value};

use crate::options::Level;

/// A configuration longer than this is none.
const LIMIT: u64 = 1 << 20;

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error(transparent)]
    Read(#[from] PathError),
    #[error("parse configuration {path}")]
    Parse { path: PathBuf, source: Box<toml::de::Error> },
    #[error("configuration {0} is not text")]
    Text(PathBuf),
    #[error("{key} of configuration {path} must be {expected}")]
    Value { path: PathBuf, key: &'static str, expected: &'static str },
}

/// What a file says.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Config {
    pub(crate) root: Option<PathBuf>,
    pub(crate) state: Option<PathBuf>,
    pub(crate) address: Option<PathBuf>,
    pub(crate) log_level: Option<Level>,
    /// Keys that mean nothing here.
    pub(crate) unknown: Vec<String>,
}

/// Reads the file at `path`.
pub(crate) fn load(path: &Path) -> Result<Config, ConfigError> {
    let text =
        String::from_utf8(read_limited(path, LIMIT)?).map_err(|_| ConfigError::Text(path.to_owned()))?;
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<Config, ConfigError> {
    let table: Table = toml::from_str(text)
        .map_err(|source| ConfigError::Parse { path: path.to_owned(), source: Box::new(source) })?;
    let mut config = Config::default();
    for (key, value) in leaves(&table) {
        let refuse = |key, expected| ConfigError::Value { path: path.to_owned(), key, expected };
        let text = value.as_str();
        match key.as_str() {
            "version" => match value.as_integer() {
                Some(1..=4) => {}
                _ => return Err(refuse("version", "a number up to 4")),
            },
            "root" => config.root = Some(text.ok_or_else(|| refuse("root", "a path"))?.into()),
            "state" => config.state = Some(text.ok_or_else(|| refuse("state", "a path"))?.into()),
            "grpc.address" => {
                config.address = Some(text.ok_or_else(|| refuse("grpc.address", "a path"))?.into());
            }
            // containerd writes an empty level for the default one.
            "debug.level" if text == Some("") => {}
            "debug.level" => {
                let level = text.and_then(|level| Level::from_str(level, true).ok());
                config.log_level = Some(level.ok_or_else(|| refuse("debug.level", "a level of the log"))?);
            }
            _ => config.unknown.push(key),
        }
    }
    Ok(config)
}

/// Every key with its value, by its dotted path; a plugin's own table is one key.
fn leaves(table: &Table) -> Vec<(String, &Value)> {
    let mut leaves = Vec::new();
    for (key, value) in table {
        match value.as_table() {
            Some(inner) if key == "plugins" => {
                leaves.extend(inner.iter().map(|(plugin, value)| (format!("plugins.{plugin:?}"), value)));
            }
            Some(inner) => leaves.extend(inner.iter().map(|(name, value)| (format!("{key}.{name}"), value))),
            None => leaves.push((key.clone(), value)),
        }
    }
    leaves
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_keys_are_taken_and_unknown_ones_named_once() {
        let text = r#"
            version = 2
            root = "/r"
            oom_score = -999
            [grpc]
              address = "/a.sock"
              uid = 0
            [debug]
              level = "debug"
            [plugins."io.containerd.grpc.v1.cri"]
              sandbox_image = "x"
              [plugins."io.containerd.grpc.v1.cri".containerd]
                snapshotter = "overlayfs"
        "#;
        let config = parse(Path::new("c"), text).expect("parse");
        assert_eq!(config.root, Some("/r".into()));
        assert_eq!(config.address, Some("/a.sock".into()));
        assert_eq!(config.log_level, Some(Level::Debug));
        assert_eq!(config.state, None);
        assert_eq!(config.unknown, ["oom_score", "grpc.uid", "plugins.\"io.containerd.grpc.v1.cri\""]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for text in ["root = 1", "version = 9", "[debug]\nlevel = \"loud\"", "root ="] {
            assert!(parse(Path::new("c"), text).is_err(), "{text}");
        }
    }
}
