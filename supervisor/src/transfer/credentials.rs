//! Credentials over a stream: we ask for a host, the client answers.

use std::sync::Arc;

use dhow_proto::containerd::types::transfer::{AuthRequest, AuthResponse, AuthType};
use tokio::sync::Mutex;

use super::stream::Stream;
use crate::registry::{CredentialSource, Credentials, CredentialsError};

/// The client behind `stream` as a source of credentials for `reference`.
pub(super) fn source(stream: Stream, reference: String) -> CredentialSource {
    // One question at a time: answers carry nothing that tells them apart.
    let stream = Arc::new(Mutex::new(stream));
    CredentialSource::new(move |host, wwwauthenticate| {
        let (stream, reference) = (Arc::clone(&stream), reference.clone());
        Box::pin(async move {
            let stream = stream.lock().await;
            let failed = |reason| CredentialsError { host: host.clone(), reason };
            let question = AuthRequest { host: host.clone(), reference, wwwauthenticate };
            stream.send(&question).await.map_err(|_| failed("the client closed the stream"))?;
            let answer = stream.receive().await.map_err(|_| failed("the client's answer cannot be read"))?;
            Ok(credentials(answer.ok_or_else(|| failed("the client closed the stream"))?))
        })
    })
}

fn credentials(answer: AuthResponse) -> Credentials {
    let kind = answer.auth_type();
    let AuthResponse { secret, username: user, .. } = answer;
    match kind {
        _ if secret.is_empty() => Credentials::None,
        AuthType::Credentials if !user.is_empty() => Credentials::Password { user, secret },
        AuthType::Header => Credentials::Header(secret),
        AuthType::Credentials | AuthType::Refresh => Credentials::Refresh(secret),
        AuthType::None => Credentials::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_containerd_means_them() {
        let answer = |kind: AuthType, user: &str, secret: &str| {
            credentials(AuthResponse {
                auth_type: kind.into(),
                username: user.to_owned(),
                secret: secret.to_owned(),
                expire_at: None,
            })
        };
        let password = Credentials::Password { user: "u".to_owned(), secret: "s".to_owned() };
        assert_eq!(answer(AuthType::Credentials, "u", "s"), password);
        assert_eq!(answer(AuthType::Refresh, "", "token"), Credentials::Refresh("token".to_owned()));
        assert_eq!(answer(AuthType::Refresh, "", ""), Credentials::None, "an anonymous client answers so");
        assert_eq!(answer(AuthType::Header, "", "Bearer x"), Credentials::Header("Bearer x".to_owned()));
        assert_eq!(answer(AuthType::None, "u", "s"), Credentials::None);
    }
}
