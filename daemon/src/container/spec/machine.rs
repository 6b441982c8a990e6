//! What is true of this host for as long as the daemon runs.

use std::path::{Path, PathBuf};

use super::capability;

/// Facts about the host that specs depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Machine {
    /// The kernel's release, such as `6.1.0-12-amd64`.
    pub(crate) kernel: String,
    /// Capabilities that the daemon has, and so can give.
    pub(crate) capabilities: Vec<String>,
    /// Whether the kernel filters system calls.
    pub(crate) seccomp: bool,
    /// Whether AppArmor confines processes.
    pub(crate) apparmor: bool,
    /// Docker's AppArmor profile, when it is loaded.
    pub(crate) default_apparmor: Option<String>,
    /// Whether there is only cgroup v2.
    pub(crate) unified_cgroups: bool,
    /// Whether binds can be read-only with everything below (Linux 5.12).
    pub(crate) recursive_read_only: bool,
    /// Sysctls that every network namespace of ours gets.
    pub(crate) network_sysctls: Vec<(&'static str, &'static str)>,
    /// An init for `--init`.
    pub(crate) init: Option<PathBuf>,
    /// CPUs that tell their throttling, which is masked.
    pub(crate) throttled_cpus: Vec<String>,
}

/// Sysctls that let an unprivileged process ping and serve low ports, in a namespace that is its own.
const NETWORK_SYSCTLS: [(&str, &str); 2] =
    [("net.ipv4.ping_group_range", "0 2147483647"), ("net.ipv4.ip_unprivileged_port_start", "0")];
/// The names under which distributions install the init that Docker uses.
const INITS: [&str; 5] =
    ["docker-init", "/usr/libexec/docker/docker-init", "/usr/lib/docker/docker-init", "tini-static", "tini"];
const DEFAULT_APPARMOR: &str = "docker-default";

impl Machine {
    /// Reads the facts.
    #[must_use]
    pub(crate) fn read() -> Self {
        let status = text("/proc/self/status");
        let kernel = text("/proc/sys/kernel/osrelease").trim().to_owned();
        let profiles = text("/sys/kernel/security/apparmor/profiles");
        Self {
            capabilities: capability::of_mask(permitted(&status)),
            seccomp: status.lines().any(|line| line.starts_with("Seccomp:")),
            apparmor: text("/sys/module/apparmor/parameters/enabled").starts_with('Y'),
            default_apparmor: profiles
                .lines()
                .any(|line| line.split(' ').next() == Some(DEFAULT_APPARMOR))
                .then(|| DEFAULT_APPARMOR.to_owned()),
            unified_cgroups: Path::new("/sys/fs/cgroup/cgroup.controllers").exists(),
            recursive_read_only: at_least(&kernel, 5, 12),
            network_sysctls: NETWORK_SYSCTLS.into_iter().filter(|(name, _)| sysctl_exists(name)).collect(),
            init: INITS.iter().find_map(|name| program(name)),
            throttled_cpus: throttled_cpus(),
            kernel,
        }
    }

    /// Docker's list of what a container should not see, for this host.
    #[must_use]
    pub(crate) fn masked_paths(&self) -> Vec<String> {
        super::defaults::MASKED_PATHS
            .iter()
            .map(ToString::to_string)
            .chain(self.throttled_cpus.clone())
            .collect()
    }
}

fn text(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn permitted(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("CapPrm:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

fn at_least(kernel: &str, version: u32, revision: u32) -> bool {
    let mut numbers = kernel.split(|c: char| !c.is_ascii_digit()).map(|text| text.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (version, revision)
}

fn sysctl_exists(name: &str) -> bool {
    Path::new("/proc/sys").join(name.replace('.', "/")).exists()
}

/// Finds a program beside this one, then in `PATH`; an absolute name is taken as it is.
fn program(name: &str) -> Option<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.to_owned()));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = beside.into_iter().chain(std::env::split_paths(&path));
    folders.map(|folder| folder.join(name)).find(|candidate| candidate.is_file())
}

fn throttled_cpus() -> Vec<String> {
    let cpus = std::fs::read_dir("/sys/devices/system/cpu").into_iter().flatten().flatten();
    let mut paths: Vec<String> = cpus
        .map(|cpu| cpu.path().join("thermal_throttle"))
        .filter(|path| path.exists())
        .map(|path| path.to_string_lossy().into_owned())
        .collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_compare_by_number() {
        assert!(at_least("5.12", 5, 12) && at_least("6.1.0-12-amd64", 5, 12) && !at_least("5.9.16", 5, 12));
    }

    #[test]
    fn the_mask_is_hexadecimal() {
        assert_eq!(permitted("CapInh:\t0\nCapPrm:\t000001feffffffff\n"), 0x1fe_ffff_ffff);
    }
}
