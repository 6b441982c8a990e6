//! Contexts: named daemons, `contexts/meta/<digest of the name>/meta.json` below the configuration.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::client::{Host, HostError};
use crate::error::Failure;

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

    /// A context of a daemon at `host`.
    pub(crate) fn new(name: &str, description: &str, host: &str) -> Self {
        let docker = Endpoint { host: host.to_owned(), skip_tls_verify: false };
        Self {
            name: name.to_owned(),
            metadata: Metadata { description: description.to_owned() },
            endpoints: Endpoints { docker },
        }
    }

    /// Where it is kept below `configuration`.
    pub(crate) fn directory(&self, configuration: &Path) -> PathBuf {
        use sha2::Digest;
        let digest = sha2::Sha256::digest(self.name.as_bytes());
        let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        configuration.join("contexts/meta").join(name)
    }

    /// Writes it below `configuration`.
    pub(crate) fn save(&self, configuration: &Path) -> Result<(), Failure> {
        let path = self.directory(configuration).join("meta.json");
        let text = serde_json::to_string(self)
            .map_err(|error| Failure::new(format!("encode {}: {error}", path.display())))?;
        super::replace(&path, text.as_bytes())
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
