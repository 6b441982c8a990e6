//! Documents of `/system/df` and `/build/prune`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::container::ContainerSummary;
use crate::image::ImageSummary;
use crate::volume::Volume;

/// `GET /system/df`; what was not asked for is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DiskUsage {
    /// Bytes of all layers of images, each counted once.
    pub layers_size: i64,
    /// The images, with how much each shares and how many containers have it.
    pub images: Option<Vec<ImageSummary>>,
    /// The containers, with the bytes that each wrote.
    pub containers: Option<Vec<ContainerSummary>>,
    /// The volumes, with what each holds.
    pub volumes: Option<Vec<Volume>>,
    /// What builds keep to be faster next time.
    pub build_cache: Option<Vec<Value>>,
}

/// `POST /build/prune`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct BuildPruneReport {
    /// IDs of what was removed.
    pub caches_deleted: Option<Vec<String>>,
    /// Bytes that are free now.
    pub space_reclaimed: u64,
}
