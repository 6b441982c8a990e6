//! The documents that an image is made of: index, manifest, config.

use dhow_engine_api::container::ContainerConfig;
use serde::{Deserialize, Serialize};

/// OCI's and Docker's media types that matter here.
pub(super) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(super) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const INDEXES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
const MANIFESTS: [&str; 2] = [OCI_MANIFEST, "application/vnd.docker.distribution.manifest.v2+json"];

/// A blob by its digest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: String,
    pub(crate) size: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
}

impl Descriptor {
    /// Whether it is a list of images for several platforms.
    pub(super) fn is_index(&self) -> bool {
        INDEXES.contains(&self.media_type.as_str())
    }

    pub(super) fn is_manifest(&self) -> bool {
        MANIFESTS.contains(&self.media_type.as_str())
    }
}

/// A platform.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Platform {
    #[serde(default)]
    pub(crate) os: String,
    #[serde(default)]
    pub(crate) architecture: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) variant: String,
}

impl Platform {
    /// This machine's, in Go's words.
    pub(crate) fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "powerpc64" => "ppc64le",
            other => other,
        };
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: String::new() }
    }

    /// Reads `os/architecture[/variant]`, or an architecture alone.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let host = Self::host();
        let mut parts = text.split('/');
        let first = parts.next().filter(|part| !part.is_empty())?.to_lowercase();
        let second = parts.next().map(str::to_lowercase);
        let variant = parts.next().unwrap_or_default().to_lowercase();
        let (os, architecture) = match second {
            Some(architecture) => (first, architecture),
            None if first == "linux" => (first, host.architecture),
            None => (host.os, first),
        };
        let architecture = match architecture.as_str() {
            "x86_64" | "x86-64" => "amd64".to_owned(),
            "aarch64" => "arm64".to_owned(),
            _ => architecture,
        };
        parts.next().is_none().then_some(Self { os, architecture, variant })
    }

    /// Whether an image for `self` runs where `wanted` is wanted.
    pub(super) fn satisfies(&self, wanted: &Self) -> bool {
        self.os == wanted.os
            && self.architecture == wanted.architecture
            && (wanted.variant.is_empty() || self.variant.is_empty() || self.variant == wanted.variant)
    }
}

/// A list of images for several platforms.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Index {
    #[serde(default)]
    pub(super) manifests: Vec<Descriptor>,
}

/// An image's config and layers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub(super) schema_version: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) media_type: String,
    pub(super) config: Descriptor,
    #[serde(default)]
    pub(super) layers: Vec<Descriptor>,
}

/// What an image is: OCI's fields with Docker's beside them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ImageConfig {
    pub(crate) architecture: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) variant: String,
    pub(crate) os: String,
    #[serde(rename = "os.version", skip_serializing_if = "String::is_empty")]
    pub(crate) os_version: String,
    pub(crate) created: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) author: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) comment: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) docker_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) container: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) container_config: Option<ContainerConfig>,
    pub(crate) config: ContainerConfig,
    pub(crate) rootfs: RootFs,
    pub(crate) history: Vec<Step>,
}

/// Diff IDs of an image's layers, the lowest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RootFs {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) diff_ids: Vec<String>,
}

/// One step of an image's making.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Step {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) created_by: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) author: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) comment: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) empty_layer: bool,
}

/// The chain IDs of layers: each names a layer and all below it.
pub(crate) fn chain_ids(diff_ids: &[String]) -> Vec<String> {
    use sha2::{Digest, Sha256};
    let mut chain: Vec<String> = Vec::new();
    for diff_id in diff_ids {
        chain.push(match chain.last() {
            None => diff_id.clone(),
            Some(below) => format!("sha256:{}", hex::encode(Sha256::digest(format!("{below} {diff_id}")))),
        });
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_id_covers_what_is_below() {
        let diff_ids = ["sha256:a".to_owned(), "sha256:b".to_owned()];
        let chain = chain_ids(&diff_ids);
        assert_eq!(chain[0], "sha256:a");
        // printf 'sha256:a sha256:b' | sha256sum
        assert_eq!(chain[1].len(), 71);
        assert_ne!(chain_ids(&["sha256:b".to_owned(), "sha256:a".to_owned()])[1], chain[1]);
    }

    #[test]
    fn platforms_are_read_as_people_write_them() {
        let parse =
            |text| Platform::parse(text).map(|p| format!("{}/{}/{}", p.os, p.architecture, p.variant));
        assert_eq!(parse("linux/arm64/v8").as_deref(), Some("linux/arm64/v8"));
        assert_eq!(parse("x86_64").as_deref(), Some("linux/amd64/"));
        assert_eq!(parse(""), None);
        assert_eq!(parse("a/b/c/d"), None);
    }
}
