//! What a container gets from the host: mounts, namespaces, limits, policies.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Resources;
use crate::endpoint::PortMap;
use crate::is_default;
use crate::mount::Mount;

/// `HostConfig` of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", default, rename_all = "PascalCase")]
pub struct HostConfig {
    /// Binds and volumes: `source:target[:options]`.
    pub binds: Option<Vec<String>>,
    /// File that the client writes the ID to.
    #[serde(rename = "ContainerIDFile")]
    pub container_id_file: String,
    /// Where its output is kept.
    pub log_config: LogConfig,
    /// `default`, `bridge`, `host`, `none`, `container:ID` or a network.
    pub network_mode: String,
    /// Published ports.
    pub port_bindings: Option<PortMap>,
    /// What follows its end.
    pub restart_policy: RestartPolicy,
    /// Remove it when it ends.
    pub auto_remove: bool,
    /// Driver of volumes that `binds` makes.
    pub volume_driver: String,
    /// Containers whose mounts it takes.
    pub volumes_from: Option<Vec<String>>,
    /// First size of the terminal: height, width.
    pub console_size: [u32; 2],
    /// Annotations for the runtime.
    #[serde(skip_serializing_if = "is_default")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Capabilities added to the default ones.
    #[serde(deserialize_with = "crate::decode::words")]
    pub cap_add: Option<Vec<String>>,
    /// Capabilities taken from the default ones.
    #[serde(deserialize_with = "crate::decode::words")]
    pub cap_drop: Option<Vec<String>>,
    /// `private`, `host` or empty for the daemon's default.
    pub cgroupns_mode: String,
    /// Name servers.
    pub dns: Option<Vec<String>>,
    /// Resolver options.
    pub dns_options: Option<Vec<String>>,
    /// Search domains.
    pub dns_search: Option<Vec<String>>,
    /// Lines for its hosts file (`name:address`).
    pub extra_hosts: Option<Vec<String>>,
    /// Supplementary groups.
    pub group_add: Option<Vec<String>>,
    /// `private`, `shareable`, `host`, `none`, `container:ID` or empty.
    pub ipc_mode: String,
    /// `container:ID` or empty.
    pub cgroup: String,
    /// Links (`container:alias`).
    pub links: Option<Vec<String>>,
    /// Wish of the OOM killer.
    pub oom_score_adj: i64,
    /// `host`, `container:ID` or empty.
    pub pid_mode: String,
    /// With every capability and device.
    pub privileged: bool,
    /// Publish every exposed port.
    pub publish_all_ports: bool,
    /// Refuse writes to the root file system.
    pub readonly_rootfs: bool,
    /// `seccomp=…`, `no-new-privileges`, `apparmor=…`, …
    pub security_opt: Option<Vec<String>>,
    /// Options of the storage driver.
    #[serde(skip_serializing_if = "is_default")]
    pub storage_opt: Option<BTreeMap<String, String>>,
    /// Path in the container to the options of a tmpfs there.
    #[serde(skip_serializing_if = "is_default")]
    pub tmpfs: Option<BTreeMap<String, String>>,
    /// `host` or empty.
    #[serde(rename = "UTSMode")]
    pub uts_mode: String,
    /// `host` or empty.
    pub userns_mode: String,
    /// Bytes of `/dev/shm`.
    pub shm_size: i64,
    /// Kernel parameters of its namespaces.
    #[serde(skip_serializing_if = "is_default")]
    pub sysctls: Option<BTreeMap<String, String>>,
    /// Name of the OCI runtime.
    #[serde(skip_serializing_if = "is_default")]
    pub runtime: String,
    /// Windows only.
    pub isolation: String,
    /// Limits; their keys lie in this object.
    #[serde(flatten, skip_deserializing)]
    pub resources: Resources,
    /// Mounts (`--mount`).
    #[serde(skip_serializing_if = "is_default")]
    pub mounts: Option<Vec<Mount>>,
    /// Paths hidden from it; absent for the default ones.
    pub masked_paths: Option<Vec<String>>,
    /// Paths it cannot write to; absent for the default ones.
    pub readonly_paths: Option<Vec<String>>,
    /// Run an init as PID 1.
    #[serde(skip_serializing_if = "is_default")]
    pub init: Option<bool>,
}
crate::decode::embeds!(HostConfig { resources });

/// Where a container's output is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct LogConfig {
    /// Log driver; empty for the daemon's default.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Its options.
    pub config: Option<BTreeMap<String, String>>,
}

/// What follows the end of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct RestartPolicy {
    /// `no` (or empty), `always`, `unless-stopped` or `on-failure`.
    pub name: String,
    /// How often, for `on-failure`; 0 for ever.
    pub maximum_retry_count: i64,
}
