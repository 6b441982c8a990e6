//! `GET /containers/{id}/stats`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::is_default;

/// What a container uses, now (`read`) and a moment before (`preread`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatsResponse {
    /// `/` and its name.
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
    /// Its ID.
    #[serde(skip_serializing_if = "is_default")]
    pub id: String,
    /// When this was measured.
    pub read: String,
    /// When `precpu_stats` was measured.
    pub preread: String,
    /// Processes.
    pub pids_stats: PidsStats,
    /// Block IO.
    pub blkio_stats: BlkioStats,
    /// Windows only.
    pub num_procs: u32,
    /// Windows only.
    pub storage_stats: StorageStats,
    /// CPU time.
    pub cpu_stats: CpuStats,
    /// CPU time a moment before.
    pub precpu_stats: CpuStats,
    /// Memory.
    pub memory_stats: MemoryStats,
    /// Traffic by interface.
    #[serde(skip_serializing_if = "is_default")]
    pub networks: Option<BTreeMap<String, NetworkStats>>,
}

/// Processes and threads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PidsStats {
    /// How many there are.
    #[serde(skip_serializing_if = "is_default")]
    pub current: u64,
    /// How many there may be.
    #[serde(skip_serializing_if = "is_default")]
    pub limit: u64,
}

/// Block IO; which lists are filled depends on the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlkioStats {
    /// Bytes.
    pub io_service_bytes_recursive: Option<Vec<BlkioEntry>>,
    /// Operations.
    pub io_serviced_recursive: Option<Vec<BlkioEntry>>,
    /// Operations that wait.
    pub io_queue_recursive: Option<Vec<BlkioEntry>>,
    /// Nanoseconds in service.
    pub io_service_time_recursive: Option<Vec<BlkioEntry>>,
    /// Nanoseconds waiting.
    pub io_wait_time_recursive: Option<Vec<BlkioEntry>>,
    /// Merged operations.
    pub io_merged_recursive: Option<Vec<BlkioEntry>>,
    /// Milliseconds.
    pub io_time_recursive: Option<Vec<BlkioEntry>>,
    /// Sectors.
    pub sectors_recursive: Option<Vec<BlkioEntry>>,
}

/// One counter of a block device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlkioEntry {
    /// Device number.
    pub major: u64,
    /// Device number.
    pub minor: u64,
    /// `read`, `write`, `sync`, `async`, `discard` or `total`.
    pub op: String,
    /// The count.
    pub value: u64,
}

/// Windows only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageStats {}

/// CPU time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuStats {
    /// Of the container.
    pub cpu_usage: CpuUsage,
    /// Of the whole host, in nanoseconds.
    #[serde(skip_serializing_if = "is_default")]
    pub system_cpu_usage: u64,
    /// CPUs that it can run on.
    #[serde(skip_serializing_if = "is_default")]
    pub online_cpus: u32,
    /// How often the quota stopped it.
    pub throttling_data: ThrottlingData,
}

/// CPU time of a container in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuUsage {
    /// All of it.
    pub total_usage: u64,
    /// By CPU (cgroup v1).
    #[serde(skip_serializing_if = "is_default")]
    pub percpu_usage: Option<Vec<u64>>,
    /// In the kernel.
    pub usage_in_kernelmode: u64,
    /// In user space.
    pub usage_in_usermode: u64,
}

/// How often the quota stopped a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ThrottlingData {
    /// Periods with something to run.
    pub periods: u64,
    /// Periods that hit the quota.
    pub throttled_periods: u64,
    /// Nanoseconds stopped.
    pub throttled_time: u64,
}

/// Memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryStats {
    /// Bytes used, page cache included.
    #[serde(skip_serializing_if = "is_default")]
    pub usage: u64,
    /// The most ever used (cgroup v1).
    #[serde(skip_serializing_if = "is_default")]
    pub max_usage: u64,
    /// Every counter of the kernel.
    #[serde(skip_serializing_if = "is_default")]
    pub stats: BTreeMap<String, u64>,
    /// How often the limit was hit (cgroup v1).
    #[serde(skip_serializing_if = "is_default")]
    pub failcnt: u64,
    /// Bytes it may use.
    #[serde(skip_serializing_if = "is_default")]
    pub limit: u64,
}

/// Traffic of an interface, seen from the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkStats {
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Errors while receiving.
    pub rx_errors: u64,
    /// Packets dropped while receiving.
    pub rx_dropped: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Errors while sending.
    pub tx_errors: u64,
    /// Packets dropped while sending.
    pub tx_dropped: u64,
}
