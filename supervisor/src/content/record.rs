//! What is remembered of content: blobs that a namespace can see, and writes that have begun.

use prost_types::Timestamp;

use crate::filter::Adaptor;
use crate::label::{self, Labels};
use crate::metadata::Collection;

/// A blob as one namespace sees it.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Blob {
    #[prost(string, tag = "1")]
    pub(crate) digest: String,
    #[prost(int64, tag = "2")]
    pub(crate) size: i64,
    #[prost(message, optional, tag = "3")]
    pub(crate) created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "4")]
    pub(crate) updated_at: Option<Timestamp>,
    #[prost(btree_map = "string, string", tag = "5")]
    pub(crate) labels: Labels,
    /// Whether a lease held it from the start: then its maker has said how long it is needed.
    #[prost(bool, tag = "6")]
    pub(crate) leased: bool,
}

impl Adaptor for Blob {
    fn field(&self, path: &[&str]) -> Option<String> {
        match path {
            ["digest", ..] => Some(self.digest.clone()),
            ["size", ..] => Some(self.size.to_string()),
            ["labels", rest @ ..] => label::field(rest, &self.labels),
            _ => None,
        }
    }
}

/// A write that has begun; its bytes are in a file of the ingest folder.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Ingest {
    #[prost(string, tag = "1")]
    pub(crate) reference: String,
    /// Name of the file.
    #[prost(string, tag = "2")]
    pub(crate) file: String,
    #[prost(int64, tag = "3")]
    pub(crate) total: i64,
    /// Digest of the blob that the file is a link to; such a file is never written.
    #[prost(string, tag = "4")]
    pub(crate) linked: String,
    #[prost(message, optional, tag = "5")]
    pub(crate) started_at: Option<Timestamp>,
    /// When it may be collected; `None` while a lease holds it.
    #[prost(message, optional, tag = "6")]
    pub(crate) expires_at: Option<Timestamp>,
}

/// How far a write has come.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Status {
    pub(crate) reference: String,
    pub(crate) offset: i64,
    pub(crate) total: i64,
    pub(crate) expected: String,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) updated_at: Option<Timestamp>,
}

impl Adaptor for Status {
    fn field(&self, path: &[&str]) -> Option<String> {
        (path.first() == Some(&"ref")).then(|| self.reference.clone())
    }
}

/// The blobs of each namespace.
pub(crate) const BLOBS: Collection<Blob> = Collection::new("content");
/// The writes of each namespace that have begun.
pub(crate) const INGESTS: Collection<Ingest> = Collection::new("ingest");
/// The namespaces that can see a blob.
pub(crate) const HOLDERS: Collection<()> = Collection::new("holder");
