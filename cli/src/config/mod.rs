//! The user's `config.json`: credentials, formats, headers, proxies, the current context.

mod context;
mod credential;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dhow_engine_api::auth::AuthConfig;
use serde::{Deserialize, Serialize};

pub(crate) use context::Context;
pub(crate) use credential::{DEFAULT_REGISTRY, encode};

use crate::error::{Failure, io_text};
use crate::output::{json, warn};

/// The file's contents, as far as this program reads them. The rest survives a rewrite.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Document {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) auths: BTreeMap<String, AuthConfig>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) creds_store: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) cred_helpers: BTreeMap<String, String>,
    #[serde(rename = "HttpHeaders", skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) http_headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) ps_format: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) images_format: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) networks_format: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) volumes_format: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) stats_format: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) detach_keys: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) current_context: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) proxies: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) cli_plugins_extra_dirs: Vec<String>,
    /// Keys of others.
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}

/// The configuration directory and its file.
#[derive(Debug)]
pub(crate) struct Config {
    directory: PathBuf,
    pub(crate) document: Document,
}

/// Variables that a proxy setting gives to containers.
const PROXIES: [(&str, &str); 5] = [
    ("httpProxy", "HTTP_PROXY"),
    ("httpsProxy", "HTTPS_PROXY"),
    ("noProxy", "NO_PROXY"),
    ("ftpProxy", "FTP_PROXY"),
    ("allProxy", "ALL_PROXY"),
];

impl Config {
    /// Reads the file of `directory`, or of `DOCKER_CONFIG`, or of `~/.docker`. A file that cannot
    /// be read is worth a warning, not a failure: most commands do without it.
    pub(crate) fn load(directory: Option<&Path>) -> Self {
        let directory = match (directory, crate::environment("DOCKER_CONFIG")) {
            (Some(directory), _) => directory.to_path_buf(),
            (None, Some(directory)) => directory.into(),
            (None, None) => PathBuf::from(crate::environment("HOME").unwrap_or_default()).join(".docker"),
        };
        let path = directory.join("config.json");
        let document = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                warn(&format!("WARNING: Error parsing config file ({}): {error}", path.display()));
                Document::default()
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Document::default(),
            Err(error) => {
                warn(&format!(
                    "WARNING: Error loading config file: open {}: {}",
                    path.display(),
                    io_text(&error)
                ));
                Document::default()
            }
        };
        Self { directory, document }
    }

    /// Where the configuration is.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes the file back, readable by its owner alone.
    pub(crate) fn save(&self) -> Result<(), Failure> {
        let path = self.directory.join("config.json");
        let text = serde_json::to_string(&self.document)
            .map_err(|error| Failure::new(format!("encode {}: {error}", path.display())))?;
        replace(&path, json::indent(&text, "", "\t").as_bytes())
    }

    /// Proxy variables for containers of the daemon at `host`, unless the user `given` some.
    pub(crate) fn proxy_environment(&self, host: &str, given: &[String]) -> Vec<String> {
        let proxies = &self.document.proxies;
        let Some(found) = proxies.get(host).or_else(|| proxies.get("default")) else { return Vec::new() };
        let is_given = |name: &str| given.iter().any(|one| one.split('=').next() == Some(name));
        PROXIES
            .iter()
            .filter_map(|(key, name)| Some((name, found.get(*key).filter(|value| !value.is_empty())?)))
            .flat_map(|(name, value)| [((*name).to_owned(), value), (name.to_lowercase(), value)])
            .filter(|(name, _)| !is_given(name))
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }
}

/// Replaces a file in one step; only its owner may read it.
pub(crate) fn replace(path: &Path, contents: &[u8]) -> Result<(), Failure> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let failed = |error: std::io::Error| Failure::io(format!("write {}", path.display()), &error);
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    // A link to the real file stays a link.
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let draft = target.with_extension(format!("tmp{}", std::process::id()));
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| file.write_all(contents).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&draft, &target));
    if written.is_err() {
        drop(std::fs::remove_file(&draft));
    }
    written.map_err(failed)
}
