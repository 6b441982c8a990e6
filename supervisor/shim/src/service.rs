//! The services of the shim: Task, version 2 and 3, which differ in their name alone, and Sandbox.

use std::rc::Rc;

use dhow_linux::trace;
use dhow_proto::containerd::runtime::sandbox::v1 as sandbox;
use dhow_proto::containerd::task::v3;
use dhow_proto::ttrpc::Request;
use prost::Message;

use crate::task::{Shim, TaskError};

/// Decodes a request, calls the shim, encodes the reply.
pub(crate) async fn call(shim: &Rc<Shim>, request: &Request) -> Result<Vec<u8>, TaskError> {
    // A wait lasts as long as its process: it is no step of anything.
    let _span = (!only_waits(request)).then(|| trace::span("shim", &format!("Task/{}", request.method)));
    match request.service.as_str() {
        "containerd.task.v2.Task" | "containerd.task.v3.Task" => call_task(shim, request).await,
        "containerd.runtime.sandbox.v1.Sandbox" => call_sandbox(shim, request).await,
        service => Err(TaskError::Unimplemented(format!("service {service}"))),
    }
}

/// Whether the call is over as soon as nobody waits for its answer any more.
pub(crate) fn only_waits(request: &Request) -> bool {
    matches!(request.method.as_str(), "Wait" | "WaitSandbox")
}

async fn call_task(shim: &Rc<Shim>, request: &Request) -> Result<Vec<u8>, TaskError> {
    let payload = request.payload.as_slice();
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

async fn call_sandbox(shim: &Rc<Shim>, request: &Request) -> Result<Vec<u8>, TaskError> {
    let payload = request.payload.as_slice();
    match request.method.as_str() {
        "CreateSandbox" => empty(shim.create_sandbox(decode(payload)?)),
        "StartSandbox" => {
            reply(shim.start_sandbox(&decode::<sandbox::StartSandboxRequest>(payload)?.sandbox_id))
        }
        "Platform" => reply(shim.platform(&decode::<sandbox::PlatformRequest>(payload)?.sandbox_id)),
        "StopSandbox" => empty(shim.stop_sandbox(&decode(payload)?).await),
        "WaitSandbox" => {
            reply(shim.wait_sandbox(&decode::<sandbox::WaitSandboxRequest>(payload)?.sandbox_id).await)
        }
        "SandboxStatus" => reply(shim.sandbox_status(&decode(payload)?)),
        "PingSandbox" => empty(shim.ping_sandbox(&decode::<sandbox::PingRequest>(payload)?.sandbox_id)),
        "SandboxMetrics" => {
            reply(shim.sandbox_metrics(&decode::<sandbox::SandboxMetricsRequest>(payload)?.sandbox_id))
        }
        "ShutdownSandbox" => empty(
            shim.shutdown_sandbox(&decode::<sandbox::ShutdownSandboxRequest>(payload)?.sandbox_id).await,
        ),
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
