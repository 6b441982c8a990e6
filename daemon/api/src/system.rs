//! `GET /version`, `/info` and `/system/df`, and `POST /auth`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::is_default;

/// Answer of `GET /version`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Version {
    /// Who made it.
    pub platform: Platform,
    /// The parts of the stack.
    pub components: Vec<Component>,
    /// Version of the daemon.
    pub version: String,
    /// Newest version of the API.
    pub api_version: String,
    /// Oldest version of the API.
    #[serde(rename = "MinAPIVersion")]
    pub min_api_version: String,
    /// Commit it was built from.
    pub git_commit: String,
    /// Compiler; the key is Moby's.
    pub go_version: String,
    /// Operating system.
    pub os: String,
    /// Architecture as Go names it.
    pub arch: String,
    /// Release of the kernel.
    pub kernel_version: String,
    /// Whether experimental features are on.
    #[serde(skip_serializing_if = "is_default")]
    pub experimental: bool,
    /// When it was built.
    pub build_time: String,
}

/// Who made the daemon.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Platform {
    /// Their name.
    pub name: String,
}

/// One part of the stack.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Component {
    /// `Engine`, `containerd`, `runc`, …
    pub name: String,
    /// Its version.
    pub version: String,
    /// More about it.
    #[serde(skip_serializing_if = "is_default")]
    pub details: BTreeMap<String, String>,
}

/// Answer of `GET /info`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Info {
    /// Identity of the daemon, kept with its data.
    #[serde(rename = "ID")]
    pub id: String,
    /// All containers.
    pub containers: i64,
    /// Of these: running.
    pub containers_running: i64,
    /// Of these: paused.
    pub containers_paused: i64,
    /// Of these: neither.
    pub containers_stopped: i64,
    /// Images.
    pub images: i64,
    /// Storage driver.
    pub driver: String,
    /// What it tells.
    pub driver_status: Option<Vec<[String; 2]>>,
    /// What can be extended, and by what.
    pub plugins: Plugins,
    /// Memory can be limited.
    pub memory_limit: bool,
    /// Swap can be limited.
    pub swap_limit: bool,
    /// Kernel memory can be limited: an old field, kept for its readers.
    pub kernel_memory: bool,
    /// Kernel TCP buffers can be limited: an old field, kept for its readers.
    #[serde(rename = "KernelMemoryTCP")]
    pub kernel_memory_tcp: bool,
    /// A CPU period can be set.
    pub cpu_cfs_period: bool,
    /// A CPU quota can be set.
    pub cpu_cfs_quota: bool,
    /// CPU weights can be set.
    #[serde(rename = "CPUShares")]
    pub cpu_shares: bool,
    /// CPUs can be chosen.
    #[serde(rename = "CPUSet")]
    pub cpu_set: bool,
    /// Processes can be limited.
    pub pids_limit: bool,
    /// The kernel forwards IPv4.
    #[serde(rename = "IPv4Forwarding")]
    pub ipv4_forwarding: bool,
    /// Bridged IPv4 passes the firewall.
    pub bridge_nf_iptables: bool,
    /// Bridged IPv6 passes the firewall.
    pub bridge_nf_ip6tables: bool,
    /// The daemon logs for debugging.
    pub debug: bool,
    /// Files that the daemon has open.
    #[serde(rename = "NFd")]
    pub n_fd: i64,
    /// The OOM killer can be kept away.
    pub oom_kill_disable: bool,
    /// Threads of the daemon; the key is Moby's.
    #[serde(rename = "NGoroutines")]
    pub n_goroutines: i64,
    /// Now.
    pub system_time: String,
    /// Default log driver.
    pub logging_driver: String,
    /// `cgroupfs` or `systemd`.
    pub cgroup_driver: String,
    /// `1` or `2`.
    #[serde(skip_serializing_if = "is_default")]
    pub cgroup_version: String,
    /// Clients that listen to events.
    #[serde(rename = "NEventsListener")]
    pub n_events_listener: i64,
    /// Release of the kernel.
    pub kernel_version: String,
    /// Name of the distribution.
    pub operating_system: String,
    /// Version of the distribution.
    #[serde(rename = "OSVersion")]
    pub os_version: String,
    /// `linux`.
    #[serde(rename = "OSType")]
    pub os_type: String,
    /// Architecture as the kernel names it.
    pub architecture: String,
    /// The registry of short names.
    pub index_server_address: String,
    /// How registries are reached.
    pub registry_config: Option<RegistryConfig>,
    /// CPUs.
    #[serde(rename = "NCPU")]
    pub n_cpu: i64,
    /// Bytes of memory.
    pub mem_total: i64,
    /// Swarm resources.
    pub generic_resources: Option<Vec<serde_json::Value>>,
    /// Where the daemon keeps its data.
    pub docker_root_dir: String,
    /// Proxy for HTTP.
    pub http_proxy: String,
    /// Proxy for HTTPS.
    pub https_proxy: String,
    /// Hosts reached without a proxy.
    pub no_proxy: String,
    /// Host name.
    pub name: String,
    /// Labels of the daemon.
    pub labels: Option<Vec<String>>,
    /// Whether experimental features are on.
    pub experimental_build: bool,
    /// Version of the daemon.
    pub server_version: String,
    /// OCI runtimes.
    pub runtimes: BTreeMap<String, Runtime>,
    /// The one taken when none is named.
    pub default_runtime: String,
    /// Its part in a swarm.
    pub swarm: SwarmInfo,
    /// Containers outlive the daemon.
    pub live_restore_enabled: bool,
    /// Windows only.
    pub isolation: String,
    /// The init of `--init`.
    pub init_binary: String,
    /// Version of the supervisor; the key is Moby's.
    pub containerd_commit: Commit,
    /// Version of the runtime; the key is Moby's.
    pub runc_commit: Commit,
    /// Version of the init.
    pub init_commit: Commit,
    /// What confines containers (`name=seccomp,profile=builtin`).
    pub security_options: Option<Vec<String>>,
    /// Licence of the product.
    #[serde(skip_serializing_if = "is_default")]
    pub product_license: String,
    /// Pools that networks take their subnets from.
    #[serde(skip_serializing_if = "is_default")]
    pub default_address_pools: Option<Vec<AddressPool>>,
    /// What filters packets.
    #[serde(skip_serializing_if = "is_default")]
    pub firewall_backend: Option<Firewall>,
    /// Folders of CDI specs.
    #[serde(rename = "CDISpecDirs")]
    pub cdi_spec_dirs: Option<Vec<String>>,
    /// Where the supervisor is; the key is Moby's.
    #[serde(skip_serializing_if = "is_default")]
    pub containerd: Option<Containerd>,
    /// What is wrong with this host.
    pub warnings: Option<Vec<String>>,
}

/// What can be extended, and by what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Plugins {
    /// Volume drivers.
    pub volume: Option<Vec<String>>,
    /// Network drivers.
    pub network: Option<Vec<String>>,
    /// Authorization plugins.
    pub authorization: Option<Vec<String>>,
    /// Log drivers.
    pub log: Option<Vec<String>>,
}

/// How registries are reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct RegistryConfig {
    /// An old field, kept for its readers.
    #[serde(rename = "AllowNondistributableArtifactsCIDRs")]
    pub allow_nondistributable_artifacts_cidrs: Option<Vec<String>>,
    /// An old field, kept for its readers.
    pub allow_nondistributable_artifacts_hostnames: Option<Vec<String>>,
    /// Networks whose registries need no TLS.
    #[serde(rename = "InsecureRegistryCIDRs")]
    pub insecure_registry_cidrs: Option<Vec<String>>,
    /// By name.
    pub index_configs: BTreeMap<String, Index>,
    /// Mirrors of the default registry.
    pub mirrors: Option<Vec<String>>,
}

/// One registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Index {
    /// Its name.
    pub name: String,
    /// Its mirrors.
    pub mirrors: Option<Vec<String>>,
    /// Needs TLS.
    pub secure: bool,
    /// Is the default one.
    pub official: bool,
}

/// One OCI runtime.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Runtime {
    /// Its binary.
    #[serde(skip_serializing_if = "is_default")]
    pub path: String,
    /// Arguments before the command.
    #[serde(rename = "runtimeArgs", skip_serializing_if = "is_default")]
    pub runtime_args: Vec<String>,
}

/// Part in a swarm.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct SwarmInfo {
    /// ID of this node.
    #[serde(rename = "NodeID")]
    pub node_id: String,
    /// Its address.
    pub node_addr: String,
    /// `inactive` without a swarm.
    pub local_node_state: String,
    /// Whether it is a manager.
    pub control_available: bool,
    /// What is wrong.
    pub error: String,
    /// The managers.
    pub remote_managers: Option<Vec<serde_json::Value>>,
}

/// Version of a part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Commit {
    /// The one that runs.
    #[serde(rename = "ID")]
    pub id: String,
    /// The one that was built with: an old field, kept for its readers.
    #[serde(rename = "Expected")]
    pub expected: String,
}

/// A pool that networks take their subnets from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct AddressPool {
    /// The pool.
    pub base: String,
    /// Length of a subnet's prefix.
    pub size: i64,
}

/// What filters packets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Firewall {
    /// `nftables` or `iptables`.
    pub driver: String,
    /// More about it.
    #[serde(skip_serializing_if = "is_default")]
    pub info: Option<Vec<[String; 2]>>,
}

/// Where the supervisor is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Containerd {
    /// Its socket.
    #[serde(skip_serializing_if = "is_default")]
    pub address: String,
    /// Which of its namespaces are used.
    pub namespaces: ContainerdNamespaces,
}

/// Namespaces of the supervisor that the daemon uses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ContainerdNamespaces {
    /// For containers.
    pub containers: String,
    /// For plugins.
    pub plugins: String,
}
