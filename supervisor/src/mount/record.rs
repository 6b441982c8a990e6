//! What is remembered of an activation.

use dhow_proto::containerd::types::{ActiveMount, Mount};
use prost_types::Timestamp;

use crate::filter::Adaptor;
use crate::label::{self, Labels};
use crate::metadata::Collection;

/// A list of mounts, of which the first are mounted.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Activation {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    /// The number that names its folder.
    #[prost(uint64, tag = "2")]
    pub(crate) number: u64,
    /// What is mounted.
    #[prost(message, repeated, tag = "3")]
    pub(crate) active: Vec<ActiveMount>,
    /// What is left to the client.
    #[prost(message, repeated, tag = "4")]
    pub(crate) system: Vec<Mount>,
    #[prost(btree_map = "string, string", tag = "5")]
    pub(crate) labels: Labels,
    #[prost(message, optional, tag = "6")]
    pub(crate) created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "7")]
    pub(crate) updated_at: Option<Timestamp>,
    /// Whether all of `active` was mounted.
    #[prost(bool, tag = "8")]
    pub(crate) complete: bool,
    /// Whether a lease held it from the start.
    #[prost(bool, tag = "9")]
    pub(crate) leased: bool,
}

impl Adaptor for Activation {
    fn field(&self, path: &[&str]) -> Option<String> {
        match path {
            ["name"] => Some(self.name.clone()),
            ["labels", rest @ ..] => label::field(rest, &self.labels),
            _ => None,
        }
    }
}

/// The activations of each namespace.
pub(crate) const MOUNTS: Collection<Activation> = Collection::new("mount");
