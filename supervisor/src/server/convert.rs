//! Between the records of this supervisor and the messages of containerd's API.

use dhow_proto::containerd::services::containers::v1 as containers;
use dhow_proto::containerd::services::content::v1 as content;
use dhow_proto::containerd::services::images::v1 as images;
use dhow_proto::containerd::services::leases::v1 as leases;
use dhow_proto::containerd::services::namespaces::v1 as namespaces;
use dhow_proto::containerd::services::snapshots::v1 as snapshots;
use dhow_proto::containerd::types::{self, ActivationInfo};
use prost_types::FieldMask;

use crate::container::Container;
use crate::content::{Blob, Status};
use crate::image::Image;
use crate::lease::{Lease, Resource};
use crate::mount::Activation;
use crate::namespace::to_map;
use crate::sandbox::Sandbox;
use crate::{namespace, snapshot};

/// The paths of a field mask; none when there is no mask.
pub(super) fn paths(mask: Option<FieldMask>) -> Vec<String> {
    mask.map(|mask| mask.paths).unwrap_or_default()
}

impl From<namespaces::Namespace> for namespace::Record {
    fn from(message: namespaces::Namespace) -> Self {
        Self { name: message.name, labels: message.labels.into_iter().collect() }
    }
}

impl From<namespace::Record> for namespaces::Namespace {
    fn from(record: namespace::Record) -> Self {
        Self { name: record.name, labels: to_map(&record.labels) }
    }
}

impl From<containers::Container> for Container {
    fn from(message: containers::Container) -> Self {
        let runtime = message.runtime.unwrap_or_default();
        Self {
            id: message.id,
            labels: message.labels.into_iter().collect(),
            image: message.image,
            runtime: runtime.name,
            runtime_options: runtime.options,
            spec: message.spec,
            snapshotter: message.snapshotter,
            snapshot_key: message.snapshot_key,
            created_at: message.created_at,
            updated_at: message.updated_at,
            extensions: message.extensions.into_iter().collect(),
            sandbox: message.sandbox,
        }
    }
}

impl From<Container> for containers::Container {
    fn from(record: Container) -> Self {
        let (name, options) = (record.runtime, record.runtime_options);
        Self {
            id: record.id,
            labels: to_map(&record.labels),
            image: record.image,
            runtime: Some(containers::container::Runtime { name, options }),
            spec: record.spec,
            snapshotter: record.snapshotter,
            snapshot_key: record.snapshot_key,
            created_at: record.created_at,
            updated_at: record.updated_at,
            extensions: record.extensions.into_iter().collect(),
            sandbox: record.sandbox,
        }
    }
}

impl From<types::Sandbox> for Sandbox {
    fn from(message: types::Sandbox) -> Self {
        let runtime = message.runtime.unwrap_or_default();
        Self {
            id: message.sandbox_id,
            labels: message.labels.into_iter().collect(),
            runtime: runtime.name,
            runtime_options: runtime.options,
            spec: message.spec,
            created_at: message.created_at,
            updated_at: message.updated_at,
            extensions: message.extensions.into_iter().collect(),
            sandboxer: message.sandboxer,
        }
    }
}

impl From<Sandbox> for types::Sandbox {
    fn from(record: Sandbox) -> Self {
        let (name, options) = (record.runtime, record.runtime_options);
        Self {
            sandbox_id: record.id,
            runtime: Some(types::sandbox::Runtime { name, options }),
            spec: record.spec,
            labels: to_map(&record.labels),
            created_at: record.created_at,
            updated_at: record.updated_at,
            extensions: record.extensions.into_iter().collect(),
            sandboxer: record.sandboxer,
        }
    }
}

impl From<images::Image> for Image {
    fn from(message: images::Image) -> Self {
        Self {
            name: message.name,
            labels: message.labels.into_iter().collect(),
            target: message.target,
            created_at: message.created_at,
            updated_at: message.updated_at,
        }
    }
}

impl From<Image> for images::Image {
    fn from(record: Image) -> Self {
        Self {
            name: record.name,
            labels: to_map(&record.labels),
            target: record.target,
            created_at: record.created_at,
            updated_at: record.updated_at,
        }
    }
}

impl From<content::Info> for Blob {
    fn from(message: content::Info) -> Self {
        Self {
            digest: message.digest,
            size: message.size,
            created_at: message.created_at,
            updated_at: message.updated_at,
            labels: message.labels.into_iter().collect(),
            leased: false,
        }
    }
}

impl From<Blob> for content::Info {
    fn from(record: Blob) -> Self {
        Self {
            digest: record.digest,
            size: record.size,
            created_at: record.created_at,
            updated_at: record.updated_at,
            labels: to_map(&record.labels),
        }
    }
}

impl From<Status> for content::Status {
    fn from(status: Status) -> Self {
        Self {
            started_at: status.started_at,
            updated_at: status.updated_at,
            r#ref: status.reference,
            offset: status.offset,
            total: status.total,
            expected: status.expected,
        }
    }
}

impl From<snapshots::Info> for snapshot::Record {
    fn from(message: snapshots::Info) -> Self {
        Self {
            key: message.name,
            parent: message.parent,
            kind: message.kind,
            created_at: message.created_at,
            updated_at: message.updated_at,
            labels: message.labels.into_iter().collect(),
            ..Self::default()
        }
    }
}

impl From<snapshot::Record> for snapshots::Info {
    fn from(record: snapshot::Record) -> Self {
        Self {
            name: record.key,
            parent: record.parent,
            kind: record.kind,
            created_at: record.created_at,
            updated_at: record.updated_at,
            labels: to_map(&record.labels),
        }
    }
}

impl From<Activation> for ActivationInfo {
    fn from(record: Activation) -> Self {
        let Activation { name, active, system, labels, .. } = record;
        Self { name, active, system, labels: to_map(&labels) }
    }
}

impl From<Lease> for leases::Lease {
    fn from(record: Lease) -> Self {
        Self { id: record.id, created_at: record.created_at, labels: to_map(&record.labels) }
    }
}

impl From<Resource> for leases::Resource {
    fn from(resource: Resource) -> Self {
        Self { id: resource.id().to_owned(), r#type: resource.to_string() }
    }
}
