//! Processes started in a running container beside its own.

use serde::{Deserialize, Serialize};

use crate::is_default;

/// Body of `POST /containers/{id}/exec`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ExecCreateRequest {
    /// `user[:group]`; empty for the container's.
    pub user: String,
    /// With every capability.
    pub privileged: bool,
    /// On a terminal of its own.
    pub tty: bool,
    /// First size of the terminal: height, width.
    #[serde(skip_serializing_if = "is_default")]
    pub console_size: Option<[u32; 2]>,
    /// Whether a client will write to it.
    pub attach_stdin: bool,
    /// Whether a client will read its errors.
    pub attach_stderr: bool,
    /// Whether a client will read its output.
    pub attach_stdout: bool,
    /// Detach by itself (old clients).
    #[serde(skip_serializing_if = "is_default")]
    pub detach: bool,
    /// Keys that detach a client.
    pub detach_keys: String,
    /// Environment beside the container's.
    pub env: Option<Vec<String>>,
    /// Working directory; empty for the container's.
    pub working_dir: String,
    /// The command.
    #[serde(deserialize_with = "crate::decode::words")]
    pub cmd: Option<Vec<String>>,
}

/// Answer to a creation: of an exec, or of an image by commit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IdResponse {
    /// The new ID.
    #[serde(rename = "Id")]
    pub id: String,
}

/// Body of `POST /exec/{id}/start`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ExecStartRequest {
    /// Answer at once and keep nobody attached.
    pub detach: bool,
    /// Whether the client expects a raw stream; must agree with the creation.
    pub tty: bool,
    /// First size of the terminal: height, width.
    #[serde(skip_serializing_if = "is_default")]
    pub console_size: Option<[u32; 2]>,
}

/// Answer of `GET /exec/{id}/json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ExecInspect {
    /// Its ID.
    #[serde(rename = "ID")]
    pub id: String,
    /// Whether it runs.
    pub running: bool,
    /// How it ended; `null` before.
    pub exit_code: Option<i64>,
    /// What was started.
    pub process_config: ExecProcessConfig,
    /// Whether stdin is open.
    pub open_stdin: bool,
    /// Whether stderr is kept.
    pub open_stderr: bool,
    /// Whether stdout is kept.
    pub open_stdout: bool,
    /// Always false: what Moby answers.
    pub can_remove: bool,
    /// The container it is in.
    #[serde(rename = "ContainerID")]
    pub container_id: String,
    /// Keys that detach a client, in base64 of their bytes.
    pub detach_keys: String,
    /// Its process ID on the host; 0 when it never ran.
    pub pid: u32,
}

/// The process of an exec.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecProcessConfig {
    /// On a terminal.
    pub tty: bool,
    /// First word of the command.
    pub entrypoint: String,
    /// The other words.
    pub arguments: Vec<String>,
    /// With every capability.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privileged: Option<bool>,
    /// As whom.
    #[serde(skip_serializing_if = "is_default")]
    pub user: String,
}
