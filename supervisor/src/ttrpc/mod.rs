//! ttrpc over tokio: the client that calls shims, and the server that shims send their events to.
//!
//! Owns: connections and which reply belongs to which call. Does not own: the framing (`dhow_proto::ttrpc`), nor what
//! is said.

mod client;
mod server;
#[cfg(test)]
mod tests;

pub(crate) use client::{CallError, Client};
pub(crate) use server::serve;
