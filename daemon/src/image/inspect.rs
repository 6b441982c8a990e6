//! `GET /images/{name}/json` and `/history`.

use std::sync::PoisonError;

use dhow_engine_api::container::GraphDriver;
use dhow_engine_api::image::{HistoryItem, ImageInspect, ImageMetadata, RootFs};
use dhow_proto::containerd::services::snapshots::v1::UsageRequest;
use dhow_proto::containerd::services::snapshots::v1::snapshots_client::SnapshotsClient;

use super::error::ImageError;
use super::{Image, Images, SNAPSHOTTER};
use crate::time;

impl Images {
    /// What `inspect` shows of an image.
    pub(crate) async fn inspect(&self, image: &Image) -> Result<ImageInspect, ImageError> {
        let config = &image.resolved.config;
        let tagged = image.records.iter().filter(|record| record.reference().is_some());
        let last_tag = tagged.map(|record| record.updated).max().unwrap_or_default();
        let last_tag = prost_types::Timestamp { seconds: last_tag.0, nanos: last_tag.1 };
        Ok(ImageInspect {
            id: image.id.clone(),
            repo_tags: image.tags.clone(),
            repo_digests: image.digests.clone(),
            parent: String::new(),
            comment: config.comment.clone(),
            created: config.created.clone().unwrap_or_default(),
            container: config.container.clone(),
            container_config: config.container_config.clone().unwrap_or_default(),
            docker_version: config.docker_version.clone(),
            author: config.author.clone(),
            config: config.config.clone(),
            architecture: config.architecture.clone(),
            variant: config.variant.clone(),
            os: config.os.clone(),
            os_version: config.os_version.clone(),
            size: self.layers_size(image.chain()).await?,
            virtual_size: 0,
            graph_driver: GraphDriver { data: None, name: SNAPSHOTTER.to_owned() },
            root_fs: RootFs { kind: "layers".to_owned(), layers: config.rootfs.diff_ids.clone() },
            metadata: ImageMetadata { last_tag_time: time::from_wire(Some(&last_tag)) },
        })
    }

    /// How an image was made, the last step first.
    pub(crate) async fn history(&self, image: &Image) -> Result<Vec<HistoryItem>, ImageError> {
        let mut chain = image.chain().iter();
        let mut items = Vec::new();
        for step in &image.resolved.config.history {
            let layer = if step.empty_layer { None } else { chain.next() };
            let size = match layer {
                Some(layer) => self.layer_size(layer).await?,
                None => 0,
            };
            items.push(HistoryItem {
                comment: step.comment.clone(),
                created: step.created.as_deref().map_or(0, time::unix),
                created_by: step.created_by.clone(),
                id: "<missing>".to_owned(),
                size,
                tags: None,
            });
        }
        items.reverse();
        if let Some(top) = items.first_mut() {
            top.id.clone_from(&image.id);
            top.tags = Some(image.tags.clone()).filter(|tags| !tags.is_empty());
        }
        Ok(items)
    }

    /// Bytes of all layers of a chain.
    pub(super) async fn layers_size(&self, chain: &[String]) -> Result<i64, ImageError> {
        let mut size = 0;
        for layer in chain {
            size += self.layer_size(layer).await?;
        }
        Ok(size)
    }

    /// Bytes of one layer; 0 when it is not unpacked.
    async fn layer_size(&self, layer: &str) -> Result<i64, ImageError> {
        if let Some(size) = self.0.sizes.lock().unwrap_or_else(PoisonError::into_inner).get(layer) {
            return Ok(*size);
        }
        let request = UsageRequest { snapshotter: SNAPSHOTTER.to_owned(), key: layer.to_owned() };
        match SnapshotsClient::new(self.0.link.clone()).usage(request).await {
            Ok(usage) => {
                let size = usage.into_inner().size;
                self.0.sizes.lock().unwrap_or_else(PoisonError::into_inner).insert(layer.to_owned(), size);
                Ok(size)
            }
            Err(status) if status.code() == tonic::Code::NotFound => Ok(0),
            Err(source) => Err(ImageError::Supervisor { action: "measure a layer", source }),
        }
    }
}
