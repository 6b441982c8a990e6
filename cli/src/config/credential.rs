//! Credentials for registries: in the file, or kept by a helper program.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use dhow_engine_api::auth::AuthConfig;
use serde::{Deserialize, Serialize};

use super::Config;
use crate::error::Failure;

/// The name of Docker Hub in configuration files.
pub(crate) const DEFAULT_REGISTRY: &str = "https://index.docker.io/v1/";

/// User name of a helper's answer that is a token.
const TOKEN_USER: &str = "<token>";

/// What a credential helper answers to `get`, and takes with `store`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Helped {
    #[serde(rename = "ServerURL")]
    server_url: String,
    username: String,
    secret: String,
}

/// The key under which credentials for the image `reference` are kept.
pub(crate) fn registry_of(reference: &str) -> String {
    match reference.split_once('/').map(|(first, _)| first) {
        Some("docker.io" | "index.docker.io") => DEFAULT_REGISTRY.into(),
        Some(domain) if domain.contains(['.', ':']) || domain == "localhost" => domain.into(),
        _ => DEFAULT_REGISTRY.into(),
    }
}

/// A registry's name without scheme and path, to compare old keys.
fn hostname(key: &str) -> &str {
    let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    rest.split('/').next().unwrap_or(rest)
}

impl Config {
    /// The credentials for `registry`; empty when there are none.
    pub(crate) fn credentials(&self, registry: &str) -> AuthConfig {
        if let Some(helper) = self.helper(registry) {
            let answer = run(helper, "get", registry).ok();
            let helped = answer.and_then(|answer| serde_json::from_slice::<Helped>(&answer).ok());
            return helped.map(|helped| from_helper(helped, registry)).unwrap_or_default();
        }
        let auths = &self.document.auths;
        let found = auths
            .get_key_value(registry)
            .or_else(|| auths.iter().find(|(key, _)| hostname(key) == hostname(registry)));
        found.map(|(_, entry)| decoded(entry, registry)).unwrap_or_default()
    }

    /// The header that carries the credentials for the image `reference`.
    pub(crate) fn registry_header(&self, reference: &str) -> String {
        encode(&self.credentials(&registry_of(reference)))
    }

    /// All credentials, for builds.
    pub(crate) fn all_credentials(&self) -> BTreeMap<String, AuthConfig> {
        let document = &self.document;
        let mut registries: Vec<_> =
            document.auths.keys().chain(document.cred_helpers.keys()).cloned().collect();
        if !document.creds_store.is_empty()
            && let Ok(listed) = run(&document.creds_store, "list", "")
            && let Ok(listed) = serde_json::from_slice::<BTreeMap<String, String>>(&listed)
        {
            registries.extend(listed.into_keys());
        }
        registries.into_iter().map(|registry| (registry.clone(), self.credentials(&registry))).collect()
    }

    /// Keeps credentials; says in which file when they are readable there.
    pub(crate) fn store(&mut self, registry: &str, auth: &AuthConfig) -> Result<Option<String>, Failure> {
        if let Some(helper) = self.helper(registry) {
            let token = !auth.identitytoken.is_empty();
            let helped = Helped {
                server_url: registry.into(),
                username: if token { TOKEN_USER.into() } else { auth.username.clone() },
                secret: if token { auth.identitytoken.clone() } else { auth.password.clone() },
            };
            run(helper, "store", &serde_json::to_string(&helped).unwrap_or_default())?;
            self.document.auths.insert(registry.into(), AuthConfig::default());
            self.save()?;
            return Ok(None);
        }
        let entry = AuthConfig {
            auth: STANDARD.encode(format!("{}:{}", auth.username, auth.password)),
            identitytoken: auth.identitytoken.clone(),
            ..AuthConfig::default()
        };
        self.document.auths.insert(registry.into(), entry);
        self.save()?;
        Ok(Some(self.directory().join("config.json").display().to_string()))
    }

    /// Forgets credentials.
    pub(crate) fn erase(&mut self, registry: &str) -> Result<(), Failure> {
        let helper = self.helper(registry).map(str::to_owned);
        let known = self.document.auths.remove(registry).is_some();
        if let Some(helper) = &helper {
            run(helper, "erase", registry)?;
        }
        if known {
            self.save()?;
        }
        Ok(())
    }

    fn helper(&self, registry: &str) -> Option<&str> {
        let document = &self.document;
        let helper = document.cred_helpers.get(registry).unwrap_or(&document.creds_store);
        (!helper.is_empty()).then_some(helper)
    }
}

/// Credentials as the API takes them in a header.
pub(crate) fn encode(auth: &impl Serialize) -> String {
    URL_SAFE.encode(serde_json::to_vec(auth).unwrap_or_default())
}

fn decoded(entry: &AuthConfig, registry: &str) -> AuthConfig {
    let mut auth = AuthConfig { serveraddress: registry.to_owned(), ..entry.clone() };
    if let Ok(bytes) = STANDARD.decode(&entry.auth)
        && let Ok(text) = String::from_utf8(bytes)
        && let Some((username, password)) = text.split_once(':')
    {
        auth.username = username.into();
        auth.password = password.trim_end_matches('\0').into();
    }
    auth.auth = String::new();
    auth
}

fn from_helper(helped: Helped, registry: &str) -> AuthConfig {
    let mut auth = AuthConfig { serveraddress: registry.into(), ..AuthConfig::default() };
    if helped.username == TOKEN_USER {
        auth.identitytoken = helped.secret;
    } else {
        auth.username = helped.username;
        auth.password = helped.secret;
    }
    auth
}

/// Runs `docker-credential-HELPER ACTION` with `input` and gives back what it prints.
fn run(helper: &str, action: &str, input: &str) -> Result<Vec<u8>, Failure> {
    let program = format!("docker-credential-{helper}");
    let failed = |error: std::io::Error| {
        Failure::io(format!("error getting credentials - err: exec: \"{program}\""), &error)
    };
    let mut child = Command::new(&program)
        .arg(action)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read what it is told has answered without it.
        drop(stdin.write_all(input.as_bytes()));
    }
    let output = child.wait_with_output().map_err(failed)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        return Err(Failure::new(format!(
            "error getting credentials - err: {}, out: `{said}`",
            output.status
        )));
    }
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::{DEFAULT_REGISTRY, registry_of};

    #[test]
    fn registries() {
        for (reference, registry) in [
            ("busybox", DEFAULT_REGISTRY),
            ("library/busybox:1", DEFAULT_REGISTRY),
            ("docker.io/library/busybox", DEFAULT_REGISTRY),
            ("localhost/x", "localhost"),
            ("127.0.0.1:5000/a/b:c", "127.0.0.1:5000"),
            ("ghcr.io/a/b@sha256:0", "ghcr.io"),
        ] {
            assert_eq!(registry_of(reference), registry, "{reference}");
        }
    }
}
