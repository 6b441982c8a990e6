//! Leases: what a client holds against garbage collection while it works.
//!
//! Owns: the records of leases and of the resources that they hold. A request that names a lease puts what it makes
//! into it, in the same transaction ([`hold`]).

use std::fmt;

use dhow_proto::error::Kind;
use prost_types::Timestamp;

use crate::content::Digest;
use crate::fault::Fault;
use crate::filter::{Adaptor, Filter, FilterError};
use crate::gc::Trigger;
use crate::label::{self, LabelError, Labels};
use crate::metadata::{self, Collection, Durability, StoreError, Transaction, View};
use crate::namespace::{self, Namespace, Scope};

/// A lease.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Lease {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) created_at: Option<Timestamp>,
    #[prost(btree_map = "string, string", tag = "3")]
    pub(crate) labels: Labels,
}

impl Adaptor for Lease {
    fn field(&self, path: &[&str]) -> Option<String> {
        match path {
            ["id"] => Some(self.id.clone()).filter(|id| !id.is_empty()),
            ["labels", rest @ ..] => label::field(rest, &self.labels),
            _ => None,
        }
    }
}

/// The records of leases.
pub(crate) const LEASES: Collection<Lease> = Collection::new("lease");
/// The resources of leases.
pub(crate) const LEASED: Collection<()> = Collection::new("leased");

/// Something that a lease can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resource {
    Content(String),
    Ingest(String),
    Image(String),
    Mount(String),
    Snapshot { snapshotter: String, key: String },
}

impl Resource {
    /// The resource of type `kind`, as clients write it, with this `id`.
    pub(crate) fn parse(kind: &str, id: &str) -> Result<Self, LeaseError> {
        let (group, rest) = kind.split_once('/').map_or((kind, None), |(group, rest)| (group, Some(rest)));
        let known = matches!(group, "ingests" | "images" | "mounts" | "snapshots");
        if known && id.is_empty() {
            return Err(LeaseError::NoResource(kind.to_owned()));
        }
        match (group, rest) {
            ("content", None) => match id.parse::<Digest>() {
                Ok(digest) => Ok(Self::Content(digest.to_string())),
                Err(source) => Err(LeaseError::Content { id: id.to_owned(), source }),
            },
            ("ingests", None) => Ok(Self::Ingest(id.to_owned())),
            ("images", None) => Ok(Self::Image(id.to_owned())),
            ("mounts", None) => Ok(Self::Mount(id.to_owned())),
            ("content" | "ingests" | "images" | "mounts", Some(_)) => Err(LeaseError::Kind(kind.to_owned())),
            ("snapshots", Some(snapshotter)) if !snapshotter.is_empty() && !snapshotter.contains('/') => {
                Ok(Self::Snapshot { snapshotter: snapshotter.to_owned(), key: id.to_owned() })
            }
            ("snapshots", _) => Err(LeaseError::Snapshot(kind.to_owned())),
            _ => Err(LeaseError::Unknown(kind.to_owned())),
        }
    }

    /// The name of this resource.
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Content(id) | Self::Ingest(id) | Self::Image(id) | Self::Mount(id) => id,
            Self::Snapshot { key, .. } => key,
        }
    }
}

/// The type, as clients write it.
impl fmt::Display for Resource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Content(_) => formatter.write_str("content"),
            Self::Ingest(_) => formatter.write_str("ingests"),
            Self::Image(_) => formatter.write_str("images"),
            Self::Mount(_) => formatter.write_str("mounts"),
            Self::Snapshot { snapshotter, .. } => write!(formatter, "snapshots/{snapshotter}"),
        }
    }
}

/// A failure around leases.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LeaseError {
    #[error("lease {0:?}")]
    NotFound(String),
    #[error("lease does not exist")]
    Absent,
    #[error("lease {0:?}")]
    AlreadyExists(String),
    #[error("lease id must be provided")]
    NoId,
    #[error("lease.Labels")]
    Label(#[from] LabelError),
    #[error("invalid resource type {0}")]
    Kind(String),
    #[error("invalid snapshot resource type {0}")]
    Snapshot(String),
    #[error("a resource of type {0} needs an id")]
    NoResource(String),
    #[error("resource type {0} not supported yet")]
    Unknown(String),
    #[error("invalid content resource id {id}")]
    Content { id: String, source: crate::content::DigestError },
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for LeaseError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) | Self::Absent => Kind::NotFound,
            Self::AlreadyExists(_) => Kind::AlreadyExists,
            Self::NoId | Self::Label(_) | Self::Kind(_) | Self::Snapshot(_) => Kind::InvalidArgument,
            Self::NoResource(_) | Self::Content { .. } | Self::Filter(_) => Kind::InvalidArgument,
            Self::Unknown(_) => Kind::Unimplemented,
            Self::Store(error) => error.kind(),
        }
    }
}

/// The store of leases.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    metadata: metadata::Store,
    collector: Trigger,
}

impl Store {
    /// Leases kept in `metadata`; what they let go of is told `collector`.
    pub(crate) fn new(metadata: metadata::Store, collector: Trigger) -> Self {
        Self { metadata, collector }
    }

    /// Makes a lease.
    pub(crate) async fn create(
        &self,
        namespace: &Namespace,
        id: &str,
        labels: Labels,
    ) -> Result<Lease, LeaseError> {
        if id.is_empty() {
            return Err(LeaseError::NoId);
        }
        label::validate(&labels)?;
        let created_at = Some(std::time::SystemTime::now().into());
        let lease = Lease { id: id.to_owned(), created_at, labels };
        let (namespace, new) = (namespace.clone(), lease.clone());
        self.metadata
            .write(Durability::Process, move |transaction| {
                if LEASES.contains(transaction, &[namespace.as_str(), &new.id])? {
                    return Err(LeaseError::AlreadyExists(new.id.clone()));
                }
                namespace::ensure(transaction, &namespace)?;
                Ok(LEASES.put(transaction, &[namespace.as_str(), &new.id], &new)?)
            })
            .await?;
        Ok(lease)
    }

    /// Gives a lease up; what only it held may be collected.
    pub(crate) async fn delete(&self, namespace: &Namespace, id: &str) -> Result<(), LeaseError> {
        let (namespace, id) = (namespace.clone(), id.to_owned());
        let remove = move |transaction: &mut Transaction<'_>| {
            if !LEASES.remove(transaction, &[namespace.as_str(), &id])? {
                return Err(LeaseError::NotFound(id.clone()));
            }
            Ok(LEASED.clear(transaction, &[namespace.as_str(), &id])?)
        };
        let collector = self.collector.clone();
        self.metadata.write_then(Durability::Process, remove, move |()| collector.pull()).await
    }

    /// The leases that `filters` want, by id.
    pub(crate) fn list(&self, namespace: &Namespace, filters: &[String]) -> Result<Vec<Lease>, LeaseError> {
        let filter = Filter::parse(filters)?;
        let view = self.metadata.read()?;
        Ok(LEASES.list(&view, &[namespace.as_str()], |lease| filter.matches(lease))?)
    }

    /// Puts `resource` into a lease.
    pub(crate) async fn add_resource(
        &self,
        namespace: &Namespace,
        id: &str,
        resource: Resource,
    ) -> Result<(), LeaseError> {
        let put = |transaction: &mut Transaction<'_>, path: &[&str]| LEASED.put(transaction, path, &());
        self.change_resource(namespace, id, resource, put).await
    }

    /// Takes `resource` out of a lease, which need not hold it.
    pub(crate) async fn delete_resource(
        &self,
        namespace: &Namespace,
        id: &str,
        resource: Resource,
    ) -> Result<(), LeaseError> {
        // What only this held is found by the collection that the end of the lease asks for.
        let remove =
            |transaction: &mut Transaction<'_>, path: &[&str]| LEASED.remove(transaction, path).map(drop);
        self.change_resource(namespace, id, resource, remove).await
    }

    async fn change_resource(
        &self,
        namespace: &Namespace,
        id: &str,
        resource: Resource,
        change: fn(&mut Transaction<'_>, &[&str]) -> Result<(), StoreError>,
    ) -> Result<(), LeaseError> {
        let (namespace, id) = (namespace.clone(), id.to_owned());
        self.metadata
            .write(Durability::Process, move |transaction| {
                require(transaction, &namespace, &id)?;
                let kind = resource.to_string();
                Ok(change(transaction, &[namespace.as_str(), &id, &kind, resource.id()])?)
            })
            .await
    }

    /// What a lease holds.
    pub(crate) fn resources(&self, namespace: &Namespace, id: &str) -> Result<Vec<Resource>, LeaseError> {
        let view = self.metadata.read()?;
        require(&view, namespace, id)?;
        let mut resources = Vec::new();
        LEASED.each(&view, &[namespace.as_str(), id], |names, ()| {
            if let [kind, resource] = names
                && let Ok(resource) = Resource::parse(kind, resource)
            {
                resources.push(resource);
            }
            Ok(())
        })?;
        Ok(resources)
    }
}

fn require(view: &impl View, namespace: &Namespace, id: &str) -> Result<(), LeaseError> {
    match LEASES.contains(view, &[namespace.as_str(), id])? {
        true => Ok(()),
        false => Err(LeaseError::NotFound(id.to_owned())),
    }
}

/// A name for a lease that was given none: when it was made, and something random.
pub(crate) fn random_id() -> String {
    let mut bytes = [0; 6];
    // Without randomness the clock alone must do; a clash is refused, not shared.
    let random = getrandom::fill(&mut bytes).map(|()| hex::encode(bytes)).unwrap_or_default();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{}-{random}", now.as_nanos())
}

/// Puts `resource` into the lease of `scope`, if it has one.
pub(crate) fn hold(
    transaction: &mut Transaction<'_>,
    scope: &Scope,
    resource: &Resource,
) -> Result<(), LeaseError> {
    let Some(id) = &scope.lease else { return Ok(()) };
    let namespace = scope.namespace.as_str();
    if !LEASES.contains(transaction, &[namespace, id])? {
        return Err(LeaseError::Absent);
    }
    Ok(LEASED.put(transaction, &[namespace, id, &resource.to_string(), resource.id()], &())?)
}

/// Takes `resource` out of the lease of `scope`, if it has one that holds it.
pub(crate) fn release(
    transaction: &mut Transaction<'_>,
    scope: &Scope,
    resource: &Resource,
) -> Result<(), StoreError> {
    if let Some(id) = &scope.lease {
        let namespace = scope.namespace.as_str();
        LEASED.remove(transaction, &[namespace, id, &resource.to_string(), resource.id()])?;
    }
    Ok(())
}
