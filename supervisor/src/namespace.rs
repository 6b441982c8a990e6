//! Namespaces: walls between clients, and their records.
//!
//! A namespace comes into being with the first object inside it, or by itself; it goes only when it is empty.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use dhow_proto::containerd::events::{NamespaceCreate, NamespaceDelete, NamespaceUpdate};
use dhow_proto::error::Kind;
use dhow_proto::namespace::{GRPC_HEADER, LEASE_HEADER};
use tonic::metadata::MetadataMap;

use crate::container::CONTAINERS;
use crate::content::{BLOBS, INGESTS};
use crate::event::Exchange;
use crate::fault::Fault;
use crate::identifier::{self, IdentifierError};
use crate::image::IMAGES;
use crate::label::{self, LabelError, Labels};
use crate::lease::{LEASED, LEASES};
use crate::metadata::{self, Collection, Durability, StoreError, Transaction, View};
use crate::sandbox::SANDBOXES;
use crate::snapshot::SNAPSHOTS;

/// A valid name of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Namespace(Arc<str>);

impl Namespace {
    /// The name.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The namespace that a request names in its metadata.
    pub(crate) fn require(metadata: &MetadataMap) -> Result<Self, NamespaceError> {
        let name =
            metadata.get(GRPC_HEADER).filter(|name| !name.is_empty()).ok_or(NamespaceError::Missing)?;
        name.to_str().unwrap_or_default().parse().map_err(NamespaceError::Invalid)
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for Namespace {
    type Err = IdentifierError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        identifier::validate(name)?;
        Ok(Self(name.into()))
    }
}

/// Where a request works: its namespace, and the lease that will hold what it makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) namespace: Namespace,
    pub(crate) lease: Option<String>,
}

impl Scope {
    /// The scope that a request names in its metadata.
    pub(crate) fn require(metadata: &MetadataMap) -> Result<Self, NamespaceError> {
        let namespace = Namespace::require(metadata)?;
        let lease = metadata.get(LEASE_HEADER).and_then(|lease| lease.to_str().ok());
        Ok(Self { namespace, lease: lease.filter(|lease| !lease.is_empty()).map(str::to_owned) })
    }
}

impl From<Namespace> for Scope {
    fn from(namespace: Namespace) -> Self {
        Self { namespace, lease: None }
    }
}

/// A failure around namespaces.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NamespaceError {
    #[error("namespace is required")]
    Missing,
    #[error("namespace validation")]
    Invalid(#[source] IdentifierError),
    #[error(transparent)]
    Name(IdentifierError),
    #[error("namespace.Labels")]
    Label(#[from] LabelError),
    #[error("namespace {0:?}")]
    NotFound(String),
    #[error("namespace {0:?}")]
    AlreadyExists(String),
    #[error("namespace {namespace:?} must be empty, but it still has {}", remains.join(", "))]
    NotEmpty { namespace: String, remains: Vec<String> },
    #[error("cannot update {0:?} field")]
    Field(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for NamespaceError {
    fn kind(&self) -> Kind {
        match self {
            Self::Missing | Self::NotEmpty { .. } => Kind::FailedPrecondition,
            Self::Invalid(_) | Self::Name(_) | Self::Label(_) | Self::Field(_) => Kind::InvalidArgument,
            Self::NotFound(_) => Kind::NotFound,
            Self::AlreadyExists(_) => Kind::AlreadyExists,
            Self::Store(error) => error.kind(),
        }
    }
}

/// What is kept of a namespace.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Record {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(crate) labels: Labels,
}

/// The records of namespaces.
pub(crate) const NAMESPACES: Collection<Record> = Collection::new("namespace");

/// Makes the record of `namespace` when it is missing: something is about to live in it.
pub(crate) fn ensure(transaction: &mut Transaction<'_>, namespace: &Namespace) -> Result<(), StoreError> {
    if NAMESPACES.contains(transaction, &[namespace.as_str()])? {
        return Ok(());
    }
    let record = Record { name: namespace.to_string(), labels: Labels::new() };
    NAMESPACES.put(transaction, &[namespace.as_str()], &record)
}

/// The store of namespaces.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    metadata: metadata::Store,
    events: Exchange,
}

impl Store {
    /// Namespaces kept in `metadata`, their changes published on `events`.
    pub(crate) fn new(metadata: metadata::Store, events: Exchange) -> Self {
        Self { metadata, events }
    }

    /// The record of `name`; as in containerd, one that does not exist has no labels.
    pub(crate) fn get(&self, name: &str) -> Result<Record, NamespaceError> {
        let record = NAMESPACES.get(&self.metadata.read()?, &[name])?;
        Ok(record.unwrap_or_else(|| Record { name: name.to_owned(), labels: Labels::new() }))
    }

    /// All records, by name.
    pub(crate) fn list(&self) -> Result<Vec<Record>, NamespaceError> {
        Ok(NAMESPACES.list(&self.metadata.read()?, &[], |_| true)?)
    }

    /// Makes a namespace.
    pub(crate) async fn create(&self, record: Record) -> Result<Record, NamespaceError> {
        identifier::validate(&record.name).map_err(NamespaceError::Name)?;
        label::validate(&record.labels)?;
        let insert = move |transaction: &mut Transaction<'_>| {
            if NAMESPACES.contains(transaction, &[&record.name])? {
                return Err(NamespaceError::AlreadyExists(record.name.clone()));
            }
            NAMESPACES.put(transaction, &[&record.name], &record)?;
            Ok(record.clone())
        };
        let events = self.events.clone();
        let tell = move |new: &Record| {
            let event = NamespaceCreate { name: new.name.clone(), labels: to_map(&new.labels) };
            events.publish(&new.name, "/namespaces/create", &event);
        };
        self.metadata.write_then(Durability::Disk, insert, tell).await
    }

    /// Changes the labels of a namespace: those that `mask` names, or all. As in containerd, one that is missing is
    /// made.
    pub(crate) async fn update(&self, record: Record, mask: Vec<String>) -> Result<Record, NamespaceError> {
        identifier::validate(&record.name).map_err(NamespaceError::Name)?;
        label::validate(&record.labels)?;
        let mask = if mask.is_empty() { vec!["labels".to_owned()] } else { mask };
        let change = move |transaction: &mut Transaction<'_>| {
            let known = NAMESPACES.get(transaction, &[&record.name])?;
            let mut updated =
                known.unwrap_or_else(|| Record { name: record.name.clone(), labels: Labels::new() });
            for path in &mask {
                if !label::apply_mask(path, &mut updated.labels, &record.labels) {
                    return Err(NamespaceError::Field(path.clone()));
                }
            }
            NAMESPACES.put(transaction, &[&record.name], &updated)?;
            Ok(updated)
        };
        let events = self.events.clone();
        let tell = move |updated: &Record| {
            let event = NamespaceUpdate { name: updated.name.clone(), labels: to_map(&updated.labels) };
            events.publish(&updated.name, "/namespaces/update", &event);
        };
        self.metadata.write_then(Durability::Disk, change, tell).await
    }

    /// Removes an empty namespace.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), NamespaceError> {
        let name = name.to_owned();
        let remove = move |transaction: &mut Transaction<'_>| {
            let remains = remains(transaction, &name)?;
            if !remains.is_empty() {
                return Err(NamespaceError::NotEmpty { namespace: name.clone(), remains });
            }
            if !NAMESPACES.remove(transaction, &[&name])? {
                return Err(NamespaceError::NotFound(name.clone()));
            }
            // Leases and unfinished writes do not keep a namespace; they go with it.
            LEASES.clear(transaction, &[&name])?;
            LEASED.clear(transaction, &[&name])?;
            INGESTS.clear(transaction, &[&name])?;
            Ok(name.clone())
        };
        let events = self.events.clone();
        let tell = move |name: &String| {
            events.publish(name, "/namespaces/delete", &NamespaceDelete { name: name.clone() });
        };
        self.metadata.write_then(Durability::Disk, remove, tell).await.map(drop)
    }
}

/// The kinds of objects that are still in `namespace`, in containerd's words.
fn remains(view: &impl View, namespace: &str) -> Result<Vec<String>, StoreError> {
    let mut remains = Vec::new();
    if !IMAGES.is_empty(view, &[namespace])? {
        remains.push("images".to_owned());
    }
    if !BLOBS.is_empty(view, &[namespace])? {
        remains.push("blobs".to_owned());
    }
    if !CONTAINERS.is_empty(view, &[namespace])? {
        remains.push("containers".to_owned());
    }
    if !SANDBOXES.is_empty(view, &[namespace])? {
        remains.push("sandboxes".to_owned());
    }
    SNAPSHOTS.each(view, &[namespace], |names, _| {
        let text = format!("snapshots on {:?} snapshotter", names.first().map_or("", String::as_str));
        if remains.last() != Some(&text) {
            remains.push(text);
        }
        Ok(())
    })?;
    Ok(remains)
}

/// Labels as generated messages hold them.
pub(crate) fn to_map(labels: &Labels) -> HashMap<String, String> {
    labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}
