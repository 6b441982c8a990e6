//! `config.json`, decoded once and as leniently as Go's decoder does: `null` lists are empty, a missing `user` is
//! root, an unknown capability is text that a warning can name.
//!
//! What we interpret ourselves is spelled out here with public fields; what passes through whole to the cgroup and
//! seccomp code (and hooks) is oci-spec's type.

mod load;
mod namespace;
mod process;
mod resources;

use std::collections::BTreeMap;

use oci_spec::runtime::{Hooks, LinuxResources, LinuxSeccomp};
use serde::{Deserialize, Deserializer};

pub(crate) use load::{LoadError, load, load_process, parse};
pub(crate) use namespace::{Namespace, NamespaceKind};
pub(crate) use process::{Capabilities, IoPriority, Process, Rlimit, Scheduler};
pub(crate) use resources::repair as repair_resources;

/// The runtime-spec version that this program implements.
pub(crate) const VERSION: &str = "1.3.0";

/// The whole document.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec {
    /// The version of the specification that it follows.
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) oci_version: String,
    /// The container's root file system.
    pub(crate) root: Option<Root>,
    /// Mounts, in order.
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) mounts: Vec<Mount>,
    /// What to run.
    pub(crate) process: Option<Process>,
    /// Host name, in a UTS namespace of its own.
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) hostname: String,
    /// NIS domain name, likewise.
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) domainname: String,
    /// Programs run at points of the life cycle.
    pub(crate) hooks: Option<Hooks>,
    /// Whatever the caller wants to keep with the container.
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) annotations: BTreeMap<String, String>,
    /// Everything about namespaces, cgroups and confinement.
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) linux: Linux,
}

/// The root file system.
#[derive(Debug, Deserialize)]
pub(crate) struct Root {
    /// Absolute, or relative to the bundle.
    pub(crate) path: String,
    /// Whether it is mounted read-only.
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) readonly: bool,
}

/// One mount.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Mount {
    /// Where, inside the container.
    pub(crate) destination: String,
    /// File system type; meaningless for bind mounts.
    #[serde(rename = "type", default, deserialize_with = "nullable")]
    pub(crate) fstype: String,
    /// Device, path or name.
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) source: String,
    /// fstab-like options.
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) options: Vec<String>,
    /// Owners shown through the mount.
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) uid_mappings: Vec<IdMapping>,
    /// Groups shown through the mount.
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) gid_mappings: Vec<IdMapping>,
}

/// A range of user or group IDs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IdMapping {
    /// First ID inside.
    #[serde(rename = "containerID")]
    pub(crate) container_id: u32,
    /// First ID outside.
    #[serde(rename = "hostID")]
    pub(crate) host_id: u32,
    /// How many.
    pub(crate) size: u32,
}

/// The `linux` object.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Linux {
    #[serde(deserialize_with = "nullable")]
    pub(crate) namespaces: Vec<Namespace>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) uid_mappings: Vec<IdMapping>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) gid_mappings: Vec<IdMapping>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) sysctl: BTreeMap<String, String>,
    #[serde(deserialize_with = "resources::read")]
    pub(crate) resources: Option<LinuxResources>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) cgroups_path: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) devices: Vec<Device>,
    pub(crate) seccomp: Option<LinuxSeccomp>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) rootfs_propagation: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) masked_paths: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) readonly_paths: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) mount_label: String,
    pub(crate) personality: Option<Personality>,
    pub(crate) memory_policy: Option<MemoryPolicy>,
    pub(crate) time_offsets: Option<BTreeMap<String, TimeOffset>>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) net_devices: BTreeMap<String, NetDevice>,
    pub(crate) intel_rdt: Option<IntelRdt>,
}

/// Shares of cache and memory bandwidth.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct IntelRdt {
    #[serde(rename = "closID", deserialize_with = "nullable")]
    pub(crate) clos_id: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) schemata: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) l3_cache_schema: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) mem_bw_schema: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) enable_monitoring: bool,
}

/// A network device of the host.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct NetDevice {
    /// Its name in the container; empty for the same.
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) name: String,
}

/// A device node to make.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Device {
    pub(crate) path: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) major: u32,
    #[serde(default)]
    pub(crate) minor: u32,
    pub(crate) file_mode: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
}

/// An execution domain.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Personality {
    pub(crate) domain: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) flags: Vec<String>,
}

/// A NUMA policy.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct MemoryPolicy {
    #[serde(default)]
    pub(crate) mode: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) nodes: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) flags: Vec<String>,
}

/// Shift of one clock in a time namespace.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct TimeOffset {
    #[serde(default)]
    pub(crate) secs: i64,
    #[serde(default)]
    pub(crate) nanosecs: u32,
}

impl Spec {
    /// The container's namespace of `kind`, new or joined.
    pub(crate) fn namespace(&self, kind: NamespaceKind) -> Option<&Namespace> {
        self.linux.namespaces.iter().find(|namespace| namespace.kind == kind)
    }

    /// Whether the container has a namespace of `kind`.
    pub(crate) fn has(&self, kind: NamespaceKind) -> bool {
        self.namespace(kind).is_some()
    }

    /// Whether the container gets a new namespace of `kind`.
    pub(crate) fn creates(&self, kind: NamespaceKind) -> bool {
        self.namespace(kind).is_some_and(|namespace| namespace.path.is_empty())
    }
}

/// Decodes `null` as the default value, as Go does.
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}
