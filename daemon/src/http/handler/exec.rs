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

/// Starts an exec. The connection is taken over before the process is made: what fails after that is told in the
/// stream, where clients look for it.
pub(crate) async fn start(mut call: Call, id: &str) -> Outcome {
    let exec = call.daemon.execs.find(id)?;
    let ExecStartRequest { detach, console_size, .. } = call.document().await?;
    let daemon = Arc::clone(&call.daemon);
    exec::begin(&exec)?;
    if detach {
        exec::detached(&daemon, &exec).await?;
        return Ok(body::empty(StatusCode::OK));
    }
    let content_type = Framing::of(exec.request.tty).content_type(call.version);
    match hijack::take(&mut call) {
        Some(upgrade) => {
            tokio::spawn(async move {
                if let Ok(client) = upgrade.await {
                    exec::attached(&daemon, &exec, console_size, TokioIo::new(client)).await;
                }
            });
            Ok(hijack::upgraded(content_type))
        }
        None => {
            let (ours, theirs) = tokio::io::duplex(PIPE);
            tokio::spawn(async move { exec::attached(&daemon, &exec, console_size, ours).await });
            Ok(body::stream(content_type, tokio_util::io::ReaderStream::new(theirs)))
        }
    }
}
