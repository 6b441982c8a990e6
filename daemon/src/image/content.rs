//! Documents read from the supervisor's content store. A blob never changes, so what was read once is kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use dhow_proto::connect::MESSAGE_LIMIT;
use dhow_proto::containerd::services::content::v1::ReadContentRequest;
use dhow_proto::containerd::services::content::v1::content_client::ContentClient;
use serde::de::DeserializeOwned;

use super::document::{Descriptor, ImageConfig, Index, Manifest, Platform, chain_ids};
use super::error::ImageError;
use crate::supervisor::{Link, Supervisor};

/// The largest document; a registry takes manifests of 4 MiB.
const LIMIT: usize = 8 << 20;
/// How many images are remembered.
const REMEMBERED: usize = 4096;

/// What an image's target leads to, for one platform.
#[derive(Debug, PartialEq)]
pub(crate) struct Resolved {
    /// The manifest.
    pub(crate) manifest: Descriptor,
    /// The config's digest: the image's ID.
    pub(crate) id: String,
    /// The config.
    pub(crate) config: ImageConfig,
    /// The layers' blobs.
    pub(crate) layers: Vec<Descriptor>,
    /// The layers' chain IDs, the lowest first.
    pub(crate) chain: Vec<String>,
}

/// Reads and remembers.
#[derive(Debug)]
pub(super) struct Content {
    link: Link,
    known: Mutex<HashMap<String, Arc<Resolved>>>,
}

impl Content {
    pub(super) fn new(supervisor: &Supervisor) -> Self {
        Self { link: supervisor.link(), known: Mutex::default() }
    }

    fn client(&self) -> ContentClient<Link> {
        ContentClient::new(self.link.clone()).max_decoding_message_size(MESSAGE_LIMIT)
    }

    /// The image behind `target`, for `platform` when one is asked for, else for this host or, failing that, the
    /// first that is here.
    pub(super) async fn resolve(
        &self,
        target: &Descriptor,
        platform: Option<&Platform>,
    ) -> Result<Arc<Resolved>, ImageError> {
        let key = match platform {
            Some(platform) => format!("{}|{platform:?}", target.digest),
            None => target.digest.clone(),
        };
        if let Some(known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(Arc::clone(known));
        }
        let resolved = Arc::new(self.follow(target, platform).await?);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(key, Arc::clone(&resolved));
        Ok(resolved)
    }

    async fn follow(&self, target: &Descriptor, platform: Option<&Platform>) -> Result<Resolved, ImageError> {
        if !target.is_index() {
            return self.manifest(target).await;
        }
        let index: Index = self.document("index", &target.digest).await?;
        let wanted = platform.cloned().unwrap_or_else(Platform::host);
        let mut manifests: Vec<_> = index
            .manifests
            .into_iter()
            .filter(|one| one.is_manifest() || one.media_type.is_empty())
            .collect();
        let fits = |one: &Descriptor| one.platform.as_ref().is_none_or(|found| found.satisfies(&wanted));
        if platform.is_some() {
            manifests.retain(fits);
        }
        manifests.sort_by_key(|one| !fits(one));
        for manifest in &manifests {
            match self.manifest(manifest).await {
                // Of an index only the pulled platforms are here.
                Err(error) if error.is_missing() => {}
                other => return other,
            }
        }
        Err(ImageError::NoPlatform(target.digest.clone()))
    }

    async fn manifest(&self, target: &Descriptor) -> Result<Resolved, ImageError> {
        let manifest: Manifest = self.document("manifest", &target.digest).await?;
        let bytes = self.read(&manifest.config.digest).await?;
        let digest = manifest.config.digest;
        let config: ImageConfig = dhow_engine_api::decode::from_slice(&bytes)
            .map_err(|source| ImageError::Document { what: "config", digest: digest.clone(), source })?;
        let chain = chain_ids(&config.rootfs.diff_ids);
        Ok(Resolved { manifest: target.clone(), id: digest, config, layers: manifest.layers, chain })
    }

    async fn document<T: DeserializeOwned>(&self, what: &'static str, digest: &str) -> Result<T, ImageError> {
        let bytes = self.read(digest).await?;
        serde_json::from_slice(&bytes).map_err(|source| ImageError::Document {
            what,
            digest: digest.to_owned(),
            source,
        })
    }

    /// The bytes of a document.
    pub(super) async fn read(&self, digest: &str) -> Result<Vec<u8>, ImageError> {
        const ACTION: &str = "read content";
        let request = ReadContentRequest { digest: digest.to_owned(), offset: 0, size: 0 };
        let mut stream = self.client().read(request).await.map_err(ImageError::asked(ACTION))?.into_inner();
        let mut bytes = Vec::new();
        while let Some(part) = stream.message().await.map_err(ImageError::asked(ACTION))? {
            if bytes.len() + part.data.len() > LIMIT {
                return Err(ImageError::Invalid(format!("document {digest} is longer than {LIMIT} bytes")));
            }
            bytes.extend_from_slice(&part.data);
        }
        Ok(bytes)
    }
}
