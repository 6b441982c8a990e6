//! The wire types of Dhow's protocols, and what every speaker of them needs beside the types.
//!
//! Owns: the messages of containerd's gRPC and ttrpc services (generated from `protos/`, laid out by package),
//! the [`error::Kind`] of a failure and its gRPC code, the metadata keys that carry the namespace and the lease,
//! and how `Any` payloads are named. Does not own: any behaviour behind a service.
//!
//! Modules follow the packages: `containerd.services.tasks.v1` is [`containerd::services::tasks::v1`].

pub mod any;
#[cfg(feature = "grpc")]
pub mod connect;
pub mod error;
pub mod namespace;
pub mod runc;
pub mod ttrpc;

#[allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::use_self
)]
mod wire {
    include!(concat!(env!("OUT_DIR"), "/wire.rs"));
}

pub use wire::{containerd, google, grpc, io, runtimeoptions};
