//! Where a container is in its life, derived each time it is asked for.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::{Container, ContainerError};
use crate::spec::VERSION;

/// The states of the runtime-spec, and runc's `paused`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// Its environment is being made.
    Creating,
    /// It waits for `start`.
    Created,
    /// Its own code runs.
    Running,
    /// Its cgroup is frozen.
    Paused,
    /// Its first process ended.
    Stopped,
}

impl Status {
    /// The name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// The state that hooks read on stdin, and seccomp agents get.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OciState<'a> {
    oci_version: &'static str,
    id: &'a str,
    status: Status,
    #[serde(skip_serializing_if = "is_zero")]
    pid: i32,
    bundle: &'a Path,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
const fn is_zero(pid: &i32) -> bool {
    *pid == 0
}

impl<'a> OciState<'a> {
    /// The state of container `id` with first process `pid` (0: none).
    pub(crate) const fn new(
        id: &'a str,
        status: Status,
        pid: i32,
        bundle: &'a Path,
        annotations: &'a BTreeMap<String, String>,
    ) -> Self {
        Self { oci_version: VERSION, id, status, pid, bundle, annotations }
    }

    /// As JSON.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        // Strings, numbers and a map with string keys always encode.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Container {
    /// Where it is in its life.
    pub(crate) fn status(&self) -> Result<Status, ContainerError> {
        if self.cgroup.is_frozen()? {
            return Ok(Status::Paused);
        }
        if self.init().is_none() {
            return Ok(Status::Stopped);
        }
        if self.fifo().exists() { Ok(Status::Created) } else { Ok(Status::Running) }
    }

    /// The pid to show: 0 for a stopped container.
    pub(crate) fn shown_pid(&self, status: Status) -> i32 {
        match (status, self.state.init) {
            (Status::Stopped, _) | (_, None) => 0,
            (_, Some(init)) => init.pid,
        }
    }
}
