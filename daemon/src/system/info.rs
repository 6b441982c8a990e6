//! `GET /info`.

use std::collections::BTreeMap;

use cgroups_rs::fs::Controllers;
use dhow_engine_api::system::{
    Commit, Containerd, ContainerdNamespaces, Firewall, Index, Info, Plugins, RegistryConfig, Runtime,
    SwarmInfo,
};

use super::host::{self, Cgroups};
use crate::daemon::Daemon;

/// Everything about this daemon and its host.
pub(crate) async fn info(daemon: &Daemon) -> Info {
    let cgroups = Cgroups::detect();
    let supervisor =
        daemon.supervisor.version().version(()).await.map(tonic::Response::into_inner).unwrap_or_default();
    let (running, paused, stopped) = daemon.containers.counts();
    let options = &daemon.options;
    Info {
        id: daemon.id.clone(),
        containers: running + paused + stopped,
        containers_running: running,
        containers_paused: paused,
        containers_stopped: stopped,
        images: daemon.images.count().await,
        driver: "overlay2".to_owned(),
        driver_status: Some(vec![
            ["Backing Filesystem".to_owned(), host::backing(&options.data_root)],
            ["Supports d_type".to_owned(), "true".to_owned()],
            ["Using metacopy".to_owned(), "false".to_owned()],
            ["Native Overlay Diff".to_owned(), "true".to_owned()],
            ["userxattr".to_owned(), "false".to_owned()],
        ]),
        plugins: plugins(),
        memory_limit: cgroups.has(Controllers::Mem, "memory.limit_in_bytes"),
        swap_limit: cgroups.has(Controllers::Mem, "memory.memsw.limit_in_bytes"),
        kernel_memory: false,
        kernel_memory_tcp: false,
        cpu_cfs_period: cgroups.has(Controllers::Cpu, "cpu.cfs_period_us"),
        cpu_cfs_quota: cgroups.has(Controllers::Cpu, "cpu.cfs_quota_us"),
        cpu_shares: cgroups.has(Controllers::Cpu, "cpu.shares"),
        cpu_set: cgroups.has(Controllers::CpuSet, "cpuset.cpus"),
        pids_limit: cgroups.has(Controllers::Pids, ""),
        ipv4_forwarding: host::switch("net/ipv4/ip_forward"),
        bridge_nf_iptables: host::switch("net/bridge/bridge-nf-call-iptables"),
        bridge_nf_ip6tables: host::switch("net/bridge/bridge-nf-call-ip6tables"),
        debug: options.debug,
        n_fd: count("/proc/self/fd"),
        oom_kill_disable: matches!(cgroups, Cgroups::Separate(_))
            && cgroups.has(Controllers::Mem, "memory.oom_control"),
        n_goroutines: count("/proc/self/task"),
        system_time: crate::time::now(),
        logging_driver: options.log_driver.clone(),
        cgroup_driver: "cgroupfs".to_owned(),
        cgroup_version: cgroups.version().to_owned(),
        n_events_listener: i64::try_from(daemon.events.listeners()).unwrap_or(i64::MAX),
        kernel_version: host::kernel(),
        operating_system: host::release("PRETTY_NAME").unwrap_or_else(|| "Linux".to_owned()),
        os_version: host::release("VERSION_ID").unwrap_or_default(),
        os_type: "linux".to_owned(),
        architecture: host::machine(),
        index_server_address: "https://index.docker.io/v1/".to_owned(),
        registry_config: Some(registries(&options.insecure_registries)),
        n_cpu: host::cpus().into(),
        mem_total: i64::try_from(host::memory()).unwrap_or(i64::MAX),
        generic_resources: None,
        docker_root_dir: options.data_root.display().to_string(),
        http_proxy: String::new(),
        https_proxy: String::new(),
        no_proxy: String::new(),
        name: host::name(),
        labels: Some(options.labels.clone()),
        experimental_build: false,
        server_version: env!("CARGO_PKG_VERSION").to_owned(),
        runtimes: runtimes(daemon),
        default_runtime: "dhow".to_owned(),
        swarm: SwarmInfo { local_node_state: "inactive".to_owned(), ..SwarmInfo::default() },
        live_restore_enabled: true,
        isolation: String::new(),
        init_binary: "docker-init".to_owned(),
        containerd_commit: commit(&supervisor.revision, &supervisor.version),
        runc_commit: commit("", env!("CARGO_PKG_VERSION")),
        init_commit: Commit::default(),
        security_options: Some(vec!["name=seccomp,profile=builtin".to_owned()]),
        product_license: String::new(),
        default_address_pools: None,
        firewall_backend: Some(Firewall { driver: "nftables".to_owned(), info: None }),
        cdi_spec_dirs: Some(Vec::new()),
        containerd: Some(Containerd {
            address: daemon.supervisor.socket().display().to_string(),
            namespaces: ContainerdNamespaces {
                containers: daemon.supervisor.namespace().to_owned(),
                plugins: daemon.supervisor.namespace().to_owned(),
            },
        }),
        warnings: None,
    }
}

fn commit(revision: &str, version: &str) -> Commit {
    let id = if revision.is_empty() { version } else { revision }.to_owned();
    Commit { expected: id.clone(), id }
}

fn count(folder: &str) -> i64 {
    std::fs::read_dir(folder).map_or(-1, |entries| i64::try_from(entries.count()).unwrap_or(i64::MAX))
}

fn plugins() -> Plugins {
    let list = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    Plugins {
        volume: list(&["local"]),
        network: list(&["bridge", "host", "null"]),
        authorization: None,
        log: list(&["json-file", "none"]),
    }
}

fn registries(insecure: &[String]) -> RegistryConfig {
    let docker =
        Index { name: "docker.io".to_owned(), mirrors: Some(Vec::new()), secure: true, official: true };
    let mut index_configs = BTreeMap::from([(docker.name.clone(), docker)]);
    let (networks, names): (Vec<_>, Vec<_>) =
        insecure.iter().cloned().partition(|registry| registry.parse::<ipnet::IpNet>().is_ok());
    index_configs.extend(names.into_iter().map(|name| {
        (name.clone(), Index { name, mirrors: Some(Vec::new()), secure: false, official: false })
    }));
    RegistryConfig {
        allow_nondistributable_artifacts_cidrs: Some(Vec::new()),
        allow_nondistributable_artifacts_hostnames: Some(Vec::new()),
        insecure_registry_cidrs: Some(
            ["::1/128", "127.0.0.0/8"].map(str::to_owned).into_iter().chain(networks).collect(),
        ),
        index_configs,
        mirrors: Some(Vec::new()),
    }
}

fn runtimes(daemon: &Daemon) -> BTreeMap<String, Runtime> {
    let path = daemon.runtime.binary.display().to_string();
    BTreeMap::from([("dhow".to_owned(), Runtime { path, runtime_args: Vec::new() })])
}
