//! What moving images works on: the stores, and how many layers move at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dhow_proto::error::Kind;
use tokio::sync::Semaphore;

use super::manifest::{Descriptor, ManifestError};

use super::{ImageError, Store};
use crate::content::{self, ContentError, Digest};
use crate::diff::ApplyError;
use crate::fault::Fault;
use crate::label::Labels;
use crate::lease::{self, LeaseError, Resource};
use crate::namespace::Scope;
use crate::registry::RegistryError;
use crate::snapshot::{SnapshotError, Snapshots, Snapshotters};
use crate::turn::Turns;

/// The diff ID of a layer's blob.
pub(crate) const UNCOMPRESSED: &str = "containerd.io/uncompressed";
/// Which repositories of a host have a blob: a prefix, followed by the host.
const SOURCE: &str = "containerd.io/distribution.source.";
/// What a blob refers to: a prefix.
const REFERENCE: &str = "containerd.io/gc.ref.content.";
/// Which snapshot a configuration refers to: a prefix, followed by the snapshotter.
const SNAPSHOT: &str = "containerd.io/gc.ref.snapshot.";
/// How long a lease of ours holds when it is not given up: we died.
const LEASE: Duration = Duration::from_secs(24 * 60 * 60);
/// The fewest layers that move at once.
const LAYERS: usize = 4;

/// The stores, for moving images between them; clones share everything.
#[derive(Debug, Clone)]
pub(crate) struct Transport {
    pub(crate) content: content::Store,
    pub(crate) images: Store,
    pub(crate) leases: lease::Store,
    pub(crate) snapshotters: Snapshotters,
    /// Blobs and layers that somebody is at.
    pub(super) turns: Turns,
    /// Layers that move.
    pub(super) layers: Arc<Semaphore>,
}

/// Why an image could not be moved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    /// The registry.
    #[error("{action}")]
    Registry {
        /// What was being done.
        action: String,
        /// Why.
        source: RegistryError,
    },
    /// The content store.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// A snapshotter.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A lease.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// An image's record.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A document of the image.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Files of a layer.
    #[error("failed to extract layer ({media_type} {layer})")]
    Apply {
        /// Type of the layer.
        media_type: String,
        /// Its digest.
        layer: String,
        /// Why.
        source: ApplyError,
    },
    /// A layer is not what the configuration says.
    #[error("wrong diff id {actual} calculated on extraction of layer {layer}, expected {expected}")]
    DiffId {
        /// The layer.
        layer: String,
        /// What its archive hashes to.
        actual: Digest,
        /// What the configuration says.
        expected: Digest,
    },
    /// An archive of images.
    #[error(transparent)]
    Archive(#[from] super::archive::ImageArchiveError),
    /// No image of an index is wanted.
    #[error("no match for platform in manifest {0}")]
    Platform(String),
}

impl Fault for TransportError {
    fn kind(&self) -> Kind {
        match self {
            Self::Registry { source, .. } => source.kind(),
            Self::Content(error) => error.kind(),
            Self::Snapshot(error) => error.kind(),
            Self::Lease(error) => error.kind(),
            Self::Image(error) => error.kind(),
            Self::Manifest(error) => error.kind(),
            Self::Apply { source, .. } => source.kind(),
            Self::DiffId { .. } => Kind::FailedPrecondition,
            Self::Archive(error) => error.kind(),
            Self::Platform(_) => Kind::NotFound,
        }
    }
}

impl Transport {
    /// Moves images between these stores.
    pub(crate) fn new(
        content: content::Store,
        images: Store,
        leases: lease::Store,
        snapshotters: Snapshotters,
    ) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let layers = Arc::new(Semaphore::new(cores.max(LAYERS)));
        Self { content, images, leases, snapshotters, turns: Turns::default(), layers }
    }

    /// A scope with a lease: that of `scope`, or one that is given up when what is returned is dropped. Nothing that is
    /// made in it is collected before it is done.
    pub(crate) async fn lease(&self, scope: &Scope) -> Result<Leased, TransportError> {
        if scope.lease.is_some() {
            return Ok(Leased { scope: scope.clone(), own: None });
        }
        let id = unique();
        let until = jiff::Timestamp::try_from(SystemTime::now() + LEASE).unwrap_or_default();
        let labels = Labels::from([("containerd.io/gc.expire".to_owned(), until.to_string())]);
        let namespace = scope.namespace.clone();
        self.leases.create(&namespace, &id, labels).await?;
        Ok(Leased { scope: Scope { namespace, lease: Some(id) }, own: Some(self.leases.clone()) })
    }

    /// Puts an existing snapshot into the lease of `scope`; false when it does not exist.
    pub(super) async fn hold_snapshot(
        &self,
        scope: &Scope,
        snapshots: &Snapshots,
        name: &Digest,
    ) -> Result<bool, TransportError> {
        match snapshots.stat(&scope.namespace, name.as_str()) {
            Err(SnapshotError::NotFound(_)) => return Ok(false),
            other => drop(other?),
        }
        if let Some(lease) = &scope.lease {
            let (snapshotter, key) = (snapshots.name().to_owned(), name.to_string());
            let resource = Resource::Snapshot { snapshotter, key };
            self.leases.add_resource(&scope.namespace, lease, resource).await?;
        }
        // It may have gone between the look and the lease.
        Ok(snapshots.stat(&scope.namespace, name.as_str()).is_ok())
    }

    /// Puts an existing blob into the lease of `scope`.
    pub(super) async fn hold_content(&self, scope: &Scope, digest: &Digest) -> Result<(), TransportError> {
        if let Some(lease) = &scope.lease {
            let resource = Resource::Content(digest.to_string());
            self.leases.add_resource(&scope.namespace, lease, resource).await?;
        }
        Ok(())
    }

    /// Sets labels of a blob, leaving others alone.
    pub(super) async fn label(
        &self,
        scope: &Scope,
        digest: &Digest,
        labels: Labels,
    ) -> Result<(), TransportError> {
        let known = self.content.info(&scope.namespace, digest)?;
        if labels.iter().all(|(name, value)| known.labels.get(name) == Some(value)) {
            return Ok(());
        }
        let mask = labels.keys().map(|name| format!("labels.{name}")).collect();
        let blob = content::Blob { digest: digest.to_string(), labels, ..content::Blob::default() };
        self.content.update(&scope.namespace, blob, mask).await?;
        Ok(())
    }

    /// Notes on a blob that `repository` of `host` has it.
    pub(super) async fn label_source(
        &self,
        scope: &Scope,
        digest: &Digest,
        source: &Origin,
    ) -> Result<(), TransportError> {
        let known = self.content.info(&scope.namespace, digest)?.labels;
        self.label(scope, digest, source.labels(&known)).await
    }

    /// The repository at `host` that a blob came from, when it is known.
    pub(super) fn sources(&self, scope: &Scope, digest: &Digest, host: &str) -> Vec<String> {
        let blob = self.content.info(&scope.namespace, digest);
        let label = blob.ok().and_then(|blob| blob.labels.get(&format!("{SOURCE}{host}")).cloned());
        label.map(|label| label.split(',').map(str::to_owned).collect()).unwrap_or_default()
    }
}

/// A scope with a lease, for the time of some work, however it ends.
#[derive(Debug)]
pub(crate) struct Leased {
    /// The scope to work in.
    pub(crate) scope: Scope,
    /// Where the lease is given up, when it is our own.
    own: Option<lease::Store>,
}

impl Drop for Leased {
    fn drop(&mut self) {
        let (Some(leases), Some(id)) = (self.own.take(), self.scope.lease.take()) else { return };
        let namespace = self.scope.namespace.clone();
        tokio::spawn(async move {
            if let Err(error) = leases.delete(&namespace, &id).await {
                tracing::warn!(lease = id, error = %error, "a lease was not given up; it expires");
            }
        });
    }
}

/// A name that nothing else has.
pub(crate) fn unique() -> String {
    let mut bytes = [0; 12];
    // The name only has to differ from others; the time helps where randomness fails.
    let _unavailable = getrandom::fill(&mut bytes);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |age| age.subsec_nanos());
    format!("{now}-{}", hex::encode(bytes))
}

/// A repository that blobs come from.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// The registry.
    pub(crate) host: String,
    /// The repository there.
    pub(crate) repository: String,
}

impl Origin {
    /// The label that notes it, beside the repositories that `known` has.
    pub(super) fn labels(&self, known: &Labels) -> Labels {
        let name = format!("{SOURCE}{}", self.host);
        let mut repositories: Vec<&str> =
            known.get(&name).map(|label| label.split(',').collect()).unwrap_or_default();
        if !repositories.contains(&self.repository.as_str()) {
            repositories.push(&self.repository);
            repositories.sort_unstable();
        }
        Labels::from([(name, repositories.join(","))])
    }
}

/// The labels by which a document keeps its children from being collected.
pub(crate) fn reference_labels(children: &[Descriptor]) -> Labels {
    use super::manifest::Role;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut labels = Labels::new();
    for child in children {
        let group = match child.role() {
            Role::Config => "config",
            Role::Manifest => "m.",
            Role::Layer => "l.",
            Role::Index | Role::Other => "",
        };
        let count = counts.entry(group).or_default();
        let name = match (group, *count) {
            ("config", 0) => format!("{REFERENCE}config"),
            ("config", count) => format!("{REFERENCE}config.{count}"),
            (group, count) => format!("{REFERENCE}{group}{count}"),
        };
        *count += 1;
        labels.insert(name, child.digest.clone());
    }
    labels
}

/// The label by which a configuration keeps the snapshot of its top layer.
pub(crate) fn snapshot_label(snapshotter: &str, chain_id: &Digest) -> Labels {
    Labels::from([(format!("{SNAPSHOT}{snapshotter}"), chain_id.to_string())])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::manifest::{DOCKER_CONFIG, DOCKER_LAYER_GZIP, OCI_INDEX, OCI_MANIFEST};

    #[test]
    fn children_are_referred_to_by_kind_and_number() {
        let child = |media_type: &str, digest: &str| Descriptor {
            media_type: media_type.to_owned(),
            digest: digest.to_owned(),
            ..Descriptor::default()
        };
        let labels = reference_labels(&[
            child(DOCKER_CONFIG, "c"),
            child(DOCKER_LAYER_GZIP, "l0"),
            child(DOCKER_LAYER_GZIP, "l1"),
            child(OCI_MANIFEST, "m0"),
            child(OCI_INDEX, "i0"),
        ]);
        let pairs: Vec<(&str, &str)> = labels
            .iter()
            .map(|(name, value)| (name.strip_prefix(REFERENCE).expect("ours"), value.as_str()))
            .collect();
        assert_eq!(pairs, [("0", "i0"), ("config", "c"), ("l.0", "l0"), ("l.1", "l1"), ("m.0", "m0")]);
    }

    #[test]
    fn sources_of_a_host_are_collected() {
        let origin = Origin { host: "r.example".to_owned(), repository: "b".to_owned() };
        let first = origin.labels(&Labels::new());
        assert_eq!(first["containerd.io/distribution.source.r.example"], "b");
        let both = Origin { repository: "a".to_owned(), ..origin.clone() }.labels(&first);
        assert_eq!(both["containerd.io/distribution.source.r.example"], "a,b");
        assert_eq!(origin.labels(&both), both);
    }
}
