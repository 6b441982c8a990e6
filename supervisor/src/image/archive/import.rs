//! `import`: a tar stream becomes content, and an index of the images that it holds.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::{IMAGE_NAME, ImageArchiveError, REFERENCE_NAME};
use crate::blocking;
use crate::content::{ContentError, Digest};
use crate::diff::{Compression, Encoder, Entry, EntryKind, EntryPath, Reader, decode};
use crate::image::manifest::{
    Config, DOCKER_CONFIG, DOCKER_LAYER, DOCKER_LAYER_GZIP, DOCKER_MANIFEST, Descriptor, Index,
    MANIFEST_LIMIT, OCI_INDEX, OCI_LAYER,
};
use crate::image::progress::Progress;
use crate::image::pull::{Job, Selection};
use crate::image::transport::{Transport, TransportError, reference_labels, unique};
use crate::label::Labels;
use crate::namespace::Scope;
use crate::registry::Reference;

/// The longest `manifest.json`, `index.json` or `oci-layout`.
const JSON_LIMIT: u64 = 16 << 20;
/// The size of the pieces that files are stored in.
const PIECE: usize = 256 << 10;
/// The version of OCI layouts.
const LAYOUT: &str = "1.0.0";

/// What a stream held.
#[derive(Default)]
struct Contents {
    /// Blobs, by the path that documents name them by.
    blobs: HashMap<EntryPath, Blob>,
    /// Links, by path.
    links: HashMap<EntryPath, EntryPath>,
    layout: Option<Vec<u8>>,
    index: Option<Vec<u8>>,
    manifest: Option<Vec<u8>>,
}

#[derive(Clone)]
struct Blob {
    digest: Digest,
    size: u64,
    compression: Compression,
}

#[derive(Deserialize)]
struct Layout {
    #[serde(rename = "imageLayoutVersion")]
    version: String,
}

/// One image of `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "null_is_empty")]
    layers: Vec<String>,
}

fn null_is_empty<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A document of ours, in the fields and the order that others write.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    schema_version: u32,
    media_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<&'a Descriptor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<&'a [Descriptor]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifests: Option<&'a [Descriptor]>,
}

impl Transport {
    /// Stores the images of the archive in `input`, compressed or not, and returns the descriptor of their index and
    /// the index. With `compress`, layers that are not compressed are.
    ///
    /// The scope needs a lease: nothing refers to the images yet.
    pub(crate) async fn import(
        &self,
        scope: &Scope,
        input: impl Read + Send + 'static,
        compress: bool,
    ) -> Result<(Descriptor, Index), TransportError> {
        let (this, place, handle) = (self.clone(), scope.clone(), Handle::current());
        let contents = blocking::run(move || this.read_archive(&place, input, compress, &handle)).await?;
        if let Some(layout) = &contents.layout {
            let Layout { version } = parse("oci-layout", layout)?;
            if version != LAYOUT {
                return Err(ImageArchiveError::Version(version).into());
            }
            let index = contents.index.ok_or_else(|| missing("index.json"))?;
            let images = Index::parse("index.json", &index)?;
            let descriptor = self.keep(scope, OCI_INDEX, index, &images.manifests).await?;
            return Ok((descriptor, images));
        }
        let saved = contents.manifest.as_deref().ok_or(ImageArchiveError::Format)?;
        let saved: Vec<Saved> = parse("manifest.json", saved)?;
        let mut manifests = Vec::new();
        for image in &saved {
            manifests.extend(self.docker_image(scope, &contents, image).await?);
        }
        let index = write(&Document {
            schema_version: 2,
            media_type: OCI_INDEX,
            config: None,
            layers: None,
            manifests: Some(&manifests),
        })?;
        let descriptor = self.keep(scope, OCI_INDEX, index, &manifests).await?;
        Ok((descriptor, Index { manifests }))
    }

    /// Labels, and unpacks as `selection` says, the images of an index that was imported.
    pub(crate) async fn settle(
        &self,
        scope: &Scope,
        index: &Index,
        selection: &Selection,
        progress: &Progress,
    ) -> Result<(), TransportError> {
        let job = Job { scope, registry: None, selection, progress };
        for manifest in &index.manifests {
            let parents = vec![manifest.annotations.get(IMAGE_NAME).cloned().unwrap_or_default()];
            self.tree(&job, manifest.clone(), parents, None, true, 3).await?;
        }
        Ok(())
    }

    /// Stores every file of the archive. Runs on a thread that may block.
    fn read_archive(
        &self,
        scope: &Scope,
        input: impl Read + Send,
        compress: bool,
        handle: &Handle,
    ) -> Result<Contents, TransportError> {
        let mut archive = Reader::new(decode(input).map_err(ImageArchiveError::Decompress)?);
        let mut contents = Contents::default();
        while let Some(entry) = archive.next().map_err(ImageArchiveError::from)? {
            let Ok(path) = EntryPath::parse(&entry.path) else { continue };
            match &entry.kind {
                EntryKind::File { size, .. } => {
                    self.read_file(scope, &mut contents, &path, *size, &mut archive, compress, handle)?;
                }
                EntryKind::Symlink(target) | EntryKind::Hardlink(target) => {
                    if let Some(target) = link_target(&entry, &path, target) {
                        contents.links.insert(path, target);
                    }
                }
                _ => {}
            }
        }
        // The rest of the stream belongs to it: whoever sends must come to an end.
        let mut rest = archive.into_input();
        io::copy(&mut rest, &mut io::sink()).map_err(ImageArchiveError::Decompress)?;
        Ok(contents)
    }

    #[expect(clippy::too_many_arguments, reason = "one call, from the loop above")]
    fn read_file(
        &self,
        scope: &Scope,
        contents: &mut Contents,
        path: &EntryPath,
        size: u64,
        data: &mut impl Read,
        compress: bool,
        handle: &Handle,
    ) -> Result<(), TransportError> {
        let document = match path.as_bytes() {
            b"oci-layout" => &mut contents.layout,
            b"index.json" => &mut contents.index,
            b"manifest.json" => &mut contents.manifest,
            // Superseded by the two above.
            b"repositories" => return Ok(()),
            _ => {
                let blob = self.store_file(scope, path, size, data, compress, handle)?;
                contents.blobs.insert(path.clone(), blob);
                return Ok(());
            }
        };
        if size > JSON_LIMIT {
            return Err(ImageArchiveError::Long { path: path.display(), limit: JSON_LIMIT }.into());
        }
        let mut bytes = Vec::new();
        data.read_to_end(&mut bytes)
            .map_err(|source| ImageArchiveError::File { path: path.display(), source })?;
        *document = Some(bytes);
        Ok(())
    }

    /// Stores one file as a blob of its own digest.
    fn store_file(
        &self,
        scope: &Scope,
        path: &EntryPath,
        size: u64,
        data: &mut impl Read,
        compress: bool,
        handle: &Handle,
    ) -> Result<Blob, TransportError> {
        let failed = |source| ImageArchiveError::File { path: path.display(), source };
        let expected = named_digest(path);
        if let Some(digest) = &expected
            && let Ok(known) = self.content.info(&scope.namespace, digest)
            && known.size.unsigned_abs() == size
        {
            handle.block_on(self.hold_content(scope, digest))?;
            let mut head = [0; 4];
            let count = read_full(data, &mut head).map_err(failed)?;
            let compression = Compression::detect(&head[..count]);
            return Ok(Blob { digest: digest.clone(), size, compression });
        }
        let reference = format!("import-{}", unique());
        let mut writer = handle.block_on(self.content.writer(scope, &reference, None, 0))?;
        let mut buffer = vec![0; PIECE];
        let count = read_full(data, &mut buffer).map_err(failed)?;
        let mut compression = Compression::detect(&buffer[..count]);
        // Only archives are worth it, and documents must keep their digest.
        let layer = compress
            && expected.is_none()
            && compression == Compression::None
            && path.as_bytes().ends_with(b".tar");
        let target = if layer { Compression::Gzip } else { Compression::None };
        let mut encoder =
            Encoder::new(target, Appended { writer: &mut writer, failure: None }).map_err(failed)?;
        let mut written = io::Write::write_all(&mut encoder, &buffer[..count]);
        while written.is_ok() {
            match read_full(data, &mut buffer).map_err(failed)? {
                0 => break,
                count => written = io::Write::write_all(&mut encoder, &buffer[..count]),
            }
        }
        let appended = written.and_then(|()| encoder.finish()).map_err(failed)?;
        if let Some(failure) = appended.failure {
            return Err(failure.into());
        }
        if layer {
            compression = Compression::Gzip;
        }
        let (digest, size) = (writer.digest(), writer.offset().unsigned_abs());
        if let Some(expected) = expected.filter(|expected| *expected != digest) {
            drop(writer);
            drop(handle.block_on(self.content.abort(scope, &reference)));
            let error = crate::content::WriteError::Digest { actual: digest, expected };
            return Err(ContentError::from(error).into());
        }
        match handle.block_on(writer.commit(0, Some(&digest), Labels::new())) {
            Ok(_) | Err(ContentError::AlreadyExists(_)) => Ok(Blob { digest, size, compression }),
            Err(error) => Err(error.into()),
        }
    }

    /// The manifest of an image that `docker save` wrote, once for each of its names.
    async fn docker_image(
        &self,
        scope: &Scope,
        contents: &Contents,
        image: &Saved,
    ) -> Result<Vec<Descriptor>, TransportError> {
        let config = contents.find(&image.config)?;
        let layers = image.layers.iter().map(|path| contents.find(path)).collect::<Result<Vec<_>, _>>()?;
        let descriptor = |blob: &Blob, media_type: &str| Descriptor {
            media_type: media_type.to_owned(),
            digest: blob.digest.to_string(),
            size: blob.size,
            ..Descriptor::default()
        };
        let layer = |blob: &Blob| match blob.compression {
            Compression::None => descriptor(blob, DOCKER_LAYER),
            Compression::Gzip => descriptor(blob, DOCKER_LAYER_GZIP),
            Compression::Zstd => descriptor(blob, &format!("{OCI_LAYER}+zstd")),
        };
        let text = self.content.read(&scope.namespace, &config.digest, MANIFEST_LIMIT).await?;
        let platform = Config::parse(config.digest.as_str(), &text)?.platform;
        let (config, layers) =
            (descriptor(&config, DOCKER_CONFIG), layers.iter().map(layer).collect::<Vec<_>>());
        let document = Document {
            schema_version: 2,
            media_type: DOCKER_MANIFEST,
            config: Some(&config),
            layers: Some(&layers),
            manifests: None,
        };
        let children = [std::slice::from_ref(&config), &layers].concat();
        let mut manifest = self.keep(scope, DOCKER_MANIFEST, write(&document)?, &children).await?;
        manifest.platform = Some(platform.normalized());
        if image.repo_tags.is_empty() {
            return Ok(vec![manifest]);
        }
        Ok(image.repo_tags.iter().map(|name| named(&manifest, name)).collect())
    }

    /// Stores a document of ours that names `children`.
    async fn keep(
        &self,
        scope: &Scope,
        media_type: &str,
        bytes: Vec<u8>,
        children: &[Descriptor],
    ) -> Result<Descriptor, TransportError> {
        let digest = Digest::of(&bytes);
        let (media_type, size) = (media_type.to_owned(), bytes.len() as u64);
        let descriptor = Descriptor { media_type, digest: digest.to_string(), size, ..Descriptor::default() };
        self.store(scope, &descriptor, &digest, bytes, reference_labels(children)).await?;
        Ok(descriptor)
    }
}

impl Contents {
    /// The blob at `path`, links followed a few times.
    fn find(&self, path: &str) -> Result<Blob, ImageArchiveError> {
        let mut at = EntryPath::parse(path.as_bytes()).map_err(|_| missing(path))?;
        for _ in 0..8 {
            if let Some(blob) = self.blobs.get(&at) {
                return Ok(blob.clone());
            }
            at = self.links.get(&at).cloned().ok_or_else(|| missing(path))?;
        }
        Err(missing(path))
    }
}

/// `manifest`, called `name`.
fn named(manifest: &Descriptor, name: &str) -> Descriptor {
    let mut annotations = BTreeMap::new();
    match name.parse::<Reference>() {
        Ok(reference) => {
            annotations.insert(IMAGE_NAME.to_owned(), reference.to_string());
            annotations.insert(REFERENCE_NAME.to_owned(), reference.object().to_owned());
        }
        Err(_) => drop(annotations.insert(REFERENCE_NAME.to_owned(), name.to_owned())),
    }
    Descriptor { annotations, ..manifest.clone() }
}

/// Where a link in the archive leads.
fn link_target(entry: &Entry, path: &EntryPath, target: &[u8]) -> Option<EntryPath> {
    let relative = matches!(entry.kind, EntryKind::Symlink(_)) && !target.starts_with(b"/");
    match path.split() {
        Some((folder, _)) if relative => EntryPath::parse(&[folder.as_bytes(), b"/", target].concat()).ok(),
        _ => EntryPath::parse(target).ok(),
    }
}

/// The digest that `blobs/ALGORITHM/HEX` promises.
fn named_digest(path: &EntryPath) -> Option<Digest> {
    let text = std::str::from_utf8(path.as_bytes()).ok()?;
    text.strip_prefix("blobs/")?.replacen('/', ":", 1).parse().ok()
}

fn read_full(data: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match data.read(&mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

/// An ingest as something to write to; the store's own error is kept beside.
struct Appended<'a> {
    writer: &'a mut crate::content::Writer,
    failure: Option<ContentError>,
}

impl io::Write for Appended<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.failure.is_none()
            && let Err(error) = self.writer.append(data)
        {
            self.failure = Some(error);
        }
        // The caller looks at the failure at the end; until then the bytes go nowhere.
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn parse<T: serde::de::DeserializeOwned>(path: &str, bytes: &[u8]) -> Result<T, ImageArchiveError> {
    serde_json::from_slice(bytes).map_err(|source| ImageArchiveError::Json { path: path.to_owned(), source })
}

fn write(document: &Document<'_>) -> Result<Vec<u8>, ImageArchiveError> {
    let path = document.media_type.to_owned();
    serde_json::to_vec(document).map_err(|source| ImageArchiveError::Json { path, source })
}

fn missing(path: &str) -> ImageArchiveError {
    ImageArchiveError::Missing { path: path.to_owned() }
}
