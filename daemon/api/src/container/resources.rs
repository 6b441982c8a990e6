//! Limits of a container: the part of `HostConfig` that `update` can change.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::is_default;

/// Limits; 0, empty or absent means no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Resources {
    /// Relative weight of CPU time.
    pub cpu_shares: i64,
    /// Bytes of memory.
    pub memory: i64,
    /// Billionths of a CPU.
    pub nano_cpus: i64,
    /// Parent of its cgroup.
    pub cgroup_parent: String,
    /// Relative weight of block IO, 10 to 1000.
    pub blkio_weight: u16,
    /// The same for a device.
    pub blkio_weight_device: Option<Vec<WeightDevice>>,
    /// Bytes read from a device a second.
    pub blkio_device_read_bps: Option<Vec<ThrottleDevice>>,
    /// Bytes written to a device a second.
    pub blkio_device_write_bps: Option<Vec<ThrottleDevice>>,
    /// Reads of a device a second.
    #[serde(rename = "BlkioDeviceReadIOps")]
    pub blkio_device_read_iops: Option<Vec<ThrottleDevice>>,
    /// Writes to a device a second.
    #[serde(rename = "BlkioDeviceWriteIOps")]
    pub blkio_device_write_iops: Option<Vec<ThrottleDevice>>,
    /// Period of the CPU quota in microseconds.
    pub cpu_period: i64,
    /// CPU time a period in microseconds.
    pub cpu_quota: i64,
    /// Period of real-time scheduling in microseconds.
    pub cpu_realtime_period: i64,
    /// Real-time CPU time a period in microseconds.
    pub cpu_realtime_runtime: i64,
    /// CPUs it may use (`0-2,4`).
    pub cpuset_cpus: String,
    /// Memory nodes it may use.
    pub cpuset_mems: String,
    /// Devices it gets.
    pub devices: Option<Vec<DeviceMapping>>,
    /// Rules for its device cgroup (`c 7:* rmw`).
    pub device_cgroup_rules: Option<Vec<String>>,
    /// Devices that a driver provides.
    pub device_requests: Option<Vec<DeviceRequest>>,
    /// Bytes of kernel memory: an old field, kept for its readers.
    pub kernel_memory: i64,
    /// Bytes of kernel TCP buffers: an old field, kept for its readers.
    #[serde(rename = "KernelMemoryTCP")]
    pub kernel_memory_tcp: i64,
    /// Bytes of memory below which it is not reclaimed first.
    pub memory_reservation: i64,
    /// Bytes of memory and swap together; -1 for any swap.
    pub memory_swap: i64,
    /// Willingness to swap, 0 to 100.
    pub memory_swappiness: Option<i64>,
    /// Keep the OOM killer away.
    pub oom_kill_disable: Option<bool>,
    /// Number of processes; 0 or -1 for any.
    pub pids_limit: Option<i64>,
    /// Resource limits of its processes.
    pub ulimits: Option<Vec<Ulimit>>,
    /// Windows only.
    pub cpu_count: i64,
    /// Windows only.
    pub cpu_percent: i64,
    /// Windows only.
    #[serde(rename = "IOMaximumIOps")]
    pub io_maximum_iops: u64,
    /// Windows only.
    #[serde(rename = "IOMaximumBandwidth")]
    pub io_maximum_bandwidth: u64,
}

/// Weight of a block device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct WeightDevice {
    /// Path of the device.
    pub path: String,
    /// 10 to 1000.
    pub weight: u16,
}

/// Limit of a block device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ThrottleDevice {
    /// Path of the device.
    pub path: String,
    /// Bytes or operations a second.
    pub rate: u64,
}

/// A device of the host in the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DeviceMapping {
    /// Path on the host.
    pub path_on_host: String,
    /// Path in the container.
    pub path_in_container: String,
    /// Any of `r`, `w`, `m`.
    pub cgroup_permissions: String,
}

/// Devices that a driver provides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DeviceRequest {
    /// Name of the driver.
    pub driver: String,
    /// How many; -1 for all.
    pub count: i64,
    /// Which.
    #[serde(rename = "DeviceIDs")]
    pub device_ids: Option<Vec<String>>,
    /// One list a choice: any list of which all are met.
    pub capabilities: Option<Vec<Vec<String>>>,
    /// Options of the driver.
    pub options: Option<BTreeMap<String, String>>,
}

/// A resource limit of processes (`getrlimit(2)`); -1 for none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Ulimit {
    /// `nofile`, `nproc`, …
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
    /// Hard limit.
    pub hard: i64,
    /// Soft limit.
    pub soft: i64,
}
