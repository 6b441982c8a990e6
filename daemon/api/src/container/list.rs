//! `GET /containers/json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::endpoint::EndpointSettings;
use crate::is_default;
use crate::mount::MountPoint;

/// One container in a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ContainerSummary {
    /// Its ID.
    pub id: String,
    /// `/` and its name.
    pub names: Vec<String>,
    /// Image as it was asked for, or its ID when that name means another image by now.
    pub image: String,
    /// ID of its image.
    #[serde(rename = "ImageID")]
    pub image_id: String,
    /// Command line, quoted for a shell.
    pub command: String,
    /// Seconds since 1970.
    pub created: i64,
    /// Its ports.
    pub ports: Vec<Port>,
    /// Bytes that it wrote (`size=1`).
    #[serde(skip_serializing_if = "is_default")]
    pub size_rw: i64,
    /// Bytes of all its files (`size=1`).
    #[serde(skip_serializing_if = "is_default")]
    pub size_root_fs: i64,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// As in [`super::ContainerState::status`].
    pub state: String,
    /// The same for people: `Up 2 seconds (healthy)`.
    pub status: String,
    /// A few of its host's fields.
    pub host_config: SummaryHostConfig,
    /// Its endpoints.
    pub network_settings: SummaryNetworkSettings,
    /// Its mounts.
    pub mounts: Vec<MountPoint>,
}

/// What a list tells of a [`super::HostConfig`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct SummaryHostConfig {
    /// As in [`super::HostConfig`].
    #[serde(skip_serializing_if = "is_default")]
    pub network_mode: String,
    /// As in [`super::HostConfig`].
    #[serde(skip_serializing_if = "is_default")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// What a list tells of [`super::NetworkSettings`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct SummaryNetworkSettings {
    /// Endpoint in each network, by the network's name.
    pub networks: BTreeMap<String, EndpointSettings>,
}

/// One port of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Port {
    /// Address of the host that it is published at.
    #[serde(rename = "IP", skip_serializing_if = "is_default")]
    pub ip: String,
    /// Port in the container.
    #[serde(rename = "PrivatePort")]
    pub private_port: u16,
    /// Port of the host.
    #[serde(rename = "PublicPort", skip_serializing_if = "is_default")]
    pub public_port: u16,
    /// `tcp`, `udp` or `sctp`.
    #[serde(rename = "Type")]
    pub kind: String,
}
