//! What Docker fills in when nothing is said; `inspect` shows these as if the user had said them.

use dhow_engine_api::container::HostConfig;

use super::Machine;

/// Bytes of `/dev/shm`.
pub(crate) const SHM_SIZE: i64 = 64 << 20;

/// Paths that tell too much about the host, or reach into it.
pub(super) const MASKED_PATHS: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Paths that change the host when written to.
#[must_use]
pub(crate) fn readonly_paths() -> Vec<String> {
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"].map(str::to_owned).to_vec()
}

/// Fills in the defaults of a container that is being created.
pub(crate) fn fill(host: &mut HostConfig, machine: &Machine) {
    let limits = &mut host.resources;
    if limits.memory > 0 && limits.memory_swap == 0 {
        limits.memory_swap = limits.memory.saturating_mul(2);
    }
    // The kernel's own wish, not the user's: clients send -1 for it.
    if limits.memory_swappiness == Some(-1) {
        limits.memory_swappiness = None;
    }
    limits.oom_kill_disable.get_or_insert(false);
    if host.shm_size == 0 {
        host.shm_size = SHM_SIZE;
    }
    set_if_empty(&mut host.ipc_mode, "private");
    set_if_empty(&mut host.network_mode, "default");
    set_if_empty(&mut host.cgroupns_mode, if machine.unified_cgroups { "private" } else { "host" });
    set_if_empty(&mut host.log_config.kind, "json-file");
    host.log_config.config.get_or_insert_default();
    set_if_empty(&mut host.restart_policy.name, "no");
    share_labels(host);
    if !host.privileged {
        host.masked_paths.get_or_insert_with(|| machine.masked_paths());
        host.readonly_paths.get_or_insert_with(readonly_paths);
    }
}

fn set_if_empty(field: &mut String, value: &str) {
    if field.is_empty() {
        value.clone_into(field);
    }
}

/// Processes of the host, or its queues, cannot be labelled apart from it.
fn share_labels(host: &mut HostConfig) {
    if host.privileged || host.pid_mode == "host" || host.ipc_mode == "host" {
        let options = host.security_opt.get_or_insert_default();
        if !options.iter().any(|option| option == "label=disable") {
            options.push("label=disable".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swap_is_twice_the_memory_and_wishes_are_kept() {
        let mut host = HostConfig { ipc_mode: "host".into(), ..HostConfig::default() };
        host.resources.memory = 64 << 20;
        fill(&mut host, &Machine::read());
        assert_eq!(host.resources.memory_swap, 128 << 20);
        assert_eq!(host.ipc_mode, "host");
        assert_eq!(host.security_opt.as_deref(), Some(["label=disable".to_owned()].as_slice()));
        assert_eq!(host.readonly_paths.as_deref().map(<[_]>::len), Some(5));
    }
}
