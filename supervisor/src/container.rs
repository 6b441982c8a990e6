//! Container records: what a task is made from. A container is a record; the running thing is a task.

use dhow_proto::containerd::events::{ContainerCreate, ContainerDelete, ContainerUpdate, container_create};
use dhow_proto::error::Kind;
use prost_types::{Any, Timestamp};

use crate::extension::{self, Extensions};
use crate::fault::Fault;
use crate::filter::{Adaptor, Filter, FilterError};
use crate::identifier::{self, IdentifierError};
use crate::label::{self, LabelError, Labels};
use crate::ledger::{Ledger, News};
use crate::metadata::{Collection, Durability, Listing, StoreError, Transaction};
use crate::namespace::{self, Namespace, to_map};

/// The record of a container.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Container {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(crate) labels: Labels,
    #[prost(string, tag = "3")]
    pub(crate) image: String,
    #[prost(string, tag = "4")]
    pub(crate) runtime: String,
    #[prost(message, optional, tag = "5")]
    pub(crate) runtime_options: Option<Any>,
    #[prost(message, optional, tag = "6")]
    pub(crate) spec: Option<Any>,
    #[prost(string, tag = "7")]
    pub(crate) snapshotter: String,
    #[prost(string, tag = "8")]
    pub(crate) snapshot_key: String,
    #[prost(message, optional, tag = "9")]
    pub(crate) created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "10")]
    pub(crate) updated_at: Option<Timestamp>,
    #[prost(btree_map = "string, message", tag = "11")]
    pub(crate) extensions: Extensions,
    #[prost(string, tag = "12")]
    pub(crate) sandbox: String,
}

impl Adaptor for Container {
    fn field(&self, path: &[&str]) -> Option<String> {
        match path {
            ["id", ..] => Some(self.id.clone()),
            ["runtime", "name", ..] => Some(self.runtime.clone()),
            ["image", ..] => Some(self.image.clone()),
            ["labels", rest @ ..] => return label::field(rest, &self.labels),
            _ => None,
        }
        .filter(|value| !value.is_empty())
    }
}

/// The records of containers.
pub(crate) const CONTAINERS: Collection<Container> = Collection::new("container");

/// A failure around container records.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContainerError {
    #[error("container {id:?} in namespace {:?}", .namespace.as_str())]
    NotFound { id: String, namespace: Namespace },
    #[error("container {0:?}")]
    NoneToUpdate(String),
    #[error("container {0}")]
    NoneToDelete(String),
    #[error("container {0:?}")]
    AlreadyExists(String),
    #[error("Container.ID required")]
    NoId,
    #[error("create container failed validation")]
    Create(#[source] InvalidContainer),
    #[error("update failed validation")]
    Update(#[source] InvalidContainer),
    #[error("container.{0} field is immutable")]
    Immutable(&'static str),
    #[error("cannot update {field:?} field on {id:?}")]
    Field { field: String, id: String },
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a container record cannot be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidContainer {
    #[error("container.ID")]
    Id(#[from] IdentifierError),
    #[error("containers.Labels")]
    Label(#[from] LabelError),
    #[error("container.Extension keys must not be zero-length")]
    Extension,
    #[error("container.{0} must be set")]
    Missing(&'static str),
    #[error("container.Snapshotter must be set if container.SnapshotKey is set")]
    Snapshotter,
}

impl Fault for ContainerError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound { .. } | Self::NoneToUpdate(_) | Self::NoneToDelete(_) => Kind::NotFound,
            Self::AlreadyExists(_) => Kind::AlreadyExists,
            Self::NoId | Self::Create(_) | Self::Update(_) | Self::Immutable(_) => Kind::InvalidArgument,
            Self::Field { .. } | Self::Filter(_) => Kind::InvalidArgument,
            Self::Store(error) => error.kind(),
        }
    }
}

/// The store of container records.
///
/// A record is synced to the disk within a quarter of a second, not before the reply: it outlives any process, and
/// after a power cut its task is gone anyway.
#[derive(Debug, Clone)]
pub(crate) struct Store(Ledger);

impl Store {
    /// Containers kept in `ledger`.
    pub(crate) fn new(ledger: Ledger) -> Self {
        Self(ledger)
    }

    /// The record of `id`.
    pub(crate) fn get(&self, namespace: &Namespace, id: &str) -> Result<Container, ContainerError> {
        CONTAINERS
            .get(&self.0.read()?, &[namespace.as_str(), id])?
            .ok_or_else(|| ContainerError::NotFound { id: id.to_owned(), namespace: namespace.clone() })
    }

    /// The records that `filters` want, by id.
    pub(crate) fn list(
        &self,
        namespace: &Namespace,
        filters: &[String],
    ) -> Result<Listing<Container>, ContainerError> {
        let filter = Filter::parse(filters)?;
        let keep = move |container: &Container| filter.matches(container);
        Ok(CONTAINERS.listing(self.0.read()?, &[namespace.as_str()], keep))
    }

    /// Makes a record, and says when.
    pub(crate) async fn create(
        &self,
        namespace: &Namespace,
        mut container: Container,
    ) -> Result<Container, ContainerError> {
        validate(&container).map_err(ContainerError::Create)?;
        container.labels.retain(|_, value| !value.is_empty());
        container.created_at = Some(std::time::SystemTime::now().into());
        container.updated_at = container.created_at;
        let place = namespace.clone();
        let insert = move |transaction: &mut Transaction<'_>| {
            if CONTAINERS.contains(transaction, &[place.as_str(), &container.id])? {
                return Err(ContainerError::AlreadyExists(container.id.clone()));
            }
            namespace::ensure(transaction, &place)?;
            CONTAINERS.put(transaction, &[place.as_str(), &container.id], &container)?;
            Ok(container.clone())
        };
        let tell = |news: &News, new: &Container| {
            let (name, options) = (new.runtime.clone(), new.runtime_options.clone());
            let runtime = Some(container_create::Runtime { name, options });
            let event = ContainerCreate { id: new.id.clone(), image: new.image.clone(), runtime };
            news.publish("/containers/create", &event);
        };
        self.0.change(namespace, Durability::Process, insert, tell).await
    }

    /// Changes the fields that `mask` names, or all that may change.
    pub(crate) async fn update(
        &self,
        namespace: &Namespace,
        container: Container,
        mask: Vec<String>,
    ) -> Result<Container, ContainerError> {
        if container.id.is_empty() {
            return Err(ContainerError::NoId);
        }
        let place = namespace.clone();
        let change = move |transaction: &mut Transaction<'_>| {
            let found = CONTAINERS.get(transaction, &[place.as_str(), &container.id])?;
            let mut updated = found.ok_or_else(|| ContainerError::NoneToUpdate(container.id.clone()))?;
            apply(&mut updated, &container, &mask)?;
            validate(&updated).map_err(ContainerError::Update)?;
            updated.labels.retain(|_, value| !value.is_empty());
            updated.updated_at = Some(std::time::SystemTime::now().into());
            CONTAINERS.put(transaction, &[place.as_str(), &updated.id], &updated)?;
            Ok(updated)
        };
        let tell = |news: &News, updated: &Container| {
            news.collect();
            let event = ContainerUpdate {
                id: updated.id.clone(),
                image: updated.image.clone(),
                labels: to_map(&updated.labels),
                snapshot_key: updated.snapshot_key.clone(),
            };
            news.publish("/containers/update", &event);
        };
        self.0.change(namespace, Durability::Process, change, tell).await
    }

    /// Removes a record.
    pub(crate) async fn delete(&self, namespace: &Namespace, id: &str) -> Result<(), ContainerError> {
        let (place, gone) = (namespace.clone(), id.to_owned());
        let remove = move |transaction: &mut Transaction<'_>| match CONTAINERS
            .remove(transaction, &[place.as_str(), &gone])?
        {
            true => Ok(()),
            false => Err(ContainerError::NoneToDelete(gone.clone())),
        };
        let id = id.to_owned();
        let tell = move |news: &News, (): &()| {
            news.collect();
            news.publish("/containers/delete", &ContainerDelete { id });
        };
        self.0.change(namespace, Durability::Process, remove, tell).await
    }
}

/// Applies `mask`; without one, every field that may change is replaced, and those that may not must be equal.
fn apply(updated: &mut Container, new: &Container, mask: &[String]) -> Result<(), ContainerError> {
    if mask.is_empty() {
        if updated.snapshotter != new.snapshotter {
            return Err(ContainerError::Immutable("Snapshotter"));
        }
        if updated.runtime != new.runtime {
            return Err(ContainerError::Immutable("Runtime.Name"));
        }
        return ["labels", "spec", "extensions", "image", "snapshotkey"]
            .iter()
            .try_for_each(|path| apply_path(updated, new, path));
    }
    mask.iter().try_for_each(|path| apply_path(updated, new, path))
}

fn apply_path(updated: &mut Container, new: &Container, path: &str) -> Result<(), ContainerError> {
    if label::apply_mask(path, &mut updated.labels, &new.labels)
        || extension::apply_mask(path, &mut updated.extensions, &new.extensions)
    {
        return Ok(());
    }
    match path {
        "spec" => updated.spec.clone_from(&new.spec),
        "image" => updated.image.clone_from(&new.image),
        "snapshotkey" => updated.snapshot_key.clone_from(&new.snapshot_key),
        _ => return Err(ContainerError::Field { field: path.to_owned(), id: new.id.clone() }),
    }
    Ok(())
}

fn validate(container: &Container) -> Result<(), InvalidContainer> {
    identifier::validate(&container.id)?;
    if !extension::are_named(&container.extensions) {
        return Err(InvalidContainer::Extension);
    }
    label::validate(&container.labels)?;
    if container.runtime.is_empty() {
        return Err(InvalidContainer::Missing("Runtime.Name"));
    }
    if container.spec.is_none() {
        return Err(InvalidContainer::Missing("Spec"));
    }
    if !container.snapshot_key.is_empty() && container.snapshotter.is_empty() {
        return Err(InvalidContainer::Snapshotter);
    }
    Ok(())
}
