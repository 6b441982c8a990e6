//! `GET /containers/{id}/json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ContainerConfig, HostConfig};
use crate::endpoint::{EndpointSettings, PortMap};
use crate::is_default;
use crate::mount::MountPoint;

/// Everything about one container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ContainerInspect {
    /// Its ID.
    pub id: String,
    /// When it was created.
    pub created: String,
    /// Program that it runs.
    pub path: String,
    /// Arguments of the program.
    pub args: Vec<String>,
    /// How it is.
    pub state: ContainerState,
    /// ID of its image.
    pub image: String,
    /// Its `resolv.conf` on the host.
    pub resolv_conf_path: String,
    /// Its `hostname` on the host.
    pub hostname_path: String,
    /// Its `hosts` on the host.
    pub hosts_path: String,
    /// Its log on the host; empty when the driver keeps no file.
    pub log_path: String,
    /// `/` and its name.
    pub name: String,
    /// How often the restart policy acted.
    pub restart_count: i64,
    /// Storage driver.
    pub driver: String,
    /// Operating system.
    pub platform: String,
    /// SELinux label of its mounts.
    pub mount_label: String,
    /// SELinux label of its processes.
    pub process_label: String,
    /// AppArmor profile.
    pub app_armor_profile: String,
    /// Execs that it knows.
    #[serde(rename = "ExecIDs")]
    pub exec_ids: Option<Vec<String>>,
    /// What it gets from the host.
    pub host_config: HostConfig,
    /// Where its files are.
    pub graph_driver: GraphDriver,
    /// Bytes that it wrote (`size=1`).
    #[serde(skip_serializing_if = "is_default")]
    pub size_rw: Option<i64>,
    /// Bytes of all its files (`size=1`).
    #[serde(skip_serializing_if = "is_default")]
    pub size_root_fs: Option<i64>,
    /// Its mounts.
    pub mounts: Vec<MountPoint>,
    /// What it is.
    pub config: ContainerConfig,
    /// Where it is reached.
    pub network_settings: NetworkSettings,
}

/// How a container is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ContainerState {
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited` or `dead`.
    pub status: String,
    /// Has a process: also while paused, or waiting for a restart.
    pub running: bool,
    /// Is frozen.
    pub paused: bool,
    /// Waits for a restart.
    pub restarting: bool,
    /// The OOM killer ended a process of it.
    #[serde(rename = "OOMKilled")]
    pub oom_killed: bool,
    /// Its removal failed half-way.
    pub dead: bool,
    /// Process ID of its first process on the host, or 0.
    pub pid: u32,
    /// How it ended last; 128 + n for signal n.
    pub exit_code: i64,
    /// Why it could not be started.
    pub error: String,
    /// When it was started last.
    pub started_at: String,
    /// When it ended last.
    pub finished_at: String,
    /// What its checks say; absent without checks.
    #[serde(skip_serializing_if = "is_default")]
    pub health: Option<Health>,
}

/// What the checks of a container say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Health {
    /// `none`, `starting`, `healthy` or `unhealthy`.
    pub status: String,
    /// Failures in a row.
    pub failing_streak: i64,
    /// The last checks, oldest first.
    pub log: Option<Vec<HealthResult>>,
}

/// One check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct HealthResult {
    /// When it began.
    pub start: String,
    /// When it ended.
    pub end: String,
    /// 0 for good, 1 for bad, -1 when it could not run or did not end in time.
    pub exit_code: i64,
    /// The first bytes that it said.
    pub output: String,
}

/// Where the files of a container or an image are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct GraphDriver {
    /// What the driver tells (`UpperDir`, …).
    pub data: Option<BTreeMap<String, String>>,
    /// Storage driver.
    pub name: String,
}

/// Where a container is reached. The address fields repeat those of the endpoint in the default bridge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkSettings {
    /// Always empty: what Moby answers.
    #[serde(rename = "Bridge")]
    pub bridge: String,
    /// ID of its network namespace.
    #[serde(rename = "SandboxID")]
    pub sandbox_id: String,
    /// Path of its network namespace.
    #[serde(rename = "SandboxKey")]
    pub sandbox_key: String,
    /// Its ports, and where they are published.
    #[serde(rename = "Ports")]
    pub ports: Option<PortMap>,
    /// Always false: what Moby answers.
    #[serde(rename = "HairpinMode")]
    pub hairpin_mode: bool,
    /// Always empty: what Moby answers.
    #[serde(rename = "LinkLocalIPv6Address")]
    pub link_local_ipv6_address: String,
    /// Always 0: what Moby answers.
    #[serde(rename = "LinkLocalIPv6PrefixLen")]
    pub link_local_ipv6_prefix_len: i64,
    /// More IPv4 addresses.
    #[serde(rename = "SecondaryIPAddresses")]
    pub secondary_ip_addresses: Option<Vec<Address>>,
    /// More IPv6 addresses.
    #[serde(rename = "SecondaryIPv6Addresses")]
    pub secondary_ipv6_addresses: Option<Vec<Address>>,
    /// ID of the endpoint.
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    /// IPv4 gateway.
    #[serde(rename = "Gateway")]
    pub gateway: String,
    /// IPv6 address.
    #[serde(rename = "GlobalIPv6Address")]
    pub global_ipv6_address: String,
    /// Length of the IPv6 prefix.
    #[serde(rename = "GlobalIPv6PrefixLen")]
    pub global_ipv6_prefix_len: i64,
    /// IPv4 address.
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    /// Length of the IPv4 prefix.
    #[serde(rename = "IPPrefixLen")]
    pub ip_prefix_len: i64,
    /// IPv6 gateway.
    #[serde(rename = "IPv6Gateway")]
    pub ipv6_gateway: String,
    /// Link-layer address.
    #[serde(rename = "MacAddress")]
    pub mac_address: String,
    /// Endpoint in each network, by the network's name.
    #[serde(rename = "Networks")]
    pub networks: BTreeMap<String, EndpointSettings>,
}

/// An address with its prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Address {
    /// The address.
    pub addr: String,
    /// Length of the prefix.
    pub prefix_len: i64,
}
