//! `wait`, `top` and `update`.

use serde::{Deserialize, Serialize};

use super::{Resources, RestartPolicy};
use crate::is_default;

/// Answer of `POST /containers/{id}/wait`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct WaitResponse {
    /// Why waiting failed.
    #[serde(skip_serializing_if = "is_default")]
    pub error: Option<WaitError>,
    /// How the container ended.
    pub status_code: i64,
}

/// Why waiting failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct WaitError {
    /// For people.
    #[serde(skip_serializing_if = "is_default")]
    pub message: String,
}

/// Answer of `GET /containers/{id}/top`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct TopResponse {
    /// One row a process.
    pub processes: Vec<Vec<String>>,
    /// Names of the columns.
    pub titles: Vec<String>,
}

/// Body of `POST /containers/{id}/update`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", default, rename_all = "PascalCase")]
pub struct UpdateConfig {
    /// New limits; what is zero stays as it is.
    #[serde(flatten, skip_deserializing)]
    pub resources: Resources,
    /// New policy; stays when its name is empty.
    pub restart_policy: RestartPolicy,
}
crate::decode::embeds!(UpdateConfig { resources });

/// Its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct UpdateResponse {
    /// What was asked for and will not be so.
    pub warnings: Option<Vec<String>>,
}
