//! Documents of `/images`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::container::{ContainerConfig, GraphDriver};
use crate::is_default;

/// An image in a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ImageSummary {
    /// How many containers use it; -1 when not counted.
    pub containers: i64,
    /// Seconds since 1970.
    pub created: i64,
    /// Its ID.
    pub id: String,
    /// Its labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// The image that it was built upon, here.
    pub parent_id: String,
    /// Names by digest (`busybox@sha256:…`).
    pub repo_digests: Option<Vec<String>>,
    /// Names by tag (`busybox:latest`).
    pub repo_tags: Option<Vec<String>>,
    /// Bytes that other images have too; -1 when not counted.
    pub shared_size: i64,
    /// Bytes of its layers.
    pub size: i64,
    /// The same (versions before 1.44).
    #[serde(skip_serializing_if = "is_default")]
    pub virtual_size: i64,
}

/// `GET /images/{name}/json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ImageInspect {
    /// Its ID.
    pub id: String,
    /// Names by tag.
    pub repo_tags: Vec<String>,
    /// Names by digest.
    pub repo_digests: Vec<String>,
    /// The image that it was built upon, here.
    pub parent: String,
    /// What its maker said.
    pub comment: String,
    /// When it was made.
    pub created: String,
    /// The container that it was committed from.
    pub container: String,
    /// Config of that container: compose v1 reads it.
    pub container_config: ContainerConfig,
    /// Version of the program that made it.
    pub docker_version: String,
    /// Who made it.
    pub author: String,
    /// What containers of it are.
    pub config: ContainerConfig,
    /// CPU architecture.
    pub architecture: String,
    /// Variant of the architecture.
    #[serde(skip_serializing_if = "is_default")]
    pub variant: String,
    /// Operating system.
    pub os: String,
    /// Version of the operating system.
    #[serde(skip_serializing_if = "is_default")]
    pub os_version: String,
    /// Bytes of its layers.
    pub size: i64,
    /// The same (versions before 1.44).
    #[serde(skip_serializing_if = "is_default")]
    pub virtual_size: i64,
    /// Where its files are.
    pub graph_driver: GraphDriver,
    /// Its layers.
    #[serde(rename = "RootFS")]
    pub root_fs: RootFs,
    /// What this daemon knows of it beside.
    pub metadata: ImageMetadata,
}

/// The layers of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct RootFs {
    /// `layers`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Diff IDs, the lowest first.
    #[serde(skip_serializing_if = "is_default")]
    pub layers: Vec<String>,
}

/// What a daemon knows of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ImageMetadata {
    /// When it was tagged last.
    pub last_tag_time: String,
}

/// One step of an image's making.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct HistoryItem {
    /// What its maker said.
    pub comment: String,
    /// Seconds since 1970.
    pub created: i64,
    /// The instruction.
    pub created_by: String,
    /// ID of the image of this step, or `<missing>`.
    pub id: String,
    /// Bytes of its layer.
    pub size: i64,
    /// Names by tag of that image.
    pub tags: Option<Vec<String>>,
}

/// One thing that deleting an image did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DeleteItem {
    /// A name that is no more.
    #[serde(skip_serializing_if = "is_default")]
    pub untagged: String,
    /// An image or layer that is no more.
    #[serde(skip_serializing_if = "is_default")]
    pub deleted: String,
}

/// `POST /images/prune`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ImagePruneReport {
    /// What was removed.
    pub images_deleted: Option<Vec<DeleteItem>>,
    /// Bytes that are free now.
    pub space_reclaimed: u64,
}
