//! `/exec`, and `/containers/{id}/exec`.

use std::sync::Arc;

use dhow_engine_api::exec::{ExecCreateRequest, ExecStartRequest, IdResponse};
use http::StatusCode;
use hyper_util::rt::TokioIo;

use super::container::{PIPE, size};
use crate::container::exec;
use crate::http::body::{self, Outcome};
use crate::http::call::Call;
use crate::http::hijack::{self, Framing};

pub(crate) async fn create(mut call: Call, name: &str) -> Outcome {
    let container = call.daemon.containers.find(name)?;
    let request: ExecCreateRequest = call.document().await?;
    let id = exec::create(&call.daemon, &container, request)?;
    Ok(body::json(StatusCode::CREATED, &IdResponse { id }))
}

pub(crate) fn inspect(call: &Call, id: &str) -> Outcome {
    body::ok(&call.daemon.execs.find(id)?.inspect())
}

pub(crate) async fn resize(call: &Call, id: &str) -> Outcome {
    let (height, width) = size(call)?;
    exec::resize(&call.daemon, &*call.daemon.execs.find(id)?, height, width).await?;
    Ok(body::empty(StatusCode::OK))
}

/// Starts an exec. Its streams are connected before it runs, so that nothing it says is lost.
pub(crate) async fn start(mut call: Call, id: &str) -> Outcome {
    let exec = call.daemon.execs.find(id)?;
    let request: ExecStartRequest = call.document().await?;
    let daemon = Arc::clone(&call.daemon);
    let stream = exec::open(&daemon, &exec, !request.detach).await?;
    exec::run(&daemon, &exec, request.console_size).await?;
    let Some(stream) = stream else { return Ok(body::empty(StatusCode::OK)) };
    let content_type = Framing::of(exec.request.tty).content_type(call.version);
    match hijack::take(&mut call) {
        Some(upgrade) => {
            tokio::spawn(async move {
                if let Ok(client) = upgrade.await {
                    exec::attend(&daemon, &exec, stream, TokioIo::new(client)).await;
                }
            });
            Ok(hijack::upgraded(content_type))
        }
        None => {
            let (ours, theirs) = tokio::io::duplex(PIPE);
            tokio::spawn(async move { exec::attend(&daemon, &exec, stream, ours).await });
            Ok(body::stream(content_type, tokio_util::io::ReaderStream::new(theirs)))
        }
    }
}
