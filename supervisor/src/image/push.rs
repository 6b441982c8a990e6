//! `push`: from the stores to a registry: layers and configurations first, then what names them, the tag last.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::try_join_all;

use super::manifest::{Descriptor, Index, MANIFEST_LIMIT, Manifest, Role};
use super::platform::Platform;
use super::progress::{Part, Progress};
use super::transport::{Transport, TransportError};
use crate::content::{ContentError, Digest};
use crate::namespace::Scope;
use crate::registry::{Registry, Source};

/// How deep indexes may lie in each other.
const DEPTH: usize = 4;

/// A document to be sent, after everything that it names.
struct Document {
    descriptor: Descriptor,
    digest: Digest,
    bytes: Vec<u8>,
    part: Part,
}

/// Begins to tell about a part, below its parents.
type Tell<'a> = dyn Fn(&Descriptor, Vec<String>) -> Part + Send + Sync + 'a;

/// What is to be sent.
#[derive(Default)]
struct Plan {
    blobs: Vec<(Descriptor, Part)>,
    /// The deepest first.
    documents: Vec<Document>,
    seen: BTreeSet<String>,
}

impl Transport {
    /// Sends `target` to where `registry` was opened for; of an index, the images for `platforms`, or all. It is told of
    /// under the name of the `image`, and under the `name` that it gets there.
    pub(crate) async fn push(
        &self,
        scope: &Scope,
        registry: &Registry,
        target: &Descriptor,
        platforms: &[Platform],
        (image, name): (&str, &str),
        progress: &Progress,
    ) -> Result<(), TransportError> {
        progress.event(format!("Pushing to OCI Registry ({name})"));
        progress.image("pushing content", image, target);
        let mut plan = Plan::default();
        let tell = |descriptor: &Descriptor, parents| progress.part(descriptor, parents);
        self.plan(scope, (target, vec![image.to_owned()]), (platforms, &tell), &mut plan, DEPTH).await?;
        let blobs = plan.blobs.iter().map(|(blob, part)| self.send(scope, registry, blob, part));
        try_join_all(blobs).await?;
        for document in &plan.documents {
            let last = document.digest.as_str() == target.digest;
            let reference = registry.reference();
            let by_tag = last && reference.digest().is_none();
            let object = if by_tag { reference.object() } else { document.digest.as_str() };
            let media_type = &document.descriptor.media_type;
            let sent = registry.push_manifest(object, &document.digest, media_type, &document.bytes).await;
            let sent = sent.map_err(|source| failed(&document.descriptor, source))?;
            if sent { document.part.complete() } else { document.part.exists() }
        }
        progress.image("pushed content", image, target);
        progress.event(format!("Completed push to OCI Registry ({name})"));
        Ok(())
    }

    async fn plan(
        &self,
        scope: &Scope,
        (descriptor, parents): (&Descriptor, Vec<String>),
        (platforms, tell): (&[Platform], &Tell<'_>),
        plan: &mut Plan,
        depth: usize,
    ) -> Result<(), TransportError> {
        if !plan.seen.insert(descriptor.digest.clone()) {
            return Ok(());
        }
        let digest = descriptor.digest(&descriptor.digest)?;
        // What is above is told of first: clients draw a tree.
        let part = tell(descriptor, parents);
        let below = vec![descriptor.reference_key()];
        match descriptor.role() {
            Role::Index if depth > 0 => {
                let bytes = self.content.read(&scope.namespace, &digest, MANIFEST_LIMIT).await?;
                let wanted = |child: &&Descriptor| {
                    let platform = child.platform.as_ref();
                    platforms.is_empty()
                        || platform
                            .is_none_or(|is| platforms.iter().any(|platform| platform.rank(is).is_some()))
                };
                for child in Index::parse(&descriptor.digest, &bytes)?.manifests.iter().filter(wanted) {
                    let child = (child, below.clone());
                    Box::pin(self.plan(scope, child, (platforms, tell), plan, depth - 1)).await?;
                }
                plan.documents.push(Document { descriptor: descriptor.clone(), digest, bytes, part });
            }
            Role::Manifest => {
                let bytes = self.content.read(&scope.namespace, &digest, MANIFEST_LIMIT).await?;
                let manifest = Manifest::parse(&descriptor.digest, &bytes)?;
                for blob in std::iter::once(manifest.config).chain(manifest.layers) {
                    if plan.seen.insert(blob.digest.clone()) {
                        let part = tell(&blob, below.clone());
                        plan.blobs.push((blob, part));
                    }
                }
                plan.documents.push(Document { descriptor: descriptor.clone(), digest, bytes, part });
            }
            _ => plan.blobs.push((descriptor.clone(), part)),
        }
        Ok(())
    }

    async fn send(
        &self,
        scope: &Scope,
        registry: &Registry,
        blob: &Descriptor,
        part: &Part,
    ) -> Result<(), TransportError> {
        let _place = self.layers.acquire().await;
        let digest = blob.digest(&blob.digest)?;
        let known = self.content.info(&scope.namespace, &digest)?;
        let reference = registry.reference();
        let sources = self.sources(scope, &digest, reference.host());
        let telling = part.clone();
        let source = Source {
            path: self.content.path(&digest),
            size: known.size.unsigned_abs(),
            mount_from: sources.into_iter().find(|repository| repository != reference.path()),
            sent: Arc::new(move |more| telling.uploading(more)),
            digest,
        };
        if registry.push_blob(&source).await.map_err(|source| failed(blob, source))? {
            part.complete();
        } else {
            part.exists();
        }
        match self.label_source(scope, &source.digest, &super::layer::origin(registry)).await {
            // Collected or deleted while it was sent: the registry has it.
            Err(TransportError::Content(ContentError::NotFound(_))) => Ok(()),
            other => other,
        }
    }
}

fn failed(descriptor: &Descriptor, source: crate::registry::RegistryError) -> TransportError {
    TransportError::Registry { action: format!("push {}", descriptor.digest), source }
}
