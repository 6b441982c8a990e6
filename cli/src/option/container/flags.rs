//! The flags themselves.

use clap::ArgAction;
use dhow_engine_api::container::{DeviceRequest, ThrottleDevice, Ulimit, WeightDevice};
use dhow_engine_api::mount::Mount;

use crate::option::network::Attachment;
use crate::option::{device, mount, network, number, ulimit};

/// What a container shall be.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct ContainerOptions {
    /// Add a line to /etc/hosts (host:ip)
    #[arg(long, value_name = "list", value_parser = extra_host)]
    pub(crate) add_host: Vec<String>,
    /// Add an annotation, handed on to the OCI runtime
    #[arg(long, value_name = "map")]
    pub(crate) annotation: Vec<String>,
    /// Attach to STDIN, STDOUT or STDERR
    #[arg(short, long, value_name = "list", value_parser = stream)]
    pub(crate) attach: Vec<String>,
    /// Relative share of block IO, 10 to 1000, or 0 for none (default 0)
    #[arg(long, value_name = "uint16", value_parser = number::uint16)]
    pub(crate) blkio_weight: Option<u16>,
    /// Relative share of one device's IO (path:weight)
    #[arg(long, value_name = "list", value_parser = device::weight)]
    pub(crate) blkio_weight_device: Vec<WeightDevice>,
    /// Add Linux capabilities
    #[arg(long, value_name = "list")]
    pub(crate) cap_add: Vec<String>,
    /// Drop Linux capabilities
    #[arg(long, value_name = "list")]
    pub(crate) cap_drop: Vec<String>,
    /// Cgroup below which the container's own is made
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    pub(crate) cgroup_parent: String,
    /// Cgroup namespace to use (host|private)
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) cgroupns: String,
    /// Write the container's ID to this file
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) cidfile: String,
    /// CPU count (Windows only; refused)
    #[arg(long, value_name = "int", value_parser = windows)]
    pub(crate) cpu_count: Option<i64>,
    /// CPU percent (Windows only; refused)
    #[arg(long, value_name = "int", value_parser = windows)]
    pub(crate) cpu_percent: Option<i64>,
    /// Period of the CPU quota, in microseconds
    #[arg(long, value_name = "int", value_parser = number::integer)]
    pub(crate) cpu_period: Option<i64>,
    /// CPU time in each period, in microseconds
    #[arg(long, value_name = "int", value_parser = number::integer)]
    pub(crate) cpu_quota: Option<i64>,
    /// Period of real-time scheduling, in microseconds
    #[arg(long, value_name = "int", value_parser = number::integer)]
    pub(crate) cpu_rt_period: Option<i64>,
    /// Real-time CPU time in each period, in microseconds
    #[arg(long, value_name = "int", value_parser = number::integer)]
    pub(crate) cpu_rt_runtime: Option<i64>,
    /// Relative share of CPU time
    #[arg(short, long, value_name = "int", value_parser = number::integer)]
    pub(crate) cpu_shares: Option<i64>,
    /// How many CPUs' worth of time the container may use
    #[arg(long, value_name = "decimal", value_parser = number::nano_cpus)]
    pub(crate) cpus: Option<i64>,
    /// CPUs that it may run on (0-3, 0,1)
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) cpuset_cpus: String,
    /// Memory nodes that it may use (0-3, 0,1)
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) cpuset_mems: String,
    /// Give it a device of the host
    #[arg(long, value_name = "list")]
    pub(crate) device: Vec<String>,
    /// Add a rule to the devices that the cgroup allows
    #[arg(long, value_name = "list", value_parser = device::cgroup_rule)]
    pub(crate) device_cgroup_rule: Vec<String>,
    /// Limit reading from a device (path:bytes a second)
    #[arg(long, value_name = "list", value_parser = device::bytes_rate)]
    pub(crate) device_read_bps: Vec<ThrottleDevice>,
    /// Limit reads from a device (path:operations a second)
    #[arg(long, value_name = "list", value_parser = device::operations_rate)]
    pub(crate) device_read_iops: Vec<ThrottleDevice>,
    /// Limit writing to a device (path:bytes a second)
    #[arg(long, value_name = "list", value_parser = device::bytes_rate)]
    pub(crate) device_write_bps: Vec<ThrottleDevice>,
    /// Limit writes to a device (path:operations a second)
    #[arg(long, value_name = "list", value_parser = device::operations_rate)]
    pub(crate) device_write_iops: Vec<ThrottleDevice>,
    /// Skip image verification (there is none; accepted for old scripts) (default true)
    #[arg(long, action = ArgAction::SetTrue)]
    pub(crate) disable_content_trust: bool,
    /// Set DNS servers
    #[arg(long, value_name = "list", value_parser = ip)]
    pub(crate) dns: Vec<String>,
    /// Set options of the resolver
    #[arg(long, alias = "dns-opt", value_name = "list")]
    pub(crate) dns_option: Vec<String>,
    /// Set domains to search
    #[arg(long, value_name = "list")]
    pub(crate) dns_search: Vec<String>,
    /// Domain name of the container
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) domainname: String,
    /// Run this instead of the image's entrypoint
    #[arg(long, value_name = "string")]
    pub(crate) entrypoint: Option<String>,
    /// Set environment variables
    #[arg(short, long, value_name = "list")]
    pub(crate) env: Vec<String>,
    /// Read environment variables from a file
    #[arg(long, value_name = "list")]
    pub(crate) env_file: Vec<String>,
    /// Expose a port or a range of ports
    #[arg(long, value_name = "list")]
    pub(crate) expose: Vec<String>,
    /// Give it GPUs ('all' for every one)
    #[arg(long, value_name = "gpu-request", value_parser = device::gpus, action = ArgAction::Append)]
    pub(crate) gpus: Vec<DeviceRequest>,
    /// Join additional groups
    #[arg(long, value_name = "list")]
    pub(crate) group_add: Vec<String>,
    /// Command that checks the container's health
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) health_cmd: String,
    /// Time between checks (ms|s|m|h) (default 0s)
    #[arg(long, value_name = "duration", value_parser = number::nanoseconds, default_value = "0s")]
    pub(crate) health_interval: i64,
    /// Failures in a row that mean unhealthy
    #[arg(long, value_name = "int", value_parser = number::integer, default_value = "0")]
    pub(crate) health_retries: i64,
    /// Time between checks while it starts (ms|s|m|h) (default 0s)
    #[arg(long, value_name = "duration", value_parser = number::nanoseconds, default_value = "0s")]
    pub(crate) health_start_interval: i64,
    /// Time it may take to start before failures count (ms|s|m|h) (default 0s)
    #[arg(long, value_name = "duration", value_parser = number::nanoseconds, default_value = "0s")]
    pub(crate) health_start_period: i64,
    /// Time a check may take (ms|s|m|h) (default 0s)
    #[arg(long, value_name = "duration", value_parser = number::nanoseconds, default_value = "0s")]
    pub(crate) health_timeout: i64,
    /// Host name of the container
    #[arg(short = 'h', long, value_name = "string", default_value = "")]
    pub(crate) hostname: String,
    /// Run an init in it that forwards signals and reaps processes
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = crate::command::boolean)]
    pub(crate) init: Option<bool>,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Bandwidth of the system drive (Windows only; refused)
    #[arg(long, value_name = "bytes", value_parser = windows)]
    pub(crate) io_maxbandwidth: Option<i64>,
    /// IO operations of the system drive (Windows only; refused)
    #[arg(long, value_name = "uint", value_parser = windows)]
    pub(crate) io_maxiops: Option<i64>,
    /// IPv4 address (e.g., 172.30.100.104)
    #[arg(long, value_name = "string", value_parser = ip)]
    pub(crate) ip: Option<String>,
    /// IPv6 address (e.g., 2001:db8::33)
    #[arg(long, value_name = "string", value_parser = ip)]
    pub(crate) ip6: Option<String>,
    /// IPC namespace to use
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) ipc: String,
    /// How the container is isolated
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) isolation: String,
    /// Limit of kernel memory (deprecated, and ignored by kernels)
    #[arg(long, value_name = "bytes", value_parser = number::memory)]
    pub(crate) kernel_memory: Option<i64>,
    /// Set labels
    #[arg(short, long, value_name = "list")]
    pub(crate) label: Vec<String>,
    /// Read labels from a file, one a line
    #[arg(long, value_name = "list")]
    pub(crate) label_file: Vec<String>,
    /// Link to another container
    #[arg(long, value_name = "list", value_parser = link)]
    pub(crate) link: Vec<String>,
    /// Link-local addresses
    #[arg(long, value_name = "list", value_parser = ip)]
    pub(crate) link_local_ip: Vec<String>,
    /// Where its output is logged
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) log_driver: String,
    /// Options of the log driver
    #[arg(long, value_name = "list")]
    pub(crate) log_opt: Vec<String>,
    /// Hardware address (e.g., 92:d0:c6:0a:29:33)
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) mac_address: String,
    /// Limit of memory
    #[arg(short, long, value_name = "bytes", value_parser = number::memory)]
    pub(crate) memory: Option<i64>,
    /// Memory that is left to it when the host runs short
    #[arg(long, value_name = "bytes", value_parser = number::memory)]
    pub(crate) memory_reservation: Option<i64>,
    /// Limit of memory and swap together; '-1' for unlimited swap
    #[arg(long, value_name = "bytes", value_parser = number::memory_swap)]
    pub(crate) memory_swap: Option<i64>,
    /// How readily its memory is swapped out (0 to 100) (default -1)
    #[arg(long, value_name = "int", value_parser = number::integer)]
    pub(crate) memory_swappiness: Option<i64>,
    /// Mount a file system in the container
    #[arg(long, value_name = "mount", value_parser = mount::parse)]
    pub(crate) mount: Vec<Mount>,
    /// Connect the container to a network
    #[arg(long, alias = "net", value_name = "network", value_parser = network::parse)]
    pub(crate) network: Vec<Attachment>,
    /// Add a name for the container in its network
    #[arg(long, alias = "net-alias", value_name = "list")]
    pub(crate) network_alias: Vec<String>,
    /// Disable the image's health check
    #[arg(long)]
    pub(crate) no_healthcheck: bool,
    /// Never kill it when memory runs out
    #[arg(long)]
    pub(crate) oom_kill_disable: bool,
    /// How readily it is killed when memory runs out (-1000 to 1000)
    #[arg(long, value_name = "int", value_parser = number::integer, default_value = "0")]
    pub(crate) oom_score_adj: i64,
    /// PID namespace to use
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) pid: String,
    /// Limit of processes (-1 for unlimited)
    #[arg(long, value_name = "int", value_parser = number::integer, default_value = "0")]
    pub(crate) pids_limit: i64,
    /// Give it every privilege of the host
    #[arg(long)]
    pub(crate) privileged: bool,
    /// Publish a port of the container on the host
    #[arg(short, long, value_name = "list")]
    pub(crate) publish: Vec<String>,
    /// Publish all exposed ports on random ports of the host
    #[arg(short = 'P', long)]
    pub(crate) publish_all: bool,
    /// Make its root file system read-only
    #[arg(long)]
    pub(crate) read_only: bool,
    /// When to start it again after it exits (default "no")
    #[arg(long, value_name = "string", default_value = "no")]
    pub(crate) restart: String,
    /// Remove it, and its anonymous volumes, when it exits
    #[arg(long)]
    pub(crate) rm: bool,
    /// OCI runtime to use
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) runtime: String,
    /// Security options
    #[arg(long, value_name = "list")]
    pub(crate) security_opt: Vec<String>,
    /// Size of /dev/shm
    #[arg(long, value_name = "bytes", value_parser = number::memory)]
    pub(crate) shm_size: Option<i64>,
    /// Signal that asks it to stop
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) stop_signal: String,
    /// Seconds it is given to stop
    #[arg(long, value_name = "int", value_parser = number::integer)]
    pub(crate) stop_timeout: Option<i64>,
    /// Options of the storage driver
    #[arg(long, value_name = "list")]
    pub(crate) storage_opt: Vec<String>,
    /// Kernel parameters
    #[arg(long, value_name = "map", value_parser = sysctl)]
    pub(crate) sysctl: Vec<String>,
    /// Mount a tmpfs at a directory
    #[arg(long, value_name = "list")]
    pub(crate) tmpfs: Vec<String>,
    /// Give it a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Resource limits of its processes
    #[arg(long, value_name = "ulimit", value_parser = ulimit::parse)]
    pub(crate) ulimit: Vec<Ulimit>,
    /// User name or ID (format: <name|uid>[:<group|gid>])
    #[arg(short, long, value_name = "string", default_value = "")]
    pub(crate) user: String,
    /// User namespace to use
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) userns: String,
    /// UTS namespace to use
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) uts: String,
    /// Mount a directory of the host or a volume
    #[arg(short, long, value_name = "list")]
    pub(crate) volume: Vec<String>,
    /// Driver of the container's volumes
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) volume_driver: String,
    /// Mount what other containers have mounted
    #[arg(long, value_name = "list")]
    pub(crate) volumes_from: Vec<String>,
    /// Working directory in the container
    #[arg(short, long, value_name = "string", default_value = "")]
    pub(crate) workdir: String,
}

/// Kernel parameters that a container can have for itself.
const SYSCTLS: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

fn sysctl(text: &str) -> Result<String, String> {
    let name = text.split('=').next().unwrap_or("");
    let own = SYSCTLS.contains(&name) || name.starts_with("net.") || name.starts_with("fs.mqueue.");
    if text.contains('=') && own {
        Ok(text.to_owned())
    } else {
        Err(format!("sysctl '{text}' is not allowed"))
    }
}

fn windows(_: &str) -> Result<i64, String> {
    Err("only containers of Windows have this".into())
}

fn ip(text: &str) -> Result<String, String> {
    match text.trim().parse::<std::net::IpAddr>() {
        Ok(_) => Ok(text.trim().to_owned()),
        Err(_) => Err(format!("IP address is not correctly formatted: {text}")),
    }
}

fn stream(text: &str) -> Result<String, String> {
    let lower = text.to_lowercase();
    match lower.as_str() {
        "stdin" | "stdout" | "stderr" => Ok(lower),
        _ => Err("valid streams are STDIN, STDOUT and STDERR".into()),
    }
}

fn link(text: &str) -> Result<String, String> {
    match text.split(':').count() {
        _ if text.is_empty() => Err("empty string specified for links".into()),
        1 | 2 => Ok(text.to_owned()),
        _ => Err(format!("bad format for links: {text}")),
    }
}

fn extra_host(text: &str) -> Result<String, String> {
    // An address may hold colons, a name may not.
    let (name, address) = text
        .split_once('=')
        .or_else(|| text.split_once(':'))
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| format!("bad format for add-host: \"{text}\""))?;
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    if bare != "host-gateway" && bare.parse::<std::net::IpAddr>().is_err() {
        return Err(format!("invalid IP address in add-host: \"{bare}\""));
    }
    Ok(format!("{name}:{bare}"))
}
