//! ttrpc: containerd's RPC for small processes, protobuf in length-prefixed frames on a Unix socket.
//!
//! Owns: the framing ([`Frame`], [`Decoder`]) and how calls, replies and failures are put into frames. Does not own:
//! sockets, deadlines or services: the shim drives this code from epoll, the supervisor from tokio.
//!
//! ```text
//! | length: u32 BE | stream: u32 BE | kind: u8 | flags: u8 | payload: length bytes |
//! ```
//! A client numbers its calls with odd streams. Only unary calls exist here: one request frame, one response frame.

mod call;
mod frame;
#[cfg(test)]
mod tests;

pub use call::{CallError, call, failure, metadata, reply, result};
pub use frame::{Decoder, Frame, FrameError, FrameKind, HEADER_LENGTH, Incoming, PAYLOAD_LIMIT};

pub use crate::wire::ttrpc::{KeyValue, Request, Response};
