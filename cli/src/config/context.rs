//! Contexts: named daemons, `contexts/meta/<digest of the name>/meta.json` below the configuration.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::client::{Host, HostError};

/// A named daemon.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Context {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) metadata: Metadata,
    #[serde(default)]
    pub(crate) endpoints: Endpoints,
}

/// What is said about a context.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Metadata {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) description: String,
}

/// Where a context's daemons are.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Endpoints {
    pub(crate) docker: Endpoint,
}

/// Where one daemon is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Endpoint {
    pub(crate) host: String,
    #[serde(rename = "SkipTLSVerify")]
    pub(crate) skip_tls_verify: bool,
}

/// Why a context cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContextError {
    #[error("context \"{name}\": context not found: no such context in {directory}")]
    Missing { name: String, directory: PathBuf },
    #[error(transparent)]
    Host(#[from] HostError),
}

impl Context {
    /// All contexts on disk, by name.
    pub(crate) fn all(configuration: &Path) -> Vec<Self> {
        let Ok(entries) = std::fs::read_dir(configuration.join("contexts/meta")) else { return Vec::new() };
        let mut contexts: Vec<Self> = entries
            .filter_map(|entry| std::fs::read(entry.ok()?.path().join("meta.json")).ok())
            .filter_map(|bytes| serde_json::from_slice(&bytes).ok())
            .collect();
        contexts.sort_by(|a, b| a.name.cmp(&b.name));
        contexts
    }

    /// The daemon of the context `name`.
    pub(crate) fn host(configuration: &Path, name: &str) -> Result<Host, ContextError> {
        let found = Self::all(configuration).into_iter().find(|context| context.name == name);
        let missing = || ContextError::Missing {
            name: name.to_owned(),
            directory: configuration.join("contexts/meta"),
        };
        Ok(Host::parse(&found.ok_or_else(missing)?.endpoints.docker.host)?)
    }
}
