//! Mounts as they are asked for (`--mount`) and as they are reported.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::is_default;

/// One mount that is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Mount {
    /// `bind`, `volume`, `tmpfs`, `image`, `npipe` or `cluster`.
    #[serde(rename = "Type", skip_serializing_if = "is_default")]
    pub kind: String,
    /// Host path, volume name or image.
    #[serde(skip_serializing_if = "is_default")]
    pub source: String,
    /// Path in the container.
    #[serde(skip_serializing_if = "is_default")]
    pub target: String,
    /// Whether writing is refused.
    #[serde(skip_serializing_if = "is_default")]
    pub read_only: bool,
    /// `consistent`, `cached`, `delegated` or `default`; without effect on Linux.
    #[serde(skip_serializing_if = "is_default")]
    pub consistency: String,
    /// For `bind`.
    #[serde(skip_serializing_if = "is_default")]
    pub bind_options: Option<BindOptions>,
    /// For `volume`.
    #[serde(skip_serializing_if = "is_default")]
    pub volume_options: Option<VolumeOptions>,
    /// For `image`.
    #[serde(skip_serializing_if = "is_default")]
    pub image_options: Option<ImageOptions>,
    /// For `tmpfs`.
    #[serde(skip_serializing_if = "is_default")]
    pub tmpfs_options: Option<TmpfsOptions>,
}

/// Options of a bind mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct BindOptions {
    /// `rprivate`, `private`, `rshared`, `shared`, `rslave` or `slave`.
    #[serde(skip_serializing_if = "is_default")]
    pub propagation: String,
    /// Leave mounts below the source out.
    #[serde(skip_serializing_if = "is_default")]
    pub non_recursive: bool,
    /// Make the source when it is missing.
    #[serde(skip_serializing_if = "is_default")]
    pub create_mountpoint: bool,
    /// Make only the top mount read-only.
    #[serde(skip_serializing_if = "is_default")]
    pub read_only_non_recursive: bool,
    /// Fail when mounts below cannot be made read-only.
    #[serde(skip_serializing_if = "is_default")]
    pub read_only_force_recursive: bool,
}

/// Options of a volume mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct VolumeOptions {
    /// Do not copy the image's files into a new volume.
    #[serde(skip_serializing_if = "is_default")]
    pub no_copy: bool,
    /// Labels of the volume if this makes it.
    #[serde(skip_serializing_if = "is_default")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Folder of the volume to mount.
    #[serde(skip_serializing_if = "is_default")]
    pub subpath: String,
    /// Driver of the volume if this makes it.
    #[serde(skip_serializing_if = "is_default")]
    pub driver_config: Option<Driver>,
}

/// A volume driver and its options.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Driver {
    /// Its name.
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
    /// Its options.
    #[serde(skip_serializing_if = "is_default")]
    pub options: Option<BTreeMap<String, String>>,
}

/// Options of an image mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ImageOptions {
    /// Folder of the image to mount.
    #[serde(skip_serializing_if = "is_default")]
    pub subpath: String,
}

/// Options of a tmpfs mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct TmpfsOptions {
    /// Limit in bytes; 0 for the kernel's default.
    #[serde(skip_serializing_if = "is_default")]
    pub size_bytes: i64,
    /// Permission bits of its root; 0 for 1777.
    #[serde(skip_serializing_if = "is_default")]
    pub mode: u32,
    /// Options passed on: `[key]` or `[key, value]`.
    #[serde(skip_serializing_if = "is_default")]
    pub options: Option<Vec<Vec<String>>>,
}

/// One mount of a container, as `inspect` and `list` report it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct MountPoint {
    /// As in [`Mount`].
    #[serde(rename = "Type", skip_serializing_if = "is_default")]
    pub kind: String,
    /// Name of the volume.
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
    /// Path on the host.
    pub source: String,
    /// Path in the container.
    pub destination: String,
    /// Driver of the volume.
    #[serde(skip_serializing_if = "is_default")]
    pub driver: String,
    /// Options as they were given (`z`, `ro`).
    pub mode: String,
    /// Whether it can be written to.
    #[serde(rename = "RW")]
    pub rw: bool,
    /// Propagation of mounts.
    pub propagation: String,
}
