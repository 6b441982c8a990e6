//! Facts about the host, read from the kernel when asked for.

use std::path::Path;

use cgroups_rs::fs::hierarchies::{V1, V2, is_cgroup2_unified_mode};
use cgroups_rs::fs::{Controllers, Hierarchy as _};

/// Release of the kernel.
pub(crate) fn kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Name of the host.
pub(crate) fn name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Architecture as the kernel names it.
pub(crate) fn machine() -> String {
    rustix::system::uname().machine().to_string_lossy().into_owned()
}

/// Architecture as Go, and so the API, names it.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

/// CPUs that are online.
pub(crate) fn cpus() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX))
}

/// Bytes of memory.
pub(crate) fn memory() -> u64 {
    let info = rustix::system::sysinfo();
    info.totalram.saturating_mul(u64::from(info.mem_unit))
}

/// A field of `/etc/os-release` without its quotes.
pub(crate) fn release(field: &str) -> Option<String> {
    let text = text("/etc/os-release").or_else(|| text("/usr/lib/os-release"))?;
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix('='))?;
    Some(value.trim_matches(['"', '\'']).to_owned())
}

/// Whether a switch under `/proc/sys` is on.
pub(crate) fn switch(name: &str) -> bool {
    text(&format!("/proc/sys/{name}")).is_some_and(|text| text.trim() == "1")
}

/// The type of the file system at a path, as people call it.
pub(crate) fn backing(path: &Path) -> String {
    let Ok(stat) = rustix::fs::statfs(path) else { return "<unknown>".to_owned() };
    match stat.f_type {
        0xef53 => "extfs",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0x0102_1994 => "tmpfs",
        0x794c_7630 => "overlayfs",
        0x2fc1_2fc1 => "zfs",
        _ => "<unknown>",
    }
    .to_owned()
}

fn text(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// The cgroups of this host.
#[derive(Debug)]
pub(crate) enum Cgroups {
    /// Version 1 or hybrid: a hierarchy a controller, wherever they are mounted.
    Separate(V1),
    /// Version 2.
    Unified(V2),
}

impl Cgroups {
    /// What is mounted.
    pub(crate) fn detect() -> Self {
        if is_cgroup2_unified_mode() { Self::Unified(V2::new()) } else { Self::Separate(V1::new()) }
    }

    /// `1` or `2`.
    pub(crate) fn version(&self) -> &'static str {
        match self {
            Self::Separate(_) => "1",
            Self::Unified(_) => "2",
        }
    }

    /// Whether a limit can be set: a file of the root cgroup in version 1, a controller in version 2.
    pub(crate) fn has(&self, controller: Controllers, file: &str) -> bool {
        match self {
            Self::Separate(mounts) => {
                mounts.get_mount_point(controller).is_some_and(|(point, _)| point.join(file).exists())
            }
            Self::Unified(tree) => {
                tree.subsystems().iter().any(|found| found.controller_name() == controller.to_string())
            }
        }
    }
}
