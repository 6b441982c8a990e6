//! The Task service, version 2 and 3: they differ in their name alone.

use std::rc::Rc;

use dhow_linux::trace;
use dhow_proto::containerd::task::v3;
use dhow_proto::ttrpc::Request;
use prost::Message;

use crate::task::{Shim, TaskError};

/// Decodes a request, calls the shim, encodes the reply.
pub(crate) async fn call(shim: &Rc<Shim>, request: &Request) -> Result<Vec<u8>, TaskError> {
    if !matches!(request.service.as_str(), "containerd.task.v2.Task" | "containerd.task.v3.Task") {
        return Err(TaskError::Unimplemented(format!("service {}", request.service)));
    }
    let payload = request.payload.as_slice();
    // A wait lasts as long as its process: it is no step of anything.
    let _span = (request.method != "Wait").then(|| trace::span("shim", &format!("Task/{}", request.method)));
    match request.method.as_str() {
        "State" => reply(shim.state(&decode(payload)?)),
        "Create" => reply(shim.create(decode(payload)?).await),
        "Start" => reply(shim.start(&decode(payload)?).await),
        "Delete" => reply(shim.delete(&decode(payload)?).await),
        "Pids" => reply(shim.pids(&decode(payload)?).await),
        "Pause" => empty(shim.pause(&decode(payload)?).await),
        "Resume" => empty(shim.resume(&decode(payload)?).await),
        "Checkpoint" => empty(shim.checkpoint(&decode(payload)?).await),
        "Kill" => empty(shim.kill(&decode(payload)?).await),
        "Exec" => empty(shim.exec(decode(payload)?)),
        "ResizePty" => empty(shim.resize_pty(&decode(payload)?)),
        "CloseIO" => empty(shim.close_io(&decode(payload)?)),
        "Update" => empty(shim.update(&decode(payload)?).await),
        "Wait" => reply(shim.wait(&decode(payload)?).await),
        "Stats" => reply(shim.stats(&decode(payload)?)),
        "Connect" => reply::<v3::ConnectResponse>(Ok(shim.connect(&decode(payload)?))),
        "Shutdown" => {
            shim.request_shutdown(&decode(payload)?);
            Ok(Vec::new())
        }
        method => Err(TaskError::Unimplemented(format!("method {method}"))),
    }
}

fn decode<M: Message + Default>(payload: &[u8]) -> Result<M, TaskError> {
    M::decode(payload).map_err(TaskError::Decode)
}

fn reply<M: Message>(result: Result<M, TaskError>) -> Result<Vec<u8>, TaskError> {
    result.map(|message| message.encode_to_vec())
}

fn empty(result: Result<(), TaskError>) -> Result<Vec<u8>, TaskError> {
    result.map(|()| Vec::new())
}
