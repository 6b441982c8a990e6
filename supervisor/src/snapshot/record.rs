//! What is remembered of snapshots.

use prost_types::Timestamp;

use crate::filter::Adaptor;
use crate::label::{self, Labels};
use crate::metadata::Collection;

/// What a snapshot is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum Kind {
    /// Nothing that we know.
    Unknown = 0,
    /// Read-only, on a parent.
    View = 1,
    /// Read-write, on a parent or on nothing.
    Active = 2,
    /// Finished; others may stand on it.
    Committed = 3,
}

/// A snapshot.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Record {
    /// The key of a view or an active snapshot, the name of a committed one.
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(string, tag = "2")]
    pub(crate) parent: String,
    #[prost(enumeration = "Kind", tag = "3")]
    pub(crate) kind: i32,
    #[prost(message, optional, tag = "4")]
    pub(crate) created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "5")]
    pub(crate) updated_at: Option<Timestamp>,
    #[prost(btree_map = "string, string", tag = "6")]
    pub(crate) labels: Labels,
    /// The number that names its directory.
    #[prost(uint64, tag = "7")]
    pub(crate) directory: u64,
    /// Bytes on disk, of a committed one.
    #[prost(int64, tag = "8")]
    pub(crate) size: i64,
    /// Inodes, of a committed one.
    #[prost(int64, tag = "9")]
    pub(crate) inodes: i64,
    /// Whether a lease held it from the start: then its maker has said how long it is needed.
    #[prost(bool, tag = "10")]
    pub(crate) leased: bool,
}

impl Adaptor for Record {
    fn field(&self, path: &[&str]) -> Option<String> {
        match path {
            ["kind", ..] => match self.kind() {
                Kind::Active => Some("active".to_owned()),
                Kind::View => Some("view".to_owned()),
                Kind::Committed => Some("committed".to_owned()),
                Kind::Unknown => None,
            },
            ["name", ..] => Some(self.key.clone()),
            ["parent", ..] => Some(self.parent.clone()),
            ["labels", rest @ ..] => label::field(rest, &self.labels),
            _ => None,
        }
    }
}

/// The snapshots of each namespace and snapshotter.
pub(crate) const SNAPSHOTS: Collection<Record> = Collection::new("snapshot");
/// The snapshots that stand on another.
pub(crate) const CHILDREN: Collection<()> = Collection::new("child");
