//! What a container is, apart from the host: what an image can give and `commit` can keep.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Empty, is_default};

/// `Config` of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ContainerConfig {
    /// Host name; the short ID when empty.
    pub hostname: String,
    /// NIS domain name.
    pub domainname: String,
    /// `user[:group]`, names or numbers.
    pub user: String,
    /// Whether the creating client meant to write to it.
    pub attach_stdin: bool,
    /// Whether the creating client meant to read its output.
    pub attach_stdout: bool,
    /// Whether the creating client meant to read its errors.
    pub attach_stderr: bool,
    /// Ports that it listens on (`80/tcp`).
    #[serde(skip_serializing_if = "is_default")]
    pub exposed_ports: Option<BTreeMap<String, Empty>>,
    /// On a terminal.
    pub tty: bool,
    /// With an open stdin.
    pub open_stdin: bool,
    /// Close stdin when the first client that attached to it is gone.
    pub stdin_once: bool,
    /// Environment (`NAME=value`).
    pub env: Option<Vec<String>>,
    /// Command, or arguments of the entrypoint.
    #[serde(deserialize_with = "crate::decode::words")]
    pub cmd: Option<Vec<String>>,
    /// How to find out whether it works.
    #[serde(skip_serializing_if = "is_default")]
    pub healthcheck: Option<HealthConfig>,
    /// Windows only.
    #[serde(skip_serializing_if = "is_default")]
    pub args_escaped: bool,
    /// Image as it was asked for.
    pub image: String,
    /// Paths that get an anonymous volume.
    pub volumes: Option<BTreeMap<String, Empty>>,
    /// Working directory.
    pub working_dir: String,
    /// Program before the command.
    #[serde(deserialize_with = "crate::decode::words")]
    pub entrypoint: Option<Vec<String>>,
    /// Without any network.
    #[serde(skip_serializing_if = "is_default")]
    pub network_disabled: bool,
    /// Link-layer address (versions before 1.44).
    #[serde(skip_serializing_if = "is_default")]
    pub mac_address: String,
    /// Instructions for builds upon the image.
    pub on_build: Option<Vec<String>>,
    /// Labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// Signal that asks it to end; `SIGTERM` when empty.
    #[serde(skip_serializing_if = "is_default")]
    pub stop_signal: String,
    /// Seconds between that signal and `SIGKILL`; 10 when absent.
    #[serde(skip_serializing_if = "is_default")]
    pub stop_timeout: Option<i64>,
    /// Shell of the build's shell form.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "crate::decode::words")]
    pub shell: Option<Vec<String>>,
}

/// How to find out whether a container works. Times are in nanoseconds; 0 takes the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct HealthConfig {
    /// `[]` inherits, `["NONE"]` turns off, `["CMD", …]` execs, `["CMD-SHELL", line]` asks the shell.
    #[serde(skip_serializing_if = "is_default")]
    pub test: Option<Vec<String>>,
    /// Between two checks.
    #[serde(skip_serializing_if = "is_default")]
    pub interval: i64,
    /// Until a check counts as failed.
    #[serde(skip_serializing_if = "is_default")]
    pub timeout: i64,
    /// From the start, while failures do not count.
    #[serde(skip_serializing_if = "is_default")]
    pub start_period: i64,
    /// Between two checks during the start period.
    #[serde(skip_serializing_if = "is_default")]
    pub start_interval: i64,
    /// Failures in a row that make it unhealthy.
    #[serde(skip_serializing_if = "is_default")]
    pub retries: i64,
}
