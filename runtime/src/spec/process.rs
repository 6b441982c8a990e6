//! The `process` object: also the document that `exec --process` takes.

use serde::Deserialize;

use super::nullable;

/// What to run, and as whom.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Process {
    #[serde(deserialize_with = "nullable")]
    pub(crate) terminal: bool,
    pub(crate) console_size: Option<ConsoleSize>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) user: User,
    #[serde(deserialize_with = "nullable")]
    pub(crate) args: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) env: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) cwd: String,
    pub(crate) capabilities: Option<Capabilities>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) rlimits: Vec<Rlimit>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) no_new_privileges: bool,
    #[serde(deserialize_with = "nullable")]
    pub(crate) apparmor_profile: String,
    pub(crate) oom_score_adj: Option<i32>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) selinux_label: String,
    pub(crate) scheduler: Option<Scheduler>,
    pub(crate) io_priority: Option<IoPriority>,
    #[serde(rename = "execCPUAffinity")]
    pub(crate) exec_cpu_affinity: Option<Affinity>,
}

/// Rows and columns of a new terminal.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(crate) struct ConsoleSize {
    #[serde(default)]
    pub(crate) height: u64,
    #[serde(default)]
    pub(crate) width: u64,
}

/// IDs to run as.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) umask: Option<u32>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) additional_gids: Vec<u32>,
}

/// Capability names, such as `CAP_KILL`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Capabilities {
    #[serde(deserialize_with = "nullable")]
    pub(crate) bounding: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) effective: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) inheritable: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) permitted: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) ambient: Vec<String>,
}

/// One resource limit.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Rlimit {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) soft: u64,
    #[serde(default)]
    pub(crate) hard: u64,
}

/// A scheduling policy.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Scheduler {
    pub(crate) policy: String,
    pub(crate) nice: i32,
    pub(crate) priority: i32,
    #[serde(deserialize_with = "nullable")]
    pub(crate) flags: Vec<String>,
    pub(crate) runtime: u64,
    pub(crate) deadline: u64,
    pub(crate) period: u64,
}

/// An I/O priority.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct IoPriority {
    pub(crate) class: String,
    pub(crate) priority: i64,
}

/// CPUs of an exec'd process, before and after it is in the container's cgroup.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Affinity {
    #[serde(deserialize_with = "nullable")]
    pub(crate) initial: String,
    #[serde(rename = "final", deserialize_with = "nullable")]
    pub(crate) last: String,
}
