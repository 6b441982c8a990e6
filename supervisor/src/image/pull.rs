//! `pull`: from a reference at a registry to content and snapshots.
//!
//! Documents first (index, manifests, configurations), each stored before what it names is asked for; then layers,
//! all at once. Everything is held by a lease until the image's record, made by the caller, refers to it.

use futures_util::future::{BoxFuture, try_join_all};

use super::layer::{Wanted, origin};
use super::manifest::{Config, Descriptor, Index, MANIFEST_LIMIT, Manifest, ManifestError, Role};
use super::platform::Platform;
use super::progress::{Part, Progress};
use super::transport::{Transport, TransportError, reference_labels, snapshot_label};
use super::unpack::Stack;
use crate::content::{ContentError, Digest};
use crate::label::Labels;
use crate::namespace::Scope;
use crate::registry::Registry;

/// How deep indexes may lie in each other.
const DEPTH: usize = 4;
/// The snapshotter when none is named.
const SNAPSHOTTER: &str = "overlayfs";

/// Which parts of an image are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    /// For which platforms, best first; all when empty.
    pub(crate) platforms: Vec<Platform>,
    /// Whether manifests and configurations of other platforms are wanted, too.
    pub(crate) all_metadata: bool,
    /// At most how many manifests of an index; all when 0.
    pub(crate) limit: usize,
    /// What is unpacked, and by which snapshotter.
    pub(crate) unpacks: Vec<Unpack>,
}

/// Images to unpack.
#[derive(Debug, Clone)]
pub(crate) struct Unpack {
    /// Those for this platform.
    pub(crate) platform: Platform,
    /// The snapshotter; overlayfs when empty.
    pub(crate) snapshotter: String,
}

impl Selection {
    /// The manifests of `index` that are wanted, in order of preference, and whether with their layers.
    fn choose(&self, index: &Index) -> Vec<(Descriptor, bool)> {
        let manifests = &index.manifests;
        if self.platforms.is_empty() {
            return manifests.iter().map(|descriptor| (descriptor.clone(), true)).collect();
        }
        let mut chosen: Vec<&Descriptor> = Vec::new();
        for wanted in &self.platforms {
            let rank = |descriptor: &Descriptor| match &descriptor.platform {
                Some(platform) => wanted.rank(platform),
                None => Some(0),
            };
            let best = manifests.iter().filter_map(rank).min();
            let fits = manifests.iter().filter(|descriptor| best.is_some() && rank(descriptor) == best);
            chosen.extend(fits.filter(|descriptor| !chosen.contains(descriptor)).collect::<Vec<_>>());
        }
        chosen.truncate(if self.limit == 0 { usize::MAX } else { self.limit });
        let others = manifests
            .iter()
            .filter(|other| self.all_metadata && !chosen.is_empty() && !chosen.contains(other));
        let others = others.map(|other| (other.clone(), false)).collect::<Vec<_>>();
        chosen.into_iter().map(|descriptor| (descriptor.clone(), true)).chain(others).collect()
    }

    /// The snapshotter for an image of `platform`. Images that do not say what they are for, are for any.
    fn snapshotter(&self, platform: &Platform) -> Option<&str> {
        let anonymous = platform.architecture.is_empty() && platform.os.is_empty();
        let unpack =
            self.unpacks.iter().find(|unpack| anonymous || unpack.platform.rank(platform).is_some())?;
        Some(if unpack.snapshotter.is_empty() { SNAPSHOTTER } else { &unpack.snapshotter })
    }
}

/// Where the parts of an image come from, and where they go.
pub(super) struct Job<'a> {
    pub(super) scope: &'a Scope,
    /// Without one, everything is here already.
    pub(super) registry: Option<&'a Registry>,
    pub(super) selection: &'a Selection,
    pub(super) progress: &'a Progress,
}

impl Transport {
    /// Brings what `registry` was opened for into the stores of the namespace, as far as `selection` wants it.
    ///
    /// The scope needs a lease: nothing refers to the image yet.
    pub(crate) async fn pull(
        &self,
        scope: &Scope,
        registry: &Registry,
        selection: &Selection,
        name: &str,
        progress: &Progress,
    ) -> Result<Descriptor, TransportError> {
        let failed =
            |source| TransportError::Registry { action: "failed to resolve image".to_owned(), source };
        let resolved = registry.resolve().await.map_err(failed)?;
        let descriptor = Descriptor {
            media_type: resolved.media_type,
            digest: resolved.digest.to_string(),
            size: resolved.size,
            ..Descriptor::default()
        };
        if !matches!(descriptor.role(), Role::Index | Role::Manifest) {
            let (digest, media_type) = (descriptor.digest, descriptor.media_type);
            return Err(ManifestError::MediaType { digest, media_type }.into());
        }
        progress.event(format!("Pulling from OCI Registry ({name})"));
        progress.image("fetching image content", name, &descriptor);
        let job = Job { scope, registry: Some(registry), selection, progress };
        self.tree(&job, descriptor.clone(), vec![name.to_owned()], resolved.bytes, true, DEPTH).await?;
        Ok(descriptor)
    }

    /// Brings a document and what it names. With `full`, layers as well.
    pub(super) fn tree<'a>(
        &'a self,
        job: &'a Job<'a>,
        descriptor: Descriptor,
        parents: Vec<String>,
        bytes: Option<Vec<u8>>,
        full: bool,
        depth: usize,
    ) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move {
            let part = job.progress.part(&descriptor, parents);
            let bytes = self.document(job, &descriptor, &part, bytes).await?;
            match descriptor.role() {
                Role::Index if depth > 0 => {
                    let index = Index::parse(&descriptor.digest, &bytes)?;
                    self.refer(job, &descriptor, &index.manifests).await?;
                    let chosen = job.selection.choose(&index);
                    if chosen.is_empty() && !index.manifests.is_empty() {
                        return Err(TransportError::Platform(descriptor.digest.clone()));
                    }
                    let parent = vec![descriptor.reference_key()];
                    let branches = chosen.into_iter().map(|(child, whole)| {
                        self.tree(job, child, parent.clone(), None, full && whole, depth - 1)
                    });
                    try_join_all(branches).await?;
                    Ok(())
                }
                Role::Manifest => self.manifest(job, &descriptor, &bytes, full).await,
                // Something that refers to an image, in an index of such things: kept as it is.
                Role::Other if depth < DEPTH => Ok(()),
                _ => {
                    let (digest, media_type) = (descriptor.digest.clone(), descriptor.media_type.clone());
                    Err(ManifestError::MediaType { digest, media_type }.into())
                }
            }
        })
    }

    /// Brings what a manifest names.
    async fn manifest(
        &self,
        job: &Job<'_>,
        descriptor: &Descriptor,
        bytes: &[u8],
        full: bool,
    ) -> Result<(), TransportError> {
        let manifest = Manifest::parse(&descriptor.digest, bytes)?;
        let mut children = vec![manifest.config.clone()];
        children.extend(manifest.layers.iter().cloned());
        self.refer(job, descriptor, &children).await?;
        let parents = vec![descriptor.reference_key()];
        let part = job.progress.part(&manifest.config, parents.clone());
        let config = self.document(job, &manifest.config, &part, None).await?;
        if !full {
            return Ok(());
        }
        let layers = manifest
            .layers
            .iter()
            .map(|layer| {
                Ok(Wanted {
                    descriptor: layer.clone(),
                    digest: layer.digest(&descriptor.digest)?,
                    registry: job.registry.cloned(),
                    part: job.progress.part(layer, parents.clone()),
                })
            })
            .collect::<Result<Vec<_>, TransportError>>()?;
        let stack = self.stack(job, &manifest, &config)?;
        self.layers(job.scope, layers, stack.as_ref()).await?;
        if let Some(stack) = stack
            && let Some(top) = super::manifest::chain_ids(&stack.diff_ids).last()
        {
            let config = manifest.config.digest(&descriptor.digest)?;
            self.label(job.scope, &config, snapshot_label(stack.snapshots.name(), top)).await?;
        }
        Ok(())
    }

    /// What the layers of `manifest` are unpacked as, when they are.
    fn stack(
        &self,
        job: &Job<'_>,
        manifest: &Manifest,
        config: &[u8],
    ) -> Result<Option<Stack>, TransportError> {
        if manifest.config.role() != Role::Config || job.selection.unpacks.is_empty() {
            return Ok(None);
        }
        let digest = &manifest.config.digest;
        let config = Config::parse(digest, config)?;
        let Some(snapshotter) = job.selection.snapshotter(&config.platform) else {
            tracing::debug!(config = digest, platform = %config.platform, "not unpacked: another platform");
            return Ok(None);
        };
        let diff_ids = config.diff_ids(digest, manifest.layers.len())?;
        Ok(Some(Stack { snapshots: self.snapshotters.named(snapshotter)?.clone(), diff_ids }))
    }

    /// Notes on a document what keeps its `children` from being collected.
    async fn refer(
        &self,
        job: &Job<'_>,
        document: &Descriptor,
        children: &[Descriptor],
    ) -> Result<(), TransportError> {
        let digest = document.digest(&document.digest)?;
        self.label(job.scope, &digest, reference_labels(children)).await
    }

    /// The bytes of a document, brought when they are not here.
    async fn document(
        &self,
        job: &Job<'_>,
        descriptor: &Descriptor,
        part: &Part,
        bytes: Option<Vec<u8>>,
    ) -> Result<Vec<u8>, TransportError> {
        let digest = descriptor.digest(&descriptor.digest)?;
        if descriptor.size > MANIFEST_LIMIT {
            let (count, limit) = (usize::try_from(descriptor.size).unwrap_or(usize::MAX), 4 << 20);
            return Err(ManifestError::Long { digest: digest.to_string(), count, limit }.into());
        }
        let by_manifest = matches!(descriptor.role(), Role::Index | Role::Manifest);
        match job.registry {
            Some(registry) if by_manifest => {
                self.store_manifest(job.scope, registry, descriptor, &digest, part, bytes).await?;
            }
            registry => {
                let (descriptor, registry) = (descriptor.clone(), registry.cloned());
                let wanted = Wanted { descriptor, digest: digest.clone(), registry, part: part.clone() };
                self.fetch(job.scope, &wanted).await?;
            }
        }
        Ok(self.content.read(&job.scope.namespace, &digest, MANIFEST_LIMIT).await?)
    }

    async fn store_manifest(
        &self,
        scope: &Scope,
        registry: &Registry,
        descriptor: &Descriptor,
        digest: &Digest,
        part: &Part,
        bytes: Option<Vec<u8>>,
    ) -> Result<(), TransportError> {
        let _turn = self.turns.take(format!("{} {digest}", scope.namespace)).await;
        let source = origin(registry);
        if self.content.info(&scope.namespace, digest).is_ok() {
            self.hold_content(scope, digest).await?;
            self.label_source(scope, digest, &source).await?;
            part.exists();
            return Ok(());
        }
        let failed = |source| TransportError::Registry { action: format!("fetch {digest}"), source };
        let bytes = match bytes {
            Some(bytes) => bytes,
            None => registry.manifest(digest).await.map_err(failed)?,
        };
        self.store(scope, descriptor, digest, bytes, source.labels(&Labels::new())).await?;
        part.complete();
        Ok(())
    }

    /// Stores the bytes of a document.
    pub(super) async fn store(
        &self,
        scope: &Scope,
        descriptor: &Descriptor,
        digest: &Digest,
        bytes: Vec<u8>,
        labels: Labels,
    ) -> Result<(), TransportError> {
        let size = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        let reference = descriptor.reference_key();
        let mut writer = match self.content.writer(scope, &reference, Some(digest.clone()), size).await {
            Err(ContentError::AlreadyExists(_)) => return self.label(scope, digest, labels).await,
            other => other?,
        };
        if writer.offset() != size {
            writer.restart().await?;
            writer.write(bytes.into()).await?;
        }
        match writer.commit(size, Some(digest), labels).await {
            Ok(_) | Err(ContentError::AlreadyExists(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(platforms: &[&str]) -> Index {
        let manifest = |platform: &&str| Descriptor {
            digest: (*platform).to_owned(),
            platform: platform.parse().ok(),
            ..Descriptor::default()
        };
        Index { manifests: platforms.iter().map(manifest).collect() }
    }

    fn chosen(selection: &Selection, index: &Index) -> Vec<(String, bool)> {
        selection.choose(index).into_iter().map(|(descriptor, full)| (descriptor.digest, full)).collect()
    }

    #[test]
    fn the_best_platform_is_chosen() {
        let index = index(&["linux/386", "linux/arm64", "linux/amd64"]);
        let full = |name: &str| (name.to_owned(), true);
        let mut selection =
            Selection { platforms: vec!["linux/amd64".parse().expect("one")], ..Selection::default() };
        assert_eq!(chosen(&selection, &index), [full("linux/amd64")]);
        assert_eq!(chosen(&selection, &self::index(&["linux/386"])), [full("linux/386")], "the next best");
        selection.all_metadata = true;
        let rest = |name: &str| (name.to_owned(), false);
        assert_eq!(chosen(&selection, &index), [full("linux/amd64"), rest("linux/386"), rest("linux/arm64")]);
        selection.platforms.push("linux/arm64".parse().expect("one"));
        assert_eq!(chosen(&selection, &index), [full("linux/amd64"), full("linux/arm64"), rest("linux/386")]);
        selection.limit = 1;
        assert_eq!(chosen(&selection, &index)[0], full("linux/amd64"));
        assert_eq!(chosen(&selection, &index).iter().filter(|(_, full)| *full).count(), 1);
        selection.platforms = vec!["windows/amd64".parse().expect("one")];
        assert!(chosen(&selection, &index).is_empty());
        assert_eq!(chosen(&Selection::default(), &index).len(), 3);
    }

    #[test]
    fn images_are_unpacked_for_their_platform() {
        let unpack = Unpack { platform: "linux/amd64".parse().expect("one"), snapshotter: String::new() };
        let selection = Selection { unpacks: vec![unpack], ..Selection::default() };
        let platform = |text: &str| text.parse().expect("one");
        assert_eq!(selection.snapshotter(&platform("linux/amd64")), Some("overlayfs"));
        assert_eq!(selection.snapshotter(&platform("linux/arm64")), None);
        assert_eq!(selection.snapshotter(&Platform::default()), Some("overlayfs"));
    }
}
