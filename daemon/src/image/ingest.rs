//! Blobs written into the supervisor's content store.

use std::collections::HashMap;
use std::io;

use bytes::Bytes;
use dhow_proto::containerd::services::content::v1::content_client::ContentClient;
use dhow_proto::containerd::services::content::v1::{WriteAction, WriteContentRequest};
use futures_util::{Stream, StreamExt};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use super::document::Descriptor;
use super::error::ImageError;
use super::lease::Lease;
use crate::supervisor::Link;

/// Bytes sent in one message.
const PIECE: usize = 1 << 20;
/// Messages that may wait for the supervisor.
const WAITING: usize = 4;
/// Bytes at the head of a blob that tell its compression.
const HEAD: usize = 6;
const ACTION: &str = "write content";

/// A blob that was written.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) digest: String,
    pub(super) size: i64,
    /// Its first bytes.
    pub(super) head: Vec<u8>,
}

/// Writes a whole document.
pub(super) async fn document(
    link: &Link,
    lease: &Lease,
    media_type: &str,
    bytes: Vec<u8>,
    labels: HashMap<String, String>,
) -> Result<Descriptor, ImageError> {
    let one = futures_util::stream::iter([Ok(Bytes::from(bytes))]);
    let written = stream(link, lease, one, labels).await?;
    let media_type = media_type.to_owned();
    Ok(Descriptor { media_type, digest: written.digest, size: written.size, platform: None })
}

/// Writes whatever `body` brings.
pub(super) async fn stream(
    link: &Link,
    lease: &Lease,
    body: impl Stream<Item = io::Result<Bytes>> + Send + Unpin,
    labels: HashMap<String, String>,
) -> Result<Written, ImageError> {
    let mut random = [0; 12];
    getrandom::fill(&mut random).map_err(|error| ImageError::Invalid(error.to_string()))?;
    let reference = format!("dhowd-{}", hex::encode(random));
    let (sender, messages) = mpsc::channel(WAITING);
    let request = lease.request(ReceiverStream::new(messages));
    let mut client = ContentClient::new(link.clone());
    let writing = async {
        let mut answers = client.write(request).await.map_err(ImageError::asked(ACTION))?.into_inner();
        loop {
            match answers.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                // The same bytes are here already: as good as written.
                Err(status) if status.code() == Code::AlreadyExists => return Ok(()),
                Err(status) => return Err(ImageError::Supervisor { action: ACTION, source: status }),
            }
        }
    };
    let (written, sent) = tokio::join!(writing, send(sender, reference, body, labels));
    written?;
    sent
}

async fn send(
    sender: mpsc::Sender<WriteContentRequest>,
    reference: String,
    mut body: impl Stream<Item = io::Result<Bytes>> + Send + Unpin,
    labels: HashMap<String, String>,
) -> Result<Written, ImageError> {
    let mut hash = Sha256::new();
    let mut written = Written { digest: String::new(), size: 0, head: Vec::new() };
    let message = |action: WriteAction, offset: i64, data: Vec<u8>| WriteContentRequest {
        action: action.into(),
        r#ref: reference.clone(),
        offset,
        data,
        ..WriteContentRequest::default()
    };
    while let Some(part) = body.next().await {
        let part = part.map_err(ImageError::Body)?;
        for piece in part.chunks(PIECE) {
            hash.update(piece);
            let missing = HEAD.saturating_sub(written.head.len());
            written.head.extend(piece.iter().take(missing));
            let next = message(WriteAction::Write, written.size, piece.to_vec());
            written.size += i64::try_from(piece.len()).unwrap_or(0);
            if sender.send(next).await.is_err() {
                // The supervisor gave up; its answer says why.
                return Ok(written);
            }
        }
    }
    written.digest = format!("sha256:{}", hex::encode(hash.finalize()));
    let commit = WriteContentRequest {
        total: written.size,
        expected: written.digest.clone(),
        labels,
        ..message(WriteAction::Commit, written.size, Vec::new())
    };
    drop(sender.send(commit).await);
    Ok(written)
}
