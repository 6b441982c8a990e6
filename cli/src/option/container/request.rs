//! The body of `POST /containers/create` from the flags.

use std::collections::BTreeMap;

use dhow_engine_api::Empty;
use dhow_engine_api::container::{
    ContainerConfig, CreateRequest, DeviceRequest, HealthConfig, HostConfig, LogConfig, Resources,
};
use dhow_engine_api::endpoint::NetworkingConfig;

use super::{ContainerOptions, endpoint};
use crate::option::volume::{self, Volume};
use crate::option::{capability, device, env, key_values, list, network, port, restart, security};

/// Builds the request for `image` running `command`.
pub(crate) fn build(
    options: ContainerOptions,
    image: String,
    command: Vec<String>,
) -> Result<CreateRequest, String> {
    let mut options = options;
    network::mac(&options.mac_address)?;
    if let Some(swappiness) = options.memory_swappiness
        && swappiness != -1
        && !(0..=100).contains(&swappiness)
    {
        return Err(format!("invalid value: {swappiness}. Valid memory swappiness range is 0-100"));
    }
    modes(&options)?;
    let networking = endpoint::endpoints(&options)?;
    let ports = port::parse(&options.publish, &options.expose)?;
    let (volumes, binds) = volumes(&options.volume);
    let attached = |stream: &str| options.attach.iter().any(|one| one == stream);
    let none_named = options.attach.is_empty();
    let attach_stdin = attached("stdin") || options.interactive;
    let config = ContainerConfig {
        hostname: std::mem::take(&mut options.hostname),
        domainname: std::mem::take(&mut options.domainname),
        user: std::mem::take(&mut options.user),
        attach_stdin,
        attach_stdout: attached("stdout") || none_named,
        attach_stderr: attached("stderr") || none_named,
        exposed_ports: (!ports.exposed.is_empty()).then_some(ports.exposed),
        tty: options.tty,
        open_stdin: options.interactive,
        stdin_once: options.interactive && attach_stdin,
        env: list(env::variables(&options.env_file, &options.env)?),
        cmd: list(command),
        healthcheck: health(&options)?,
        image,
        volumes: Some(volumes),
        working_dir: std::mem::take(&mut options.workdir),
        entrypoint: options.entrypoint.take().map(|entrypoint| vec![entrypoint]),
        labels: Some(key_values(&env::labels(&options.label_file, &options.label)?)),
        stop_signal: std::mem::take(&mut options.stop_signal),
        stop_timeout: options.stop_timeout,
        ..ContainerConfig::default()
    };
    let mut host_config = host(&mut options)?;
    host_config.binds = list(binds);
    host_config.port_bindings = Some(ports.bindings);
    host_config.resources = resources(options)?;
    Ok(CreateRequest {
        config,
        host_config: Some(host_config),
        networking_config: Some(NetworkingConfig { endpoints_config: Some(networking) }),
    })
}

/// Refuses namespaces that are none.
fn modes(options: &ContainerOptions) -> Result<(), String> {
    let of_container = |mode: &str| mode.strip_prefix("container:").is_some_and(|id| !id.is_empty());
    if !matches!(options.pid.as_str(), "" | "host") && !of_container(&options.pid) {
        return Err("--pid: invalid PID mode".into());
    }
    if !matches!(options.uts.as_str(), "" | "host") {
        return Err("--uts: invalid UTS mode".into());
    }
    if !matches!(options.userns.as_str(), "" | "host") {
        return Err("--userns: invalid USER mode".into());
    }
    if !matches!(options.cgroupns.as_str(), "" | "host" | "private") {
        return Err("--cgroupns: invalid CGROUP mode".into());
    }
    Ok(())
}

type Volumes = (BTreeMap<String, Empty>, Vec<String>);

fn volumes(specs: &[String]) -> Volumes {
    let (mut anonymous, mut binds) = (BTreeMap::new(), Vec::new());
    for spec in specs {
        match volume::parse(spec) {
            Volume::Anonymous(target) => drop(anonymous.insert(target, Empty {})),
            Volume::Bind(bind) => binds.push(bind),
        }
    }
    (anonymous, binds)
}

fn health(options: &ContainerOptions) -> Result<Option<HealthConfig>, String> {
    let given = !options.health_cmd.is_empty();
    let times = [
        ("--health-interval", options.health_interval),
        ("--health-timeout", options.health_timeout),
        ("--health-retries", options.health_retries),
        ("--health-start-period", options.health_start_period),
        ("--health-start-interval", options.health_start_interval),
    ];
    let any = given || times.iter().any(|(_, value)| *value != 0);
    if options.no_healthcheck {
        if any {
            return Err("--no-healthcheck conflicts with --health-* options".into());
        }
        return Ok(Some(HealthConfig { test: Some(vec!["NONE".into()]), ..HealthConfig::default() }));
    }
    if !any {
        return Ok(None);
    }
    if let Some((flag, _)) = times.iter().find(|(_, value)| *value < 0) {
        return Err(format!("{flag} cannot be negative"));
    }
    Ok(Some(HealthConfig {
        test: given.then(|| vec!["CMD-SHELL".into(), options.health_cmd.clone()]),
        interval: options.health_interval,
        timeout: options.health_timeout,
        start_period: options.health_start_period,
        start_interval: options.health_start_interval,
        retries: options.health_retries,
    }))
}

fn host(options: &mut ContainerOptions) -> Result<HostConfig, String> {
    use std::mem::take;
    let restart_policy = restart::parse(&options.restart)?;
    if options.rm && !matches!(restart_policy.name.as_str(), "" | "no") {
        return Err("conflicting options: cannot specify both --restart and --rm".into());
    }
    if options.log_driver == "none" && !options.log_opt.is_empty() {
        return Err("invalid logging opts for driver none".into());
    }
    if options.storage_opt.iter().any(|option| !option.contains('=')) {
        return Err("invalid storage option".into());
    }
    let security = security::parse(&options.security_opt)?;
    let unmasked = security.unmasked.then(Vec::new);
    let (cap_add, cap_drop) = capability::effective(&options.cap_add, &options.cap_drop);
    let map = |words: Vec<String>| Some(key_values(&words));
    let tmpfs = take(&mut options.tmpfs);
    let tmpfs = tmpfs.iter().map(|one| one.split_once(':').unwrap_or((one, "")));
    Ok(HostConfig {
        container_id_file: take(&mut options.cidfile),
        log_config: LogConfig {
            kind: take(&mut options.log_driver),
            config: map(take(&mut options.log_opt)),
        },
        network_mode: options.network.first().map_or_else(|| "default".into(), |first| first.target.clone()),
        restart_policy,
        auto_remove: options.rm,
        volume_driver: take(&mut options.volume_driver),
        volumes_from: list(take(&mut options.volumes_from)),
        annotations: map(take(&mut options.annotation)).filter(|map| !map.is_empty()),
        cap_add: list(cap_add),
        cap_drop: list(cap_drop),
        cgroupns_mode: take(&mut options.cgroupns),
        dns: Some(take(&mut options.dns)),
        dns_options: Some(take(&mut options.dns_option)),
        dns_search: Some(take(&mut options.dns_search)),
        extra_hosts: list(take(&mut options.add_host)),
        group_add: list(take(&mut options.group_add)),
        ipc_mode: take(&mut options.ipc),
        links: list(take(&mut options.link)),
        oom_score_adj: options.oom_score_adj,
        pid_mode: take(&mut options.pid),
        privileged: options.privileged,
        publish_all_ports: options.publish_all,
        readonly_rootfs: options.read_only,
        security_opt: list(security.options),
        storage_opt: map(take(&mut options.storage_opt)).filter(|map| !map.is_empty()),
        tmpfs: Some(tmpfs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
            .filter(|map: &BTreeMap<_, _>| !map.is_empty()),
        uts_mode: take(&mut options.uts),
        userns_mode: take(&mut options.userns),
        shm_size: options.shm_size.unwrap_or(0),
        sysctls: map(take(&mut options.sysctl)).filter(|map| !map.is_empty()),
        runtime: take(&mut options.runtime),
        isolation: take(&mut options.isolation),
        mounts: Some(take(&mut options.mount)).filter(|mounts| !mounts.is_empty()),
        masked_paths: unmasked.clone(),
        readonly_paths: unmasked,
        init: options.init,
        ..HostConfig::default()
    })
}

fn resources(options: ContainerOptions) -> Result<Resources, String> {
    let mut devices = Vec::new();
    let mut qualified = Vec::new();
    for device in &options.device {
        if device::is_qualified(device) {
            qualified.push(device.clone());
        } else {
            devices.push(device::mapping(device)?);
        }
    }
    let mut requests = options.gpus;
    if !qualified.is_empty() {
        requests.push(DeviceRequest {
            driver: "cdi".into(),
            device_ids: Some(qualified),
            ..DeviceRequest::default()
        });
    }
    let mut ulimits = options.ulimit;
    ulimits.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Resources {
        cpu_shares: options.cpu_shares.unwrap_or(0),
        memory: options.memory.unwrap_or(0),
        nano_cpus: options.cpus.unwrap_or(0),
        cgroup_parent: options.cgroup_parent,
        blkio_weight: options.blkio_weight.unwrap_or(0),
        blkio_weight_device: Some(options.blkio_weight_device),
        blkio_device_read_bps: Some(options.device_read_bps),
        blkio_device_write_bps: Some(options.device_write_bps),
        blkio_device_read_iops: Some(options.device_read_iops),
        blkio_device_write_iops: Some(options.device_write_iops),
        cpu_period: options.cpu_period.unwrap_or(0),
        cpu_quota: options.cpu_quota.unwrap_or(0),
        cpu_realtime_period: options.cpu_rt_period.unwrap_or(0),
        cpu_realtime_runtime: options.cpu_rt_runtime.unwrap_or(0),
        cpuset_cpus: options.cpuset_cpus,
        cpuset_mems: options.cpuset_mems,
        devices: Some(devices),
        device_cgroup_rules: list(options.device_cgroup_rule),
        device_requests: Some(requests).filter(|requests| !requests.is_empty()),
        memory_reservation: options.memory_reservation.unwrap_or(0),
        memory_swap: options.memory_swap.unwrap_or(0),
        memory_swappiness: Some(options.memory_swappiness.unwrap_or(-1)),
        oom_kill_disable: Some(options.oom_kill_disable),
        pids_limit: Some(options.pids_limit),
        ulimits: Some(ulimits),
        ..Resources::default()
    })
}
