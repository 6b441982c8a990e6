//! The events service for shims, at `<address>.ttrpc`.

use std::io;
use std::sync::Arc;

use dhow_proto::containerd::services::events::ttrpc::v1::ForwardRequest;
use dhow_proto::error::Kind;
use dhow_proto::ttrpc::{self, Decoder, Frame, FrameKind, Incoming, Request};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::event::{self, Envelope};
use crate::fault::Fault;

const SERVICE: &str = "containerd.services.events.ttrpc.v1.Events";

/// Serves on `listener`, handing each event to `take`, for as long as it is polled.
pub(crate) async fn serve(listener: UnixListener, take: impl Fn(Envelope) + Send + Sync + 'static) {
    let take: Arc<dyn Fn(Envelope) + Send + Sync> = Arc::new(take);
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                let take = Arc::clone(&take);
                tokio::spawn(async move {
                    if let Err(error) = connection(socket, &*take).await {
                        tracing::debug!(%error, "events connection ended");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accept events connection");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(mut socket: UnixStream, take: &(dyn Fn(Envelope) + Send + Sync)) -> io::Result<()> {
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; 4 << 10];
    loop {
        let read = socket.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        decoder.feed(&buffer[..read]);
        let mut output = Vec::new();
        while let Some(incoming) = decoder.decode().map_err(io::Error::other)? {
            answer(incoming, take, &mut output);
        }
        socket.write_all(&output).await?;
    }
}

fn answer(incoming: Incoming<'_>, take: &(dyn Fn(Envelope) + Send + Sync), output: &mut Vec<u8>) {
    match incoming {
        Incoming::Frame(Frame { kind: FrameKind::Request, stream, payload, .. }) => match forward(payload) {
            Ok(envelope) => {
                take(envelope);
                ttrpc::reply(output, stream, Vec::new());
            }
            Err((kind, message)) => ttrpc::failure(output, stream, kind, &message),
        },
        Incoming::Frame(_) => {}
        Incoming::TooLong { stream, length } => {
            let message = ttrpc::FrameError::TooLong(length).to_string();
            ttrpc::failure(output, stream, Kind::ResourceExhausted, &message);
        }
    }
}

fn forward(payload: &[u8]) -> Result<Envelope, (Kind, String)> {
    let invalid = |error: prost::DecodeError| (Kind::InvalidArgument, format!("decode request: {error}"));
    let request = Request::decode(payload).map_err(invalid)?;
    if request.service != SERVICE || request.method != "Forward" {
        return Err((Kind::Unimplemented, format!("service {} method {}", request.service, request.method)));
    }
    let envelope =
        ForwardRequest::decode(request.payload.as_slice()).map_err(invalid)?.envelope.unwrap_or_default();
    event::validate(&envelope).map_err(|error| (error.kind(), dhow_proto::error::chain(&error)))?;
    Ok(envelope)
}
