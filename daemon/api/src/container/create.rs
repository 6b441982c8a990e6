//! `POST /containers/create`.

use serde::{Deserialize, Serialize};

use super::{ContainerConfig, HostConfig};
use crate::endpoint::NetworkingConfig;

/// Its body: a [`ContainerConfig`] with two more keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", default, rename_all = "PascalCase")]
pub struct CreateRequest {
    /// What the container is.
    #[serde(flatten, skip_deserializing)]
    pub config: ContainerConfig,
    /// What it gets from the host.
    pub host_config: Option<HostConfig>,
    /// The networks it joins.
    pub networking_config: Option<NetworkingConfig>,
}
crate::decode::embeds!(CreateRequest { config });

/// Its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct CreateResponse {
    /// ID of the new container.
    pub id: String,
    /// What was asked for and will not be so.
    pub warnings: Vec<String>,
}
