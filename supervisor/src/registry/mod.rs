//! Registries: the distribution protocol, version 2, as a client.
//!
//! Owns: references, the hosts that serve a registry (mirrors included), getting past their authentication, and
//! requests with their retries. Does not own what is fetched: manifests and layers are bytes here, verified by whoever
//! keeps them ([`crate::image`]).
//!
//! Everything that a server sends is limited: documents by size, redirects by number, waiting by time. Credentials go
//! to the host that they are for, and never along with a redirect.

mod auth;
mod challenge;
mod client;
mod credentials;
mod error;
mod fetch;
mod hosts;
mod push;
mod reference;
#[cfg(test)]
mod tests;

pub(crate) use client::Registry;
pub(crate) use credentials::{CredentialSource, Credentials, CredentialsError};
pub(crate) use error::RegistryError;
pub(crate) use hosts::HostsOptions;
pub(crate) use push::Source;
pub(crate) use reference::Reference;
