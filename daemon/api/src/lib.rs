//! The JSON documents of the Docker Engine API, shared by the daemon that writes them and the client that reads them.
//!
//! Owns: one struct a document, field names and `null`/`""`/`[]`/`0` as Moby emits them, and [`decode`], the one way
//! in. Does not own: paths, status codes, defaults of the daemon, or any behaviour.
//!
//! Every struct reads what clients in the field send: see [`decode`] for what is forgiven. Optional lists and maps are
//! `Option`: Moby tells `null` from `[]`, and so do clients that compare documents.

pub mod auth;
pub mod container;
pub mod decode;
pub mod disk_usage;
pub mod endpoint;
pub mod event;
pub mod exec;
pub mod image;
pub mod message;
pub mod mount;
pub mod network;
pub mod system;
pub mod volume;

use serde::{Deserialize, Serialize};

/// The newest version of the API that these documents speak.
pub const API_VERSION: &str = "1.51";
/// The oldest version of the API that the daemon answers.
pub const MIN_API_VERSION: &str = "1.24";

/// The body of every answer with an error status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorMessage {
    /// What went wrong, for people.
    pub message: String,
}

/// `{}`: the value of maps that Moby uses as sets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// Whether `value` is what an absent field means; such fields are left out where Moby leaves them out.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
