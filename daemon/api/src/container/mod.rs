//! Documents of `/containers`.

mod config;
mod create;
mod filesystem;
mod host_config;
mod inspect;
mod list;
mod process;
mod resources;
mod stats;

pub use config::{ContainerConfig, HealthConfig};
pub use create::{CreateRequest, CreateResponse};
pub use filesystem::{FilesystemChange, PathStat, PruneReport};
pub use host_config::{HostConfig, LogConfig, RestartPolicy};
pub use inspect::{
    Address, ContainerInspect, ContainerState, GraphDriver, Health, HealthResult, NetworkSettings,
};
pub use list::{ContainerSummary, Port, SummaryHostConfig, SummaryNetworkSettings};
pub use process::{TopResponse, UpdateConfig, UpdateResponse, WaitError, WaitResponse};
pub use resources::{DeviceMapping, DeviceRequest, Resources, ThrottleDevice, Ulimit, WeightDevice};
pub use stats::{
    BlkioEntry, BlkioStats, CpuStats, CpuUsage, MemoryStats, NetworkStats, PidsStats, StatsResponse,
    StorageStats, ThrottlingData,
};

#[cfg(test)]
mod tests;
