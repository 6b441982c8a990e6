//! Images: names in the supervisor's image store, documents in its content store, layers as its snapshots.
//!
//! Owns: what Docker means by an image, which is one config. Its ID is the config's digest; every record of the
//! supervisor that leads to that config is a name of it. Does not own: blobs, layers, registries (the supervisor's).
//! Nothing is kept here but a memory of documents that cannot change, so the supervisor's other clients and this
//! daemon always agree.

pub(crate) mod change;
mod content;
mod delete;
pub(crate) mod document;
mod error;
mod import;
mod ingest;
mod inspect;
mod lease;
mod list;
mod progress;
mod pull;
pub(crate) mod reference;
mod stream;
mod tag;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use dhow_engine_api::container::ContainerConfig;
use dhow_proto::containerd::services::images::v1::images_client::ImagesClient;
use dhow_proto::containerd::services::images::v1::{GetImageRequest, Image as WireImage, ListImagesRequest};

use self::content::{Content, Resolved};
pub(crate) use self::delete::User;
pub(crate) use self::document::Platform;
use self::document::{Descriptor, ImageConfig};
pub(crate) use self::error::ImageError;
pub(crate) use self::import::ImportRequest;
pub(crate) use self::list::{FILTERS, ListFilters};
pub(crate) use self::pull::PullLines;
use self::reference::{Reference, is_digest};
use crate::supervisor::{Link, Supervisor};

/// The snapshotter of images and containers.
pub(crate) const SNAPSHOTTER: &str = "overlayfs";
/// Label of a record that a pull made: its digest is the registry's, and is shown.
const PULLED: &str = "dhow.dev/pulled";
/// Names of images that lost their last name, as containerd-backed Docker daemons write them.
const DANGLING: &str = "moby-dangling@";

/// An image.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Image {
    /// `sha256:…` of the config.
    pub(crate) id: String,
    /// What containers of it are.
    pub(crate) config: ContainerConfig,
    /// Chain ID of its topmost layer: the parent of containers' snapshots; empty without layers.
    pub(crate) chain_id: String,
    /// Names by tag, as people see them.
    pub(crate) tags: Vec<String>,
    /// Names by digest, as people see them.
    pub(crate) digests: Vec<String>,
    /// Its platform.
    pub(crate) platform: Platform,
    /// What it leads to.
    resolved: Arc<Resolved>,
    /// Its records.
    records: Vec<Record>,
}

/// One record of the supervisor's image store.
#[derive(Debug, Clone, PartialEq)]
struct Record {
    name: String,
    target: Descriptor,
    labels: HashMap<String, String>,
    /// Seconds and nanoseconds since 1970.
    updated: (i64, i32),
}

impl Record {
    fn from_wire(image: WireImage) -> Option<Self> {
        let target = image.target?;
        let updated = image.updated_at.or(image.created_at).unwrap_or_default();
        Some(Self {
            name: image.name,
            target: Descriptor {
                media_type: target.media_type,
                digest: target.digest,
                size: target.size,
                platform: None,
            },
            labels: image.labels,
            updated: (updated.seconds, updated.nanos),
        })
    }

    fn is_dangling(&self) -> bool {
        self.name.starts_with(DANGLING)
    }

    /// Its name, unless it only keeps an image alive.
    fn reference(&self) -> Option<Reference> {
        if self.is_dangling() { None } else { Reference::parse(&self.name).ok() }
    }
}

#[derive(Debug)]
struct Inner {
    link: Link,
    content: Content,
    /// Bytes of layers by chain ID.
    sizes: Mutex<HashMap<String, i64>>,
    /// Registries that are reached without TLS: hosts, or networks.
    insecure: Vec<String>,
}

/// The images. A clone is the same images.
#[derive(Debug, Clone)]
pub(crate) struct Images(Arc<Inner>);

impl Images {
    /// The images of a supervisor; `insecure` are `--insecure-registry` values.
    pub(crate) fn new(supervisor: &Supervisor, insecure: &[String]) -> Self {
        let content = Content::new(supervisor);
        let inner =
            Inner { link: supervisor.link(), content, sizes: Mutex::default(), insecure: insecure.to_vec() };
        Self(Arc::new(inner))
    }

    fn client(&self) -> ImagesClient<Link> {
        ImagesClient::new(self.0.link.clone())
    }

    /// How many images there are; 0 while the supervisor is away.
    pub(crate) async fn count(&self) -> i64 {
        self.all().await.map_or(0, |all| i64::try_from(all.len()).unwrap_or(i64::MAX))
    }

    /// Bytes of an image's layers, when it is here.
    pub(crate) async fn size(&self, id: &str) -> Option<i64> {
        let image = self.by_id(id).await.ok()?;
        self.layers_size(image.chain()).await.ok()
    }

    /// What a container of an image needs: the way of [`Images::find`], but a name is looked up by itself, and the
    /// image knows no other name than that.
    pub(crate) async fn resolve(&self, name: &str) -> Result<Image, ImageError> {
        self.resolve_for(name, None).await
    }

    /// The same for a platform.
    pub(crate) async fn resolve_for(
        &self,
        name: &str,
        platform: Option<&Platform>,
    ) -> Result<Image, ImageError> {
        if let Ok(reference) = Reference::parse(name)
            && let Some(record) = self.record(&reference.or_latest().canonical()).await?
        {
            let resolved = self.0.content.resolve(&record.target, platform).await?;
            return Ok(Image::new(resolved, vec![record]));
        }
        self.find_for(name, platform).await
    }

    /// The image that a client means, with all its names: a name, a name with a digest, an ID or its beginning.
    pub(crate) async fn find(&self, name: &str) -> Result<Image, ImageError> {
        self.find_for(name, None).await
    }

    /// The same for a platform.
    pub(crate) async fn find_for(
        &self,
        name: &str,
        platform: Option<&Platform>,
    ) -> Result<Image, ImageError> {
        let all = self.all_for(platform).await?;
        if let Some(image) = all.iter().find(|image| image.is_named(name)) {
            return Ok(image.clone());
        }
        let id = name.strip_prefix("sha256:").unwrap_or(name);
        let hexadecimal = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mut matching =
            all.iter().filter(|image| hexadecimal && image.id["sha256:".len()..].starts_with(id));
        match (matching.next(), matching.next()) {
            (Some(image), None) => Ok(image.clone()),
            (Some(_), Some(_)) => Err(ImageError::Ambiguous(name.to_owned())),
            _ => Err(not_found(name)),
        }
    }

    /// The image with exactly this ID.
    pub(crate) async fn by_id(&self, id: &str) -> Result<Image, ImageError> {
        let found = self.all().await?.into_iter().find(|image| image.id == id);
        found.ok_or_else(|| ImageError::NotFound(id.to_owned()))
    }

    /// Every image whose documents are here, once, with all its names.
    async fn all(&self) -> Result<Vec<Image>, ImageError> {
        self.all_for(None).await
    }

    async fn all_for(&self, platform: Option<&Platform>) -> Result<Vec<Image>, ImageError> {
        let mut by_id: BTreeMap<String, (Arc<Resolved>, Vec<Record>)> = BTreeMap::new();
        for record in self.records().await? {
            match self.0.content.resolve(&record.target, platform).await {
                Ok(resolved) => {
                    let entry = by_id.entry(resolved.id.clone()).or_insert_with(|| (resolved, Vec::new()));
                    entry.1.push(record);
                }
                // Of another platform, or being pulled or deleted at this moment.
                Err(error) if error.is_missing() => {}
                Err(ImageError::NoPlatform(_)) => {}
                Err(error @ ImageError::Document { .. }) => {
                    tracing::warn!(
                        image = record.name,
                        error = dhow_proto::error::chain(&error),
                        "left an image out"
                    );
                }
                Err(error) => return Err(error),
            }
        }
        Ok(by_id.into_values().map(|(resolved, records)| Image::new(resolved, records)).collect())
    }

    async fn records(&self) -> Result<Vec<Record>, ImageError> {
        let request = ListImagesRequest { filters: Vec::new() };
        let listed = self.client().list(request).await.map_err(ImageError::asked("list images"))?;
        Ok(listed.into_inner().images.into_iter().filter_map(Record::from_wire).collect())
    }

    async fn record(&self, name: &str) -> Result<Option<Record>, ImageError> {
        match self.client().get(GetImageRequest { name: name.to_owned() }).await {
            Ok(found) => Ok(found.into_inner().image.and_then(Record::from_wire)),
            Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
            Err(status) => Err(ImageError::Supervisor { action: "look up an image", source: status }),
        }
    }
}

/// With `latest`, as Docker says it, unless it is an ID.
fn not_found(name: &str) -> ImageError {
    let shown = match Reference::parse(name) {
        Ok(reference) if !is_digest(name) => reference.or_latest().to_string(),
        _ => name.to_owned(),
    };
    ImageError::NotFound(shown)
}

impl Image {
    fn new(resolved: Arc<Resolved>, records: Vec<Record>) -> Self {
        let (mut tags, mut digests) = (Vec::new(), Vec::new());
        for record in &records {
            let Some(reference) = record.reference() else { continue };
            if reference.tag().is_some() && reference.digest().is_none() {
                tags.push(reference.to_string());
            }
            if record.labels.contains_key(PULLED) || reference.digest().is_some() {
                digests.push(format!("{}@{}", reference.familiar_name(), record.target.digest));
            }
        }
        for names in [&mut tags, &mut digests] {
            names.sort();
            names.dedup();
        }
        let config = resolved.config.config.clone();
        let chain_id = resolved.chain.last().cloned().unwrap_or_default();
        let ImageConfig { os, architecture, variant, .. } = resolved.config.clone();
        let platform = Platform { os, architecture, variant };
        Self { id: resolved.id.clone(), config, chain_id, tags, digests, platform, resolved, records }
    }

    /// Whether `name` is one of its names, or all of its ID.
    fn is_named(&self, name: &str) -> bool {
        if is_digest(name) {
            return self.id == name || self.records.iter().any(|record| record.target.digest == name);
        }
        let Ok(wanted) = Reference::parse(name).map(Reference::or_latest) else { return false };
        let repository = wanted.repository();
        self.records.iter().any(|record| {
            record.name == wanted.canonical()
                || wanted.digest() == Some(record.target.digest.as_str())
                    && record.reference().is_some_and(|found| found.repository() == repository)
        })
    }

    /// The chain IDs of its layers, lowest first.
    pub(crate) fn chain(&self) -> &[String] {
        &self.resolved.chain
    }
}
