//! Answers of the daemon: whole, as JSON, or message by message.

use bytes::{Bytes, BytesMut};
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{ClientError, Hijacked, Stream};

/// Largest answer read whole, in bytes.
const MAX_WHOLE: usize = 256 << 20;
/// Longest single message of a stream.
const MAX_MESSAGE: usize = 16 << 20;

/// An answer whose body was not read yet.
#[derive(Debug)]
pub(crate) struct Reply {
    answer: Response<Incoming>,
}

impl Reply {
    pub(super) fn new(answer: Response<Incoming>) -> Self {
        Self { answer }
    }

    /// Status of the answer.
    pub(crate) fn status(&self) -> StatusCode {
        self.answer.status()
    }

    /// A header, when it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.answer.headers().get(name)?.to_str().ok()
    }

    /// Turns an error status into the error that the daemon wrote.
    pub(super) async fn checked(self) -> Result<Self, ClientError> {
        let status = self.status();
        if status.is_success() || status.is_redirection() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(self);
        }
        let bytes = self.bytes().await.unwrap_or_default();
        let message = serde_json::from_slice::<Value>(&bytes)
            .ok()
            .and_then(|value| value.get("message").and_then(|message| message.as_str().map(str::to_owned)))
            .unwrap_or_else(|| {
                let text = String::from_utf8_lossy(&bytes).trim().to_owned();
                if text.is_empty() {
                    status.canonical_reason().unwrap_or("unknown error").to_owned()
                } else {
                    text
                }
            });
        Err(ClientError::Daemon { status: status.as_u16(), message: message.trim().to_owned() })
    }

    /// The next piece of the body.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        while let Some(frame) = self.answer.body_mut().frame().await {
            let frame = frame.map_err(|source| ClientError::Read { source })?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// The whole body.
    pub(crate) async fn bytes(mut self) -> Result<Bytes, ClientError> {
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if whole.len() + chunk.len() > MAX_WHOLE {
                let message = "the answer is too large".to_owned();
                return Err(ClientError::Daemon { status: 500, message });
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }

    /// The whole body as text.
    pub(crate) async fn text(self) -> Result<String, ClientError> {
        Ok(String::from_utf8_lossy(&self.bytes().await?).into_owned())
    }

    /// The whole body as JSON; `path` names the request in errors.
    pub(crate) async fn json<T: DeserializeOwned>(self, path: &str) -> Result<T, ClientError> {
        let bytes = self.bytes().await?;
        dhow_engine_api::decode::from_slice(&bytes)
            .map_err(|source| ClientError::Decode { path: path.to_owned(), source })
    }

    /// Reads the body and forgets it.
    pub(crate) async fn discard(mut self) {
        while let Ok(Some(_)) = self.chunk().await {}
    }

    /// The body as a sequence of JSON messages.
    pub(crate) fn messages(self) -> JsonLines {
        JsonLines { reply: self, buffer: BytesMut::new(), ended: false }
    }

    pub(super) async fn upgrade(self) -> Result<Hijacked, ClientError> {
        let status = self.status();
        if status != StatusCode::SWITCHING_PROTOCOLS {
            return Err(ClientError::Upgrade { status: status.as_u16() });
        }
        let upgraded =
            hyper::upgrade::on(self.answer).await.map_err(|source| ClientError::Read { source })?;
        let parts = upgraded
            .downcast::<TokioIo<Stream>>()
            .map_err(|_| ClientError::Upgrade { status: status.as_u16() })?;
        let connection =
            parts.io.into_inner().into_blocking().map_err(|source| ClientError::Takeover { source })?;
        Ok(Hijacked::new(connection, parts.read_buf))
    }
}

/// JSON documents one after the other, as progress and events come.
#[derive(Debug)]
pub(crate) struct JsonLines {
    reply: Reply,
    buffer: BytesMut,
    ended: bool,
}

impl JsonLines {
    /// The next message; none at the end of the stream.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ClientError> {
        loop {
            let mut documents = serde_json::Deserializer::from_slice(&self.buffer).into_iter::<Value>();
            match documents.next() {
                Some(Ok(value)) => {
                    let used = documents.byte_offset();
                    bytes::Buf::advance(&mut self.buffer, used);
                    let message = dhow_engine_api::decode::from_value(value);
                    let failed = |source| ClientError::Decode { path: "the stream".into(), source };
                    return message.map(Some).map_err(failed);
                }
                Some(Err(source)) if !source.is_eof() || self.ended => {
                    return Err(ClientError::Decode { path: "the stream".into(), source });
                }
                None if self.ended => return Ok(None),
                Some(Err(_)) | None => {}
            }
            match self.reply.chunk().await? {
                Some(chunk) if self.buffer.len() + chunk.len() <= MAX_MESSAGE => {
                    self.buffer.extend_from_slice(&chunk);
                }
                Some(_) => {
                    let message = "a message of the stream is too large".to_owned();
                    return Err(ClientError::Daemon { status: 500, message });
                }
                None => self.ended = true,
            }
        }
    }
}
