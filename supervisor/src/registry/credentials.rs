//! Credentials: what a client proves itself with, and where it gets them from.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;

/// What to prove oneself with.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// Nothing: anonymous access.
    None,
    /// A name and a password.
    Password {
        /// The name.
        user: String,
        /// The password.
        secret: String,
    },
    /// A token that the token server exchanges for others (an identity token).
    Refresh(String),
    /// The value of the `Authorization` header itself.
    Header(String),
}

/// Without the secrets.
impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::None => "None",
            Self::Password { .. } => "Password",
            Self::Refresh(_) => "Refresh",
            Self::Header(_) => "Header",
        })
    }
}

/// The source did not answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("ask for credentials of {host}: {reason}")]
pub(crate) struct CredentialsError {
    /// For which host.
    pub(crate) host: String,
    /// What went wrong.
    pub(crate) reason: &'static str,
}

/// Asks for the credentials of a host, told which challenges it answered with.
type Ask =
    dyn Fn(String, Vec<String>) -> BoxFuture<'static, Result<Credentials, CredentialsError>> + Send + Sync;

/// Where credentials come from.
#[derive(Clone)]
pub(crate) struct CredentialSource(Arc<Ask>);

impl CredentialSource {
    /// Nobody has any.
    pub(crate) fn anonymous() -> Self {
        Self::new(|_, _| Box::pin(std::future::ready(Ok(Credentials::None))))
    }

    /// The answers of `ask`.
    pub(crate) fn new(
        ask: impl Fn(String, Vec<String>) -> BoxFuture<'static, Result<Credentials, CredentialsError>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self(Arc::new(ask))
    }

    /// The credentials for `host`, which answered with `challenges`.
    pub(super) async fn ask(
        &self,
        host: &str,
        challenges: Vec<String>,
    ) -> Result<Credentials, CredentialsError> {
        (self.0)(host.to_owned(), challenges).await
    }
}

impl fmt::Debug for CredentialSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CredentialSource")
    }
}
