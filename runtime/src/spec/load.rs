//! Reading `config.json` from a bundle.

use std::path::Path;

use dhow_linux::file::{PathError, read_limited};

use super::{Process, Spec};

/// Far above any real document; a file without end must not fill the memory.
const LIMIT: u64 = 32 << 20;

/// Why a document cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// There is none.
    #[error("JSON specification file {0} not found")]
    Missing(String),
    /// It cannot be read.
    #[error(transparent)]
    Read(PathError),
    /// It is not JSON, or not this JSON.
    #[error("invalid {name}")]
    Decode {
        /// The file.
        name: String,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
}

/// Reads and decodes the document at `path`; also gives its text, to be kept in the state.
pub(crate) fn load(path: &Path) -> Result<(Spec, Vec<u8>), LoadError> {
    let name = path.display().to_string();
    let text = read_limited(path, LIMIT).map_err(|error| {
        if error.is_not_found() { LoadError::Missing(name.clone()) } else { LoadError::Read(error) }
    })?;
    parse(text).map_err(|source| LoadError::Decode { name, source })
}

/// Decodes a whole document.
pub(crate) fn parse(text: Vec<u8>) -> Result<(Spec, Vec<u8>), serde_json::Error> {
    Ok((serde_json::from_slice(&text)?, text))
}

/// Reads the process document of an exec.
pub(crate) fn load_process(path: &Path) -> Result<Process, LoadError> {
    let name = path.display().to_string();
    let text = read_limited(path, LIMIT).map_err(LoadError::Read)?;
    serde_json::from_slice(&text).map_err(|source| LoadError::Decode { name, source })
}
