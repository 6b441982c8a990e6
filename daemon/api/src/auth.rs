//! Credentials for registries.

use serde::{Deserialize, Serialize};

use crate::is_default;

/// Credentials for a registry: the body of `POST /auth`, and the `X-Registry-Auth` header in base64url.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthConfig {
    /// User.
    #[serde(skip_serializing_if = "is_default")]
    pub username: String,
    /// Password.
    #[serde(skip_serializing_if = "is_default")]
    pub password: String,
    /// `user:password` in base64: an old form.
    #[serde(skip_serializing_if = "is_default")]
    pub auth: String,
    /// The registry.
    #[serde(skip_serializing_if = "is_default")]
    pub serveraddress: String,
    /// Token that stands for the password.
    #[serde(skip_serializing_if = "is_default")]
    pub identitytoken: String,
    /// Bearer token for the registry.
    #[serde(skip_serializing_if = "is_default")]
    pub registrytoken: String,
}

/// Secrets are not for logs.
impl std::fmt::Debug for AuthConfig {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { username, serveraddress, .. } = self;
        formatter
            .debug_struct("AuthConfig")
            .field("username", username)
            .field("serveraddress", serveraddress)
            .finish_non_exhaustive()
    }
}
