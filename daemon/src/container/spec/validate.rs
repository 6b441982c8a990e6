//! Settings that can be judged without touching anything: Docker's own limits and contradictions.

use dhow_engine_api::container::{ContainerConfig, HostConfig, Resources};

use super::SpecError;
use super::namespace::Mode;
use super::security::Security;

/// What a container needs to get off the ground.
const MIN_MEMORY: i64 = 6 << 20;
const MAX_HOSTNAME: usize = 63;
const NANO: i64 = 1_000_000_000;

/// Refuses what no container can have. Warnings for what is odd come back, for the answer to `create`.
///
/// # Errors
/// With the text that Docker's clients know.
pub(crate) fn check(config: &ContainerConfig, host: &HostConfig) -> Result<Vec<String>, SpecError> {
    if config.hostname.len() > MAX_HOSTNAME {
        return refuse(format!("hostname {:?} is too long (maximum {MAX_HOSTNAME} bytes)", config.hostname));
    }
    for entry in config.env.iter().flatten() {
        if entry.is_empty() || entry.starts_with('=') {
            return refuse(format!("invalid environment variable: {entry}"));
        }
    }
    resources(&host.resources)?;
    modes(host)?;
    if host.shm_size < 0 {
        return refuse("SHM size can not be less than 0".to_owned());
    }
    if !(-1000..=1000).contains(&host.oom_score_adj) {
        return refuse(format!(
            "Invalid value {}, range for oom score adj is [-1000, 1000]",
            host.oom_score_adj
        ));
    }
    if host.auto_remove && !matches!(host.restart_policy.name.as_str(), "" | "no") {
        return refuse("can't create 'AutoRemove' container with restart policy".to_owned());
    }
    Security::parse(host.security_opt.as_deref().unwrap_or_default())
        .map_err(|error| SpecError::Invalid(error.to_string()))?;
    Ok(warnings(host))
}

fn refuse<T>(text: String) -> Result<T, SpecError> {
    Err(SpecError::Invalid(text))
}

fn warnings(host: &HostConfig) -> Vec<String> {
    let mut warnings = Vec::new();
    if Mode::parse(&host.network_mode) == Mode::Host && host.port_bindings.iter().flatten().next().is_some() {
        warnings.push("Published ports are discarded when using host network mode".to_owned());
    }
    if host.resources.oom_kill_disable == Some(true) && host.resources.memory == 0 {
        warnings.push(
            "OOM killer is disabled for the container, but no memory limit is set, this can result in the system \
             running out of resources."
                .to_owned(),
        );
    }
    warnings
}

/// Checks limits, of a new container or of an update.
pub(crate) fn resources(limits: &Resources) -> Result<(), SpecError> {
    memory(limits)?;
    if limits.nano_cpus > 0 && limits.cpu_period > 0 {
        return refuse("Conflicting options: Nano CPUs and CPU Period cannot both be set".to_owned());
    }
    if limits.nano_cpus > 0 && limits.cpu_quota > 0 {
        return refuse("Conflicting options: Nano CPUs and CPU Quota cannot both be set".to_owned());
    }
    let cpus =
        std::thread::available_parallelism().map_or(1, |count| i64::try_from(count.get()).unwrap_or(1));
    if limits.nano_cpus < 0 || limits.nano_cpus > cpus * NANO {
        return refuse(format!(
            "range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
        ));
    }
    if limits.cpu_period != 0 && !(1000..=1_000_000).contains(&limits.cpu_period) {
        return refuse(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)".to_owned(),
        );
    }
    if limits.cpu_quota > 0 && limits.cpu_quota < 1000 {
        return refuse("CPU cfs quota can not be less than 1ms (i.e. 1000)".to_owned());
    }
    if limits.blkio_weight > 0 && !(10..=1000).contains(&limits.blkio_weight) {
        return refuse("Range of blkio weight is from 10 to 1000".to_owned());
    }
    Ok(())
}

fn memory(limits: &Resources) -> Result<(), SpecError> {
    let Resources { memory, memory_swap, memory_reservation, .. } = *limits;
    let text = if memory != 0 && memory < MIN_MEMORY {
        "Minimum memory limit allowed is 6MB"
    } else if memory > 0 && memory_swap > 0 && memory_swap < memory {
        "Minimum memoryswap limit should be larger than memory limit, see usage"
    } else if memory == 0 && memory_swap > 0 {
        "You should always set the Memory limit when using Memoryswap limit, see usage"
    } else if memory_reservation > 0 && memory_reservation < MIN_MEMORY {
        "Minimum memory reservation allowed is 6MB"
    } else if memory > 0 && memory < memory_reservation {
        "Minimum memory limit can not be less than memory reservation limit, see usage"
    } else {
        return match limits.memory_swappiness {
            Some(value) if !(-1..=100).contains(&value) => {
                refuse(format!("Invalid value: {value}, valid memory swappiness range is 0-100"))
            }
            _ => Ok(()),
        };
    };
    refuse(text.to_owned())
}

fn modes(host: &HostConfig) -> Result<(), SpecError> {
    if matches!(Mode::parse(&host.ipc_mode), Mode::Other(_)) {
        return refuse(format!("invalid IPC mode: {}", host.ipc_mode));
    }
    if !matches!(Mode::parse(&host.pid_mode), Mode::Default | Mode::Private | Mode::Host | Mode::Container(_))
    {
        return refuse(format!("invalid PID mode: {}", host.pid_mode));
    }
    if !matches!(Mode::parse(&host.uts_mode), Mode::Default | Mode::Host) {
        return refuse(format!("invalid UTS mode: {}", host.uts_mode));
    }
    if !matches!(Mode::parse(&host.cgroupns_mode), Mode::Default | Mode::Private | Mode::Host) {
        return refuse(format!("invalid cgroup namespace mode: {}", host.cgroupns_mode));
    }
    if !matches!(host.userns_mode.as_str(), "" | "host") {
        return refuse(format!("invalid USER mode: {}", host.userns_mode));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut HostConfig)) -> Result<Vec<String>, String> {
        let mut host = HostConfig::default();
        change(&mut host);
        check(&ContainerConfig::default(), &host).map_err(|error| error.to_string())
    }

    #[test]
    fn limits_have_docker_s_texts() {
        let said = with(|host| host.resources.memory = 1 << 20).unwrap_err();
        assert_eq!(said, "Minimum memory limit allowed is 6MB");
        assert!(with(|host| host.resources.memory_swap = 1 << 30).is_err());
        assert!(with(|host| host.resources.nano_cpus = 100_000 * NANO).is_err());
        assert_eq!(with(|host| host.resources.memory = 6 << 20), Ok(Vec::new()));
    }

    #[test]
    fn modes_are_words_that_are_known() {
        assert!(with(|host| host.ipc_mode = "shared".into()).is_err());
        assert!(with(|host| host.pid_mode = "container:abc".into()).is_ok());
        assert!(with(|host| host.uts_mode = "private".into()).is_err());
    }

    #[test]
    fn published_ports_of_the_host_network_are_a_warning() {
        let warned = with(|host| {
            host.network_mode = "host".into();
            host.port_bindings = Some([("80/tcp".to_owned(), None)].into());
        });
        assert_eq!(warned.unwrap().len(), 1);
    }
}
