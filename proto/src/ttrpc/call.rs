//! Unary calls as frames: requests, replies, and failures as `google.rpc.Status`.

use std::time::Duration;

use prost::Message;

use super::{Frame, FrameError, FrameKind, KeyValue, Request, Response};
use crate::error::Kind;
use crate::google::rpc::Status;
use crate::namespace::TTRPC_HEADER;

/// A flag of requests: the client sends nothing more on this stream.
const REMOTE_CLOSED: u8 = 1;

/// How a call failed, as the other side tells it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    /// What sort of failure.
    pub kind: Kind,
    /// The other side's text.
    pub message: String,
}

/// Appends the request frame of a call to `output`.
///
/// # Errors
/// When `message` is too long for a frame.
pub fn call(
    output: &mut Vec<u8>,
    stream: u32,
    (service, method): (&str, &str),
    namespace: &str,
    timeout: Option<Duration>,
    message: &impl Message,
) -> Result<(), FrameError> {
    let request = Request {
        service: service.to_owned(),
        method: method.to_owned(),
        payload: message.encode_to_vec(),
        timeout_nano: timeout.map_or(0, |timeout| i64::try_from(timeout.as_nanos()).unwrap_or(i64::MAX)),
        metadata: vec![KeyValue { key: TTRPC_HEADER.to_owned(), value: namespace.to_owned() }],
    };
    let payload = request.encode_to_vec();
    Frame { stream, kind: FrameKind::Request, flags: REMOTE_CLOSED, payload: &payload }.encode(output)
}

/// The value of a request's metadata `key`, if it is there.
#[must_use]
pub fn metadata<'a>(request: &'a Request, key: &str) -> Option<&'a str> {
    request.metadata.iter().find(|pair| pair.key.eq_ignore_ascii_case(key)).map(|pair| pair.value.as_str())
}

/// Appends the response frame of a call that succeeded with the encoded message `payload`.
pub fn reply(output: &mut Vec<u8>, stream: u32, payload: Vec<u8>) {
    let payload = Response { status: None, payload }.encode_to_vec();
    if let Err(error) =
        (Frame { stream, kind: FrameKind::Response, flags: 0, payload: &payload }).encode(output)
    {
        failure(output, stream, Kind::ResourceExhausted, &error.to_string());
    }
}

/// Appends the response frame of a call that failed.
pub fn failure(output: &mut Vec<u8>, stream: u32, kind: Kind, message: &str) {
    let cut = message.floor_char_boundary(64 << 10);
    let status = Status { code: kind.code(), message: message[..cut].to_owned(), details: Vec::new() };
    let payload = Response { status: Some(status), payload: Vec::new() }.encode_to_vec();
    let encoded = Frame { stream, kind: FrameKind::Response, flags: 0, payload: &payload }.encode(output);
    debug_assert_eq!(encoded, Ok(()), "a status with a cut text fits a frame");
}

/// What a response frame's payload says: the encoded reply, or how the call failed.
///
/// # Errors
/// As the other side answered; [`Kind::Internal`] when the payload is no response.
pub fn result(payload: &[u8]) -> Result<Vec<u8>, CallError> {
    let response = Response::decode(payload).map_err(|error| CallError {
        kind: Kind::Internal,
        message: format!("decode ttrpc response: {error}"),
    })?;
    match response.status {
        Some(status) if status.code != 0 => {
            Err(CallError { kind: Kind::from_code(status.code), message: status.message })
        }
        _ => Ok(response.payload),
    }
}
