//! Streams beside a request: the supervisor's way to tell progress and to ask for credentials while it transfers.

use dhow_engine_api::auth::AuthConfig;
use dhow_proto::any;
use dhow_proto::containerd::services::streaming::v1::StreamInit;
use dhow_proto::containerd::services::streaming::v1::streaming_client::StreamingClient;
use dhow_proto::containerd::types::transfer::{AuthRequest, AuthResponse, AuthType};
use prost_types::Any;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::error::ImageError;
use crate::supervisor::Link;

/// How many messages may wait to be sent.
const WAITING: usize = 16;

/// A stream that both sides know by its name.
#[derive(Debug)]
pub(super) struct SideStream {
    /// Its name, for the request that it goes with.
    pub(super) id: String,
    /// What the supervisor says.
    pub(super) incoming: Streaming<Any>,
    outgoing: mpsc::Sender<Any>,
}

impl SideStream {
    /// Opens a stream; it is known to the supervisor when this returns.
    pub(super) async fn open(link: &Link, what: &str) -> Result<Self, ImageError> {
        const ACTION: &str = "open a stream to the supervisor";
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| ImageError::Invalid(error.to_string()))?;
        let id = format!("{what}-{}", hex::encode(random));
        let (outgoing, messages) = mpsc::channel(WAITING);
        let first = any::pack(&StreamInit { id: id.clone() });
        drop(outgoing.send(first).await);
        let mut client = StreamingClient::new(link.clone());
        let opened = client.stream(ReceiverStream::new(messages)).await.map_err(ImageError::asked(ACTION))?;
        let mut incoming = opened.into_inner();
        // The answer to the first message says that the stream is ready.
        incoming.message().await.map_err(ImageError::asked(ACTION))?;
        Ok(Self { id, incoming, outgoing })
    }

    /// Answers every question for credentials, until the stream ends.
    pub(super) async fn answer_with(mut self, auth: AuthConfig) {
        while let Ok(Some(message)) = self.incoming.message().await {
            if !matches!(any::unpack::<AuthRequest>(&message), Some(Ok(_))) {
                continue;
            }
            if self.outgoing.send(any::pack(&answer(&auth))).await.is_err() {
                return;
            }
        }
    }
}

fn answer(auth: &AuthConfig) -> AuthResponse {
    let (kind, secret, username) = if !auth.identitytoken.is_empty() {
        (AuthType::Refresh, auth.identitytoken.clone(), String::new())
    } else if !auth.registrytoken.is_empty() {
        (AuthType::Header, format!("Bearer {}", auth.registrytoken), String::new())
    } else {
        (AuthType::Credentials, auth.password.clone(), auth.username.clone())
    };
    AuthResponse { auth_type: kind.into(), secret, username, expire_at: None }
}
