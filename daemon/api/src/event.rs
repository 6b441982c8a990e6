//! What the daemon tells about changes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::is_default;

/// One change, one line of `GET /events`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// The action again, for containers and images (versions before 1.52).
    #[serde(skip_serializing_if = "is_default")]
    pub status: String,
    /// The subject's ID again.
    #[serde(skip_serializing_if = "is_default")]
    pub id: String,
    /// The container's image.
    #[serde(skip_serializing_if = "is_default")]
    pub from: String,
    /// `container`, `image`, `network`, `volume`, `daemon`, …
    #[serde(rename = "Type")]
    pub kind: String,
    /// What happened.
    #[serde(rename = "Action")]
    pub action: String,
    /// To what.
    #[serde(rename = "Actor")]
    pub actor: Actor,
    /// `local` or `swarm`.
    #[serde(skip_serializing_if = "is_default")]
    pub scope: String,
    /// Seconds since 1970.
    #[serde(skip_serializing_if = "is_default")]
    pub time: i64,
    /// The same in nanoseconds.
    #[serde(rename = "timeNano", skip_serializing_if = "is_default")]
    pub time_nano: i64,
}

/// The subject of an [`Event`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Actor {
    /// Its ID or name.
    #[serde(rename = "ID")]
    pub id: String,
    /// Its labels, and what the action adds to them.
    #[serde(rename = "Attributes")]
    pub attributes: BTreeMap<String, String>,
}
