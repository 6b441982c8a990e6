//! The documents of an image: index, manifest, configuration, and the descriptors that tie them together.
//!
//! OCI's and Docker's forms (schema 2) have the same fields under other media types. What an image is made of is
//! read here with limits; documents are never written back from these types, so that digests stay what they are.

use std::collections::BTreeMap;

use dhow_proto::containerd::types;
use dhow_proto::error::Kind;
use serde::{Deserialize, Serialize};

use super::platform::Platform;
use crate::content::{Digest, DigestError};
use crate::fault::Fault;

/// The longest manifest, index or configuration.
pub(crate) const MANIFEST_LIMIT: u64 = 4 << 20;
/// The most entries of an index, or layers of an image.
const ENTRIES_LIMIT: usize = 4096;
/// The most layers of an image that can be mounted.
const LAYERS_LIMIT: usize = 500;

/// OCI's index.
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// OCI's manifest.
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI's configuration.
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// OCI's layer, not compressed.
pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// Docker's index.
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's manifest.
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's configuration.
pub(crate) const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Docker's layer, compressed.
pub(crate) const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// Docker's layer, not compressed.
pub(crate) const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
/// What a registry is told that we understand.
pub(crate) const ACCEPTED: &str = "application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.oci.image.index.v1+json, */*";

/// What points to content.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    /// What it is.
    pub(crate) media_type: String,
    /// Its digest.
    pub(crate) digest: String,
    /// Its length.
    pub(crate) size: u64,
    /// Notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
    /// For which platform, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
}

fn null_is_empty<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// What kind of document or data a media type stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A list of manifests.
    Index,
    /// The manifest of one image.
    Manifest,
    /// The configuration of one image.
    Config,
    /// A layer of files.
    Layer,
    /// Anything else: kept, not looked into.
    Other,
}

/// Why a document cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestError {
    /// It is not the JSON that it should be.
    #[error("{what} {digest} is not valid")]
    Json {
        /// Which document.
        what: &'static str,
        /// Its digest.
        digest: String,
        /// Why.
        source: serde_json::Error,
    },
    /// A digest in it is none.
    #[error("{digest:?} in {parent}")]
    Digest {
        /// What stands there.
        digest: String,
        /// Where.
        parent: String,
        /// Why.
        source: DigestError,
    },
    /// It is too long.
    #[error("{digest} has {count} entries, more than {limit}")]
    Long {
        /// Which document.
        digest: String,
        /// How many.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// It is of a type that is not supported.
    #[error("{digest} has the media type {media_type:?}, which is not supported{}", hint(.media_type))]
    MediaType {
        /// Which document.
        digest: String,
        /// Its type.
        media_type: String,
    },
    /// Manifest and configuration tell different stories.
    #[error("number of layers and diffIDs don't match: {layers} != {diff_ids}")]
    Layers {
        /// In the manifest.
        layers: usize,
        /// In the configuration.
        diff_ids: usize,
    },
}

fn hint(media_type: &str) -> &'static str {
    if media_type.starts_with("application/vnd.docker.distribution.manifest.v1") {
        ": schema 1 image manifests are no longer supported; build and push the image with a newer tool"
    } else {
        ""
    }
}

impl Fault for ManifestError {
    fn kind(&self) -> Kind {
        Kind::InvalidArgument
    }
}

impl Descriptor {
    /// Its digest, checked.
    pub(crate) fn digest(&self, parent: &str) -> Result<Digest, ManifestError> {
        let (digest, parent) = (self.digest.clone(), parent.to_owned());
        self.digest.parse().map_err(|source| ManifestError::Digest { digest, parent, source })
    }

    /// What it stands for.
    pub(crate) fn role(&self) -> Role {
        match self.media_type.as_str() {
            OCI_INDEX | DOCKER_LIST => Role::Index,
            OCI_MANIFEST | DOCKER_MANIFEST => Role::Manifest,
            OCI_CONFIG | DOCKER_CONFIG => Role::Config,
            other if is_layer(other) => Role::Layer,
            _ => Role::Other,
        }
    }

    /// The name of its ingest, and of its progress, as containerd makes it.
    pub(crate) fn reference_key(&self) -> String {
        let role = match self.role() {
            Role::Index => "index",
            Role::Manifest => "manifest",
            Role::Config => "config",
            Role::Layer => "layer",
            Role::Other => "unknown",
        };
        let role = if self.media_type.contains("in-toto") { "attestation" } else { role };
        format!("{role}-{}", self.digest)
    }
}

fn is_layer(media_type: &str) -> bool {
    media_type.starts_with("application/vnd.oci.image.layer.")
        || media_type.starts_with("application/vnd.docker.image.rootfs.diff.tar")
        || media_type.starts_with("application/vnd.docker.image.rootfs.foreign.diff.tar")
}

impl From<&Descriptor> for types::Descriptor {
    fn from(descriptor: &Descriptor) -> Self {
        Self {
            media_type: descriptor.media_type.clone(),
            digest: descriptor.digest.clone(),
            size: i64::try_from(descriptor.size).unwrap_or(i64::MAX),
            annotations: descriptor.annotations.clone().into_iter().collect(),
        }
    }
}

impl From<types::Descriptor> for Descriptor {
    fn from(wire: types::Descriptor) -> Self {
        Self {
            media_type: wire.media_type,
            digest: wire.digest,
            size: u64::try_from(wire.size).unwrap_or_default(),
            annotations: wire.annotations.into_iter().collect(),
            platform: None,
        }
    }
}

/// A list of manifests, for several platforms.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Index {
    /// The manifests.
    #[serde(default)]
    pub(crate) manifests: Vec<Descriptor>,
}

/// The parts of one image.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Manifest {
    /// Its configuration.
    pub(crate) config: Descriptor,
    /// Its layers, the lowest first.
    #[serde(default)]
    pub(crate) layers: Vec<Descriptor>,
}

/// What of a configuration matters for unpacking.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Config {
    /// The platform of the image.
    #[serde(flatten)]
    pub(crate) platform: Platform,
    /// Its layers.
    #[serde(default)]
    pub(crate) rootfs: RootFs,
}

/// The layers of an image, uncompressed.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RootFs {
    /// Their diff IDs, the lowest first.
    pub(crate) diff_ids: Vec<String>,
}

impl Index {
    /// Reads the index `digest`.
    pub(crate) fn parse(digest: &str, bytes: &[u8]) -> Result<Self, ManifestError> {
        let json = |source| ManifestError::Json { what: "index", digest: digest.to_owned(), source };
        let index: Self = serde_json::from_slice(bytes).map_err(json)?;
        limited(digest, index.manifests.len(), ENTRIES_LIMIT)?;
        Ok(index)
    }
}

impl Manifest {
    /// Reads the manifest `digest`.
    pub(crate) fn parse(digest: &str, bytes: &[u8]) -> Result<Self, ManifestError> {
        let json = |source| ManifestError::Json { what: "manifest", digest: digest.to_owned(), source };
        let manifest: Self = serde_json::from_slice(bytes).map_err(json)?;
        limited(digest, manifest.layers.len(), ENTRIES_LIMIT)?;
        Ok(manifest)
    }
}

impl Config {
    /// Reads the configuration `digest`.
    pub(crate) fn parse(digest: &str, bytes: &[u8]) -> Result<Self, ManifestError> {
        let json = |source| ManifestError::Json { what: "config", digest: digest.to_owned(), source };
        serde_json::from_slice(bytes).map_err(json)
    }

    /// The diff IDs for the `layers` of a manifest: as many as there are layers, and no more than can be mounted.
    pub(crate) fn diff_ids(&self, digest: &str, layers: usize) -> Result<Vec<Digest>, ManifestError> {
        let texts = &self.rootfs.diff_ids;
        if texts.len() != layers {
            return Err(ManifestError::Layers { layers, diff_ids: texts.len() });
        }
        limited(digest, layers, LAYERS_LIMIT)?;
        let parse = |text: &String| {
            let (wrong, parent) = (text.clone(), digest.to_owned());
            text.parse().map_err(|source| ManifestError::Digest { digest: wrong, parent, source })
        };
        texts.iter().map(parse).collect()
    }
}

fn limited(digest: &str, count: usize, limit: usize) -> Result<(), ManifestError> {
    if count > limit {
        return Err(ManifestError::Long { digest: digest.to_owned(), count, limit });
    }
    Ok(())
}

/// The chain IDs of a stack of layers: each names a layer and everything below it.
pub(crate) fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        chain.push(match chain.last() {
            None => diff_id.clone(),
            Some(below) => Digest::of(format!("{below} {diff_id}").as_bytes()),
        });
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(byte: u8) -> Digest {
        Digest::of(&[byte])
    }

    #[test]
    fn a_chain_id_names_everything_below() {
        let (a, b) = (digest(1), digest(2));
        let chain = chain_ids(&[a.clone(), b.clone()]);
        assert_eq!(chain[0], a);
        assert_eq!(chain[1], Digest::of(format!("{a} {b}").as_bytes()));
        assert!(chain_ids(&[]).is_empty());
    }

    #[test]
    fn roles_and_keys_are_those_of_containerd() {
        let key = |media_type: &str| {
            Descriptor {
                media_type: media_type.to_owned(),
                digest: "sha256:1".to_owned(),
                ..Descriptor::default()
            }
            .reference_key()
        };
        assert_eq!(key(OCI_INDEX), "index-sha256:1");
        assert_eq!(key(DOCKER_MANIFEST), "manifest-sha256:1");
        assert_eq!(key(DOCKER_CONFIG), "config-sha256:1");
        assert_eq!(key("application/vnd.oci.image.layer.v1.tar+zstd"), "layer-sha256:1");
        assert_eq!(key(DOCKER_LAYER_GZIP), "layer-sha256:1");
        assert_eq!(key("application/octet-stream"), "unknown-sha256:1");
    }

    #[test]
    fn documents_of_both_families_are_read() {
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{DOCKER_MANIFEST}","config":{{"mediaType":"{DOCKER_CONFIG}","size":7,
            "digest":"{}"}},"layers":[{{"mediaType":"{DOCKER_LAYER_GZIP}","size":9,"digest":"{}","annotations":null}}]}}"#,
            digest(1),
            digest(2)
        );
        let manifest = Manifest::parse("m", text.as_bytes()).expect("sound");
        assert_eq!(manifest.layers[0].role(), Role::Layer);
        let config =
            r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:0"]}}"#;
        let config = Config::parse("c", config.as_bytes()).expect("sound");
        assert_eq!(config.platform.to_string(), "linux/amd64");
        assert!(matches!(config.diff_ids("c", 2), Err(ManifestError::Layers { layers: 2, diff_ids: 1 })));
        assert!(matches!(config.diff_ids("c", 1), Err(ManifestError::Digest { .. })));
    }

    #[test]
    fn endless_documents_are_refused() {
        let entry = format!(r#"{{"mediaType":"x","digest":"{}","size":1}}"#, digest(1));
        let many = vec![entry; ENTRIES_LIMIT + 1].join(",");
        let error =
            Index::parse("i", format!(r#"{{"manifests":[{many}]}}"#).as_bytes()).expect_err("too long");
        assert!(matches!(error, ManifestError::Long { .. }));
        assert!(matches!(Manifest::parse("m", b"{}"), Err(ManifestError::Json { .. })));
    }
}
