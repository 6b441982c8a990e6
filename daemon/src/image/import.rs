//! Importing: an image of one layer out of a tar archive.

use std::collections::HashMap;
use std::io;

use bytes::Bytes;
use dhow_engine_api::container::ContainerConfig;
use dhow_proto::containerd::services::diff::v1::ApplyRequest;
use dhow_proto::containerd::services::diff::v1::diff_client::DiffClient;
use dhow_proto::containerd::services::snapshots::v1::snapshots_client::SnapshotsClient;
use dhow_proto::containerd::services::snapshots::v1::{
    CommitSnapshotRequest, PrepareSnapshotRequest, RemoveSnapshotRequest,
};
use dhow_proto::containerd::types::Descriptor as WireDescriptor;
use futures_util::Stream;
use tonic::Code;

use super::document::{
    Descriptor, ImageConfig, Manifest, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Platform, RootFs, Step, chain_ids,
};
use super::error::ImageError;
use super::ingest::{self, Written};
use super::lease::Lease;
use super::reference::Reference;
use super::{DANGLING, Images, SNAPSHOTTER};

/// Label of what a blob refers to, by kind.
const REFERS: &str = "containerd.io/gc.ref.content.";
/// Label of the snapshot that a config refers to.
const REFERS_SNAPSHOT: &str = "containerd.io/gc.ref.snapshot.";

/// What an imported image is.
#[derive(Debug, Default)]
pub(crate) struct ImportRequest {
    /// Its name; none for an image without one.
    pub(crate) name: Option<Reference>,
    /// What its maker says.
    pub(crate) comment: String,
    /// What containers of it are.
    pub(crate) config: ContainerConfig,
    /// Its platform; this host's when absent.
    pub(crate) platform: Option<Platform>,
}

impl Images {
    /// Makes an image of the files in `body`, a tar archive, plain or compressed: its ID.
    pub(crate) async fn import(
        &self,
        request: ImportRequest,
        body: impl Stream<Item = io::Result<Bytes>> + Send + Unpin,
    ) -> Result<String, ImageError> {
        let lease = Lease::take(&self.0.link).await?;
        let made = self.assemble(&lease, request, body).await;
        if let Err(error) = lease.end().await {
            tracing::warn!(%error, "a lease is left to end by itself");
        }
        made
    }

    async fn assemble(
        &self,
        lease: &Lease,
        request: ImportRequest,
        body: impl Stream<Item = io::Result<Bytes>> + Send + Unpin,
    ) -> Result<String, ImageError> {
        let written = ingest::stream(&self.0.link, lease, body, HashMap::new()).await?;
        let media_type = media_type(&written.head)?;
        let layer =
            Descriptor { media_type, digest: written.digest.clone(), size: written.size, platform: None };
        let diff_id = self.unpack(lease, &layer, &written).await?;
        let config = config(&request, &diff_id);
        let id = self.publish(lease, request.name.as_ref(), &config, vec![layer], &[diff_id]).await?;
        Ok(id)
    }

    /// Unpacks a layer into a snapshot of its own: its diff ID.
    async fn unpack(
        &self,
        lease: &Lease,
        layer: &Descriptor,
        written: &Written,
    ) -> Result<String, ImageError> {
        let mut snapshots = SnapshotsClient::new(self.0.link.clone());
        let key = format!("import-{}", &written.digest["sha256:".len()..]);
        let snapshotter = SNAPSHOTTER.to_owned();
        let remove = RemoveSnapshotRequest { snapshotter: snapshotter.clone(), key: key.clone() };
        // What a daemon left that was killed at this point.
        drop(snapshots.remove(remove.clone()).await);
        let prepare = PrepareSnapshotRequest {
            snapshotter: snapshotter.clone(),
            key: key.clone(),
            ..Default::default()
        };
        let prepared =
            snapshots.prepare(lease.request(prepare)).await.map_err(ImageError::asked("prepare a layer"))?;
        let apply = ApplyRequest {
            diff: Some(WireDescriptor {
                media_type: layer.media_type.clone(),
                digest: layer.digest.clone(),
                size: layer.size,
                ..WireDescriptor::default()
            }),
            mounts: prepared.into_inner().mounts,
            ..ApplyRequest::default()
        };
        let applied = DiffClient::new(self.0.link.clone()).apply(lease.request(apply)).await;
        let applied = match applied {
            Ok(applied) => applied.into_inner().applied.unwrap_or_default().digest,
            Err(status) => {
                drop(snapshots.remove(remove).await);
                return Err(ImageError::Invalid(format!("unpack the archive: {}", status.message())));
            }
        };
        let commit = CommitSnapshotRequest { snapshotter, name: applied.clone(), key, ..Default::default() };
        match snapshots.commit(lease.request(commit)).await {
            Ok(_) => {}
            Err(status) if status.code() == Code::AlreadyExists => drop(snapshots.remove(remove).await),
            Err(status) => return Err(ImageError::Supervisor { action: "commit a layer", source: status }),
        }
        Ok(applied)
    }

    /// Writes config and manifest, and gives the image its name: its ID.
    pub(super) async fn publish(
        &self,
        lease: &Lease,
        name: Option<&Reference>,
        config: &ImageConfig,
        layers: Vec<Descriptor>,
        diff_ids: &[String],
    ) -> Result<String, ImageError> {
        let encode = |source| ImageError::Document { what: "config", digest: "new".to_owned(), source };
        let top = chain_ids(diff_ids).pop().unwrap_or_default();
        let labels = HashMap::from([(format!("{REFERS_SNAPSHOT}{SNAPSHOTTER}"), top)]);
        let bytes = serde_json::to_vec(config).map_err(encode)?;
        let config = ingest::document(&self.0.link, lease, OCI_CONFIG, bytes, labels).await?;
        let id = config.digest.clone();
        let mut labels = HashMap::from([(format!("{REFERS}config"), id.clone())]);
        labels.extend(
            layers.iter().enumerate().map(|(at, layer)| (format!("{REFERS}l.{at}"), layer.digest.clone())),
        );
        let manifest = Manifest { schema_version: 2, media_type: OCI_MANIFEST.to_owned(), config, layers };
        let bytes = serde_json::to_vec(&manifest).map_err(encode)?;
        let target = ingest::document(&self.0.link, lease, OCI_MANIFEST, bytes, labels).await?;
        match name {
            Some(name) => self.assign(&name.canonical(), &target, HashMap::new()).await?,
            None => {
                let name = format!("{DANGLING}{}", target.digest);
                let exists = self.record(&name).await?.is_some();
                self.write(&name, &target, HashMap::new(), exists).await?;
            }
        }
        Ok(id)
    }
}

fn config(request: &ImportRequest, diff_id: &str) -> ImageConfig {
    let created = Some(crate::time::now());
    let platform = request.platform.clone().unwrap_or_else(Platform::host);
    ImageConfig {
        architecture: platform.architecture,
        variant: platform.variant,
        os: platform.os,
        created: created.clone(),
        comment: request.comment.clone(),
        config: request.config.clone(),
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids: vec![diff_id.to_owned()] },
        history: vec![Step { created, comment: request.comment.clone(), ..Step::default() }],
        ..ImageConfig::default()
    }
}

/// The type of a layer, by its first bytes.
fn media_type(head: &[u8]) -> Result<String, ImageError> {
    let suffix = match head {
        [0x1f, 0x8b, ..] => "+gzip",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "+zstd",
        [b'B', b'Z', b'h', ..] => return Err(unsupported("bzip2")),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => return Err(unsupported("xz")),
        _ => "",
    };
    Ok(format!("{OCI_LAYER}{suffix}"))
}

fn unsupported(compression: &str) -> ImageError {
    ImageError::Invalid(format!(
        "archives compressed by {compression} are not supported: use gzip, zstd or none"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_is_told_by_the_first_bytes() {
        assert!(media_type(&[0x1f, 0x8b, 8]).is_ok_and(|kind| kind.ends_with("+gzip")));
        assert!(media_type(b"bin/").is_ok_and(|kind| kind.ends_with(".tar")));
        assert!(media_type(b"BZh91A").is_err());
        assert!(media_type(&[]).is_ok(), "an empty body is an empty layer, if a tar archive at all");
    }
}
