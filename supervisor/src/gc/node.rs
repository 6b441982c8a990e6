//! What garbage collection sees of the store: nodes, and the keys behind them.

use std::fmt;

use crate::container::CONTAINERS;
use crate::content::{BLOBS, INGESTS};
use crate::image::IMAGES;
use crate::lease::{LEASED, LEASES, Resource};
use crate::metadata::key;
use crate::mount::MOUNTS;
use crate::sandbox::SANDBOXES;
use crate::snapshot::SNAPSHOTS;

/// An object that can refer, be referred to, or be collected.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Node {
    pub(crate) namespace: String,
    pub(crate) subject: Subject,
}

/// Which object of its namespace a node is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Subject {
    Lease(String),
    Container(String),
    Sandbox(String),
    Image(String),
    Snapshot { snapshotter: String, key: String },
    Ingest(String),
    Content(String),
    Mount(String),
}

/// A node on the way of a mark: through a flat lease only what a node stands on counts, not what its labels name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Step {
    pub(crate) node: Node,
    pub(crate) flat: bool,
}

impl Node {
    /// The node of `subject` in `namespace`.
    pub(crate) fn new(namespace: &str, subject: Subject) -> Self {
        Self { namespace: namespace.to_owned(), subject }
    }

    /// The node whose record is at `key` of the store, or that the record there holds.
    pub(crate) fn at(key: &[u8]) -> Option<Self> {
        let path = key::decode(key);
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        let (collection, rest) = names.split_first()?;
        let (namespace, rest) = rest.split_first()?;
        let subject = match (*collection, rest) {
            (name, [id]) if name == LEASES.name() => Subject::Lease((*id).to_owned()),
            (name, [id]) if name == CONTAINERS.name() => Subject::Container((*id).to_owned()),
            (name, [id]) if name == SANDBOXES.name() => Subject::Sandbox((*id).to_owned()),
            (name, [id]) if name == IMAGES.name() => Subject::Image((*id).to_owned()),
            (name, [id]) if name == BLOBS.name() => Subject::Content((*id).to_owned()),
            (name, [id]) if name == INGESTS.name() => Subject::Ingest((*id).to_owned()),
            (name, [id]) if name == MOUNTS.name() => Subject::Mount((*id).to_owned()),
            (name, [snapshotter, key]) if name == SNAPSHOTS.name() => {
                Subject::Snapshot { snapshotter: (*snapshotter).to_owned(), key: (*key).to_owned() }
            }
            (name, [_, kind, id]) if name == LEASED.name() => Resource::parse(kind, id).ok()?.into(),
            _ => return None,
        };
        Some(Self::new(namespace, subject))
    }

    /// This node with all that its labels name.
    pub(crate) fn deep(self) -> Step {
        Step { node: self, flat: false }
    }
}

impl From<Resource> for Subject {
    fn from(resource: Resource) -> Self {
        match resource {
            Resource::Content(digest) => Self::Content(digest),
            Resource::Ingest(reference) => Self::Ingest(reference),
            Resource::Image(name) => Self::Image(name),
            Resource::Mount(name) => Self::Mount(name),
            Resource::Snapshot { snapshotter, key } => Self::Snapshot { snapshotter, key },
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let namespace = &self.namespace;
        match &self.subject {
            Subject::Lease(id) => write!(formatter, "lease {namespace}/{id}"),
            Subject::Container(id) => write!(formatter, "container {namespace}/{id}"),
            Subject::Sandbox(id) => write!(formatter, "sandbox {namespace}/{id}"),
            Subject::Image(name) => write!(formatter, "image {namespace}/{name}"),
            Subject::Snapshot { snapshotter, key } => {
                write!(formatter, "snapshot {namespace}/{snapshotter}/{key}")
            }
            Subject::Ingest(reference) => write!(formatter, "ingest {namespace}/{reference}"),
            Subject::Content(digest) => write!(formatter, "content {namespace}/{digest}"),
            Subject::Mount(name) => write!(formatter, "mount {namespace}/{name}"),
        }
    }
}
