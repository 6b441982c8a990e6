//! Specs against golden files, and the properties that matter one by one.

use std::path::{Path, PathBuf};

use dhow_engine_api::container::{ContainerConfig, HostConfig, Ulimit};
use serde_json::{Value, json};

use super::mount::{Content, Writable};
use super::*;

fn machine() -> Machine {
    Machine {
        kernel: "6.1.0".into(),
        capabilities: capability::of_mask((1 << 41) - 1),
        seccomp: true,
        apparmor: false,
        default_apparmor: None,
        unified_cgroups: false,
        recursive_read_only: true,
        network_sysctls: vec![("net.ipv4.ip_unprivileged_port_start", "0")],
        init: None,
        throttled_cpus: Vec::new(),
    }
}

fn words(text: &str) -> Option<Vec<String>> {
    Some(text.split(' ').map(str::to_owned).collect())
}

/// A spec of `sh` with `change` applied, as JSON, or the error's text.
fn spec_of(
    change: impl FnOnce(&mut ContainerConfig, &mut HostConfig, &mut Namespaces, &mut Vec<MountPlan>),
) -> Result<Value, String> {
    let mut config =
        ContainerConfig { cmd: words("sh"), hostname: "0123456789ab".into(), ..Default::default() };
    let mut host = HostConfig::default();
    let machine = machine();
    let mut namespaces = Namespaces::private(Join::Path("/run/dhow/netns/0123456789ab".into()));
    let mut mounts = vec![MountPlan::file("/etc/hosts", "/var/lib/dhow/containers/x/hosts".into(), true)];
    change(&mut config, &mut host, &mut namespaces, &mut mounts);
    defaults::fill(&mut host, &machine);
    let identity = user::Database::default().resolve(&config.user, &[]).map_err(|error| error.to_string())?;
    let facts = HostFacts::gather(&host, &mounts).map_err(|error| error.to_string())?;
    let input = SpecInput {
        config: &config,
        host: &host,
        rootfs: Path::new("rootfs"),
        cgroup_path: "/dhow/x",
        identity: &identity,
        namespaces: &namespaces,
        mounts: &mounts,
        facts: &facts,
        machine: &machine,
    };
    let spec = build(&input).map_err(|error| error.to_string())?;
    Ok(sorted(serde_json::to_value(spec).expect("serialises")))
}

/// Sets have no order: capabilities are sorted so that documents compare.
fn sorted(mut spec: Value) -> Value {
    let sets = spec["process"]["capabilities"].as_object_mut().into_iter().flat_map(|sets| sets.values_mut());
    for set in sets.filter_map(Value::as_array_mut) {
        set.sort_by_key(|name| name.to_string());
    }
    spec
}

fn mount_at<'a>(spec: &'a Value, destination: &str) -> Option<&'a Value> {
    spec["mounts"].as_array()?.iter().find(|mount| mount["destination"] == destination)
}

#[test]
fn a_plain_container_is_docker_s() {
    let mut spec = spec_of(|_, _, _, _| {}).expect("builds");
    // Its own tests hold the filter; here it would be 400 names.
    spec["linux"]["seccomp"]["syscalls"] = json!("…");
    let golden: Value = serde_json::from_str(include_str!("golden/plain.json")).expect("golden file");
    assert_eq!(spec, golden, "{}", serde_json::to_string_pretty(&spec).expect("prints"));
}

#[test]
fn privileged_opens_everything() {
    let spec = spec_of(|_, host, _, _| host.privileged = true).expect("builds");
    assert_eq!(spec["linux"]["seccomp"], Value::Null);
    assert_eq!(spec["linux"]["maskedPaths"], Value::Null);
    assert_eq!(spec["process"]["capabilities"]["bounding"].as_array().map(Vec::len), Some(41));
    assert_eq!(spec["linux"]["resources"]["devices"], json!([{"allow": true, "access": "rwm"}]));
    for destination in ["/sys", "/sys/fs/cgroup"] {
        let options = mount_at(&spec, destination).expect("mounted")["options"].to_string();
        assert!(!options.contains("\"ro\""), "{destination}: {options}");
    }
}

#[test]
fn limits_are_translated() {
    let spec = spec_of(|_, host, _, _| {
        host.resources.memory = 64 << 20;
        host.resources.nano_cpus = 1_500_000_000;
        host.resources.pids_limit = Some(0);
        host.resources.cpuset_cpus = "0-1".into();
        host.resources.ulimits = Some(vec![Ulimit { name: "nofile".into(), soft: 10, hard: -1 }]);
    })
    .expect("builds");
    let resources = &spec["linux"]["resources"];
    assert_eq!(
        resources["memory"],
        json!({"limit": 67_108_864, "swap": 134_217_728, "disableOOMKiller": false})
    );
    assert_eq!(resources["cpu"], json!({"period": 100_000, "quota": 150_000, "cpus": "0-1"}));
    assert_eq!(resources["pids"], json!({"limit": -1}));
    assert_eq!(spec["process"]["rlimits"], json!([{"type": "RLIMIT_NOFILE", "soft": 10, "hard": u64::MAX}]));
}

#[test]
fn binds_cover_defaults_and_come_in_order_of_depth() {
    let bind = |destination: &str, writable| MountPlan {
        destination: destination.into(),
        content: Content::Bind {
            source: PathBuf::from("/srv"),
            recursive: true,
            writable,
            propagation: "rprivate".into(),
        },
    };
    let spec = spec_of(|_, _, _, mounts| {
        mounts.extend([
            bind("/a/b", Writable::No),
            bind("/a", Writable::NotTheTop),
            bind("/dev", Writable::Yes),
        ]);
    })
    .expect("builds");
    let order: Vec<&str> = spec["mounts"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|mount| mount["destination"].as_str())
        .collect();
    assert_eq!(order, ["/proc", "/sys", "/sys/fs/cgroup", "/a", "/dev", "/a/b", "/etc/hosts"]);
    assert_eq!(mount_at(&spec, "/a").expect("mounted")["options"], json!(["rbind", "ro", "rprivate"]));
    assert_eq!(mount_at(&spec, "/a/b").expect("mounted")["options"], json!(["rbind", "rro", "rprivate"]));
}

#[test]
fn shared_namespaces_are_left_out_or_joined() {
    let spec = spec_of(|_, host, namespaces, _| {
        host.ipc_mode = "none".into();
        namespaces.network = Join::Host;
        namespaces.own_network = false;
        namespaces.uts = Join::Host;
        namespaces.pid = Join::Path("/proc/7/ns/pid".into());
    })
    .expect("builds");
    assert_eq!(
        spec["linux"]["namespaces"],
        json!([{"type": "mount"}, {"type": "pid", "path": "/proc/7/ns/pid"}, {"type": "ipc"}])
    );
    assert_eq!(spec["hostname"], Value::Null);
    assert_eq!(spec["linux"]["sysctl"], Value::Null);
    assert!(mount_at(&spec, "/dev/shm").is_none());
}

#[test]
fn the_environment_is_the_daemon_s_then_the_user_s() {
    let spec = spec_of(|config, host, _, _| {
        config.tty = true;
        config.env = words("PATH=/bin TERM A=1");
        host.console_size = [24, 80];
    })
    .expect("builds");
    assert_eq!(spec["process"]["env"], json!(["PATH=/bin", "HOSTNAME=0123456789ab", "A=1"]));
    assert_eq!(spec["process"]["consoleSize"], json!({"height": 24, "width": 80}));
}

#[test]
fn what_cannot_be_is_said() {
    let refused = |change: fn(&mut HostConfig)| spec_of(|_, host, _, _| change(host)).expect_err("refused");
    assert_eq!(refused(|host| host.init = Some(true)), SpecError::NoInit.to_string());
    assert!(refused(|host| host.cap_add = words("FLY")).contains("CAP_FLY"));
    assert!(refused(|host| host.security_opt = words("what=ever")).contains("what=ever"));
    assert!(
        refused(|host| {
            host.resources.ulimits = Some(vec![Ulimit { name: "patience".into(), soft: 0, hard: 0 }]);
        })
        .contains("patience")
    );
}
