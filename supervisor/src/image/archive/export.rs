//! `export`: images as a tar stream that is an OCI layout and a `docker save` at once.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};

use serde::Serialize;

use super::{IMAGE_NAME, ImageArchiveError, REFERENCE_NAME};
use crate::blocking;
use crate::diff::{ArchiveWriter, Entry, EntryKind, Timestamp};
use crate::image::manifest::{Config, Descriptor, Index, MANIFEST_LIMIT, Manifest, OCI_INDEX, Role};
use crate::image::platform::Platform;
use crate::image::transport::{Transport, TransportError};
use crate::namespace::Scope;
use crate::registry::Reference;

/// How deep indexes may lie in each other.
const DEPTH: usize = 4;

/// What of the images goes into the stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct ExportOptions {
    /// For which platforms; all when empty.
    pub(crate) platforms: Vec<Platform>,
    /// Leave `manifest.json` out.
    pub(crate) skip_docker: bool,
    /// Leave layers out that may not be distributed.
    pub(crate) skip_foreign: bool,
}

/// One image of `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Layout<'a> {
    schema_version: u32,
    media_type: &'a str,
    manifests: Vec<Descriptor>,
}

/// What goes into the stream.
#[derive(Default)]
struct Plan {
    /// Blobs and their length, by path.
    blobs: BTreeMap<String, (Descriptor, bool)>,
    saved: Vec<Saved>,
    manifests: Vec<Descriptor>,
}

impl Transport {
    /// Writes `images`, by name, to `output`.
    pub(crate) async fn export(
        &self,
        scope: &Scope,
        images: &[(String, Descriptor)],
        options: &ExportOptions,
        output: impl Write + Send + 'static,
    ) -> Result<(), TransportError> {
        let mut plan = Plan::default();
        for (name, target) in images {
            let found = self.collect(scope, target, options, &mut plan, true, DEPTH).await?;
            plan.manifests.push(annotated(name, target));
            if !options.skip_docker
                && let Some(manifest) = best(found, options)
            {
                add_saved(&mut plan.saved, name, &manifest);
            }
        }
        let (this, place) = (self.clone(), scope.clone());
        blocking::run(move || this.write_archive(&place, plan, output)).await
    }

    /// Adds `descriptor` and what it names; returns the manifests of images, with their platforms.
    async fn collect(
        &self,
        scope: &Scope,
        descriptor: &Descriptor,
        options: &ExportOptions,
        plan: &mut Plan,
        wanted: bool,
        depth: usize,
    ) -> Result<Vec<(Platform, Manifest)>, TransportError> {
        let digest = descriptor.digest(&descriptor.digest)?;
        if !wanted && self.content.info(&scope.namespace, &digest).is_err() {
            return Ok(Vec::new());
        }
        plan.blobs.insert(path(descriptor), (descriptor.clone(), wanted));
        let read = || self.content.read(&scope.namespace, &digest, MANIFEST_LIMIT);
        match descriptor.role() {
            Role::Index if depth > 0 => {
                let mut found = Vec::new();
                for child in Index::parse(&descriptor.digest, &read().await?)?.manifests {
                    // What a pull left out of an index cannot be written; asked for by platform, it must be here.
                    let named = child.platform.as_ref().is_some_and(|is| {
                        options.platforms.iter().any(|platform| platform.rank(is) == Some(0))
                    });
                    let skipped = !options.platforms.is_empty() && !named && child.platform.is_some();
                    if !skipped {
                        let inner = Box::pin(self.collect(scope, &child, options, plan, named, depth - 1));
                        found.extend(inner.await?);
                    }
                }
                Ok(found)
            }
            Role::Manifest => {
                let manifest = Manifest::parse(&descriptor.digest, &read().await?)?;
                let blobs = std::iter::once(&manifest.config).chain(&manifest.layers);
                for blob in blobs {
                    let foreign =
                        blob.media_type.contains("foreign") || blob.media_type.contains("nondistributable");
                    if !(foreign && options.skip_foreign) {
                        plan.blobs.insert(path(blob), (blob.clone(), wanted && !foreign));
                    }
                }
                if manifest.config.role() != Role::Config {
                    return Ok(Vec::new());
                }
                let config = manifest.config.digest(&descriptor.digest)?;
                let Ok(config) = self.content.read(&scope.namespace, &config, MANIFEST_LIMIT).await else {
                    return Ok(Vec::new());
                };
                let platform = Config::parse(&manifest.config.digest, &config)?.platform;
                Ok(vec![(platform, manifest)])
            }
            _ => Ok(Vec::new()),
        }
    }

    fn write_archive(&self, scope: &Scope, plan: Plan, output: impl Write) -> Result<(), TransportError> {
        let mut archive = ArchiveWriter::new(io::BufWriter::with_capacity(128 << 10, output));
        let failed = |source| TransportError::from(ImageArchiveError::Write(source));
        for folder in ["blobs", "blobs/sha256"] {
            archive.append(&entry(folder, EntryKind::Directory, 0o755), io::empty()).map_err(failed)?;
        }
        for (path, (descriptor, wanted)) in &plan.blobs {
            let digest = descriptor.digest(path)?;
            let file = match self.content.reader(&scope.namespace, &digest) {
                Err(crate::content::ContentError::NotFound(_)) if !wanted => continue,
                other => other?,
            };
            append(&mut archive, path, file).map_err(failed)?;
        }
        let index = Layout { schema_version: 2, media_type: OCI_INDEX, manifests: plan.manifests };
        let layout = serde_json::json!({ "imageLayoutVersion": "1.0.0" });
        let mut documents = vec![("index.json", json(&index)?)];
        if !plan.saved.is_empty() {
            documents.push(("manifest.json", json(&plan.saved)?));
        }
        documents.push(("oci-layout", json(&layout)?));
        for (path, bytes) in documents {
            let kind = EntryKind::File { size: bytes.len() as u64, segments: None };
            archive.append(&entry(path, kind, 0o444), bytes.as_slice()).map_err(failed)?;
        }
        archive.finish().and_then(|mut output| output.flush()).map_err(failed)
    }
}

/// The manifest that goes into `manifest.json`: that of the platform which fits best.
fn best(found: Vec<(Platform, Manifest)>, options: &ExportOptions) -> Option<Manifest> {
    let host = [Platform::host()];
    let wanted = if options.platforms.is_empty() { &host[..] } else { &options.platforms };
    let single = found.len() == 1;
    let rank = |platform: &Platform| wanted.iter().filter_map(|wanted| wanted.rank(platform)).min();
    let ranked = found.into_iter().filter_map(|(platform, manifest)| {
        let rank = rank(&platform).or_else(|| single.then_some(usize::MAX))?;
        Some((rank, manifest))
    });
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, manifest)| manifest)
}

fn add_saved(saved: &mut Vec<Saved>, name: &str, manifest: &Manifest) {
    let config = path(&manifest.config);
    let tag = name.parse::<Reference>().ok().filter(|reference| reference.digest().is_none());
    let tag = tag.map(|reference| format!("{}:{}", reference.familiar_name(), reference.object()));
    match saved.iter_mut().find(|image| image.config == config) {
        Some(image) => image.repo_tags.extend(tag),
        None => saved.push(Saved {
            config,
            repo_tags: tag.into_iter().collect(),
            layers: manifest.layers.iter().map(path).collect(),
        }),
    }
}

/// `target`, noted as the image called `name`.
fn annotated(name: &str, target: &Descriptor) -> Descriptor {
    let mut target = target.clone();
    target.annotations.insert(IMAGE_NAME.to_owned(), name.to_owned());
    if let Ok(reference) = name.parse::<Reference>()
        && let Some(tag) = reference.tag()
    {
        target.annotations.insert(REFERENCE_NAME.to_owned(), tag.to_owned());
    }
    target
}

fn path(descriptor: &Descriptor) -> String {
    format!("blobs/{}", descriptor.digest.replacen(':', "/", 1))
}

fn entry(path: &str, kind: EntryKind, mode: u32) -> Entry {
    let (path, modified) = (path.as_bytes().to_vec(), Timestamp::default());
    Entry { path, kind, mode, uid: 0, gid: 0, modified, attributes: Vec::new() }
}

fn append(archive: &mut ArchiveWriter<impl Write>, path: &str, file: File) -> io::Result<()> {
    let kind = EntryKind::File { size: file.metadata()?.len(), segments: None };
    archive.append(&entry(path, kind, 0o444), file)
}

fn json(document: &impl Serialize) -> Result<Vec<u8>, ImageArchiveError> {
    let path = "index.json".to_owned();
    serde_json::to_vec(document).map_err(|source| ImageArchiveError::Json { path, source })
}
