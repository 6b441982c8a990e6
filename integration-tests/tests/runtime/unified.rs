//! Limits on cgroup v2: what the control files hold, and what the kernel does because of them.

use std::path::PathBuf;

use dhow_integration_tests::needs;
use dhow_integration_tests::process::eventually;
use dhow_integration_tests::runtime::Runtime;
use serde_json::{Value, json};

fn control(runtime: &Runtime, cgroup: &str, file: &str) -> String {
    let path = PathBuf::from("/sys/fs/cgroup").join(runtime.host().name()).join(cgroup).join(file);
    let text = std::fs::read_to_string(&path);
    text.unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim().to_owned()
}

fn started(name: &str, resources: &Value) -> (Runtime, String) {
    let runtime = Runtime::new();
    let id = runtime.id(name);
    let mut bundle = runtime.bundle(name, "sleep 1000");
    bundle.spec["linux"]["resources"] = resources.clone();
    bundle.save();
    runtime.create(&id, &bundle);
    runtime.call(&["start", &id]).ok();
    (runtime, id)
}

#[test]
fn every_controller_holds_what_the_spec_says() {
    if !needs::cgroup2() {
        return;
    }
    let (runtime, id) = started(
        "all",
        &json!({
            "memory": {"limit": 64 << 20, "swap": 80 << 20, "reservation": 32 << 20},
            "cpu": {"shares": 1024, "quota": 20_000, "period": 50_000, "burst": 1000, "cpus": "0", "mems": "0"},
            "pids": {"limit": 17},
            "blockIO": {"weight": 500},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}],
            "unified": {"memory.high": "60000000", "pids.max": "18"},
        }),
    );
    for (file, value) in [
        ("memory.max", "67108864"),
        ("memory.swap.max", "16777216"),
        ("memory.low", "33554432"),
        ("memory.high", "59998208"),
        ("cpu.weight", "100"),
        ("cpu.max", "20000 50000"),
        ("cpu.max.burst", "1000"),
        ("cpuset.cpus", "0"),
        ("cpuset.mems", "0"),
        ("pids.max", "18"),
        ("hugetlb.2MB.max", "4194304"),
    ] {
        assert_eq!(control(&runtime, "all", file), value, "{file}");
    }
    let changes = ["--cpu-share", "2", "--cpu-period", "10000", "--memory", "32m", "--memory-swap", "-1"];
    let pids = ["--pids-limit", "-1", "--memory-reservation", "16m", "--cpuset-cpus", "0", &id];
    runtime.call(&[&["update"], changes.as_slice(), &pids].concat()).ok();
    for (file, value) in [
        ("memory.max", "33554432"),
        ("memory.swap.max", "max"),
        ("memory.low", "16777216"),
        ("cpu.weight", "1"),
        ("cpu.max", "20000 10000"),
        ("pids.max", "max"),
    ] {
        assert_eq!(control(&runtime, "all", file), value, "{file}");
    }
}

#[test]
fn an_idle_container_has_no_weight() {
    if !needs::cgroup2() {
        return;
    }
    let (runtime, id) = started("idle", &json!({"cpu": {"idle": 1}}));
    assert_eq!(control(&runtime, "idle", "cpu.idle"), "1");
    runtime.call(&["update", "--cpu-idle", "0", &id]).ok();
    assert_eq!(control(&runtime, "idle", "cpu.idle"), "0");
}

#[test]
fn unified_names_what_is_there() {
    if !needs::cgroup2() {
        return;
    }
    for (key, text) in [
        ("memory/max", "must be a file name"),
        ("memory", "must be in the form CONTROLLER.PARAMETER"),
        ("nosuch.max", r#"controller \"nosuch\" not available"#),
        ("memory.nosuch", "memory.nosuch"),
    ] {
        let runtime = Runtime::new();
        let mut bundle = runtime.bundle("wrong", "true");
        bundle.spec["linux"]["resources"] = json!({"unified": {key: "1"}});
        bundle.save();
        let refused = runtime.run(&runtime.id("wrong"), &bundle);
        assert!(refused.code != 0 && refused.stderr.contains(text), "{key}: {}", refused.stderr);
        assert!(runtime.host().cgroup_folders("wrong").is_empty());
    }
}

/// Processes in a cgroup of their own below the container's, which then takes none itself: exec follows them.
#[test]
fn exec_enters_where_the_first_process_has_gone() {
    if !needs::cgroup2() {
        return;
    }
    let runtime = Runtime::new();
    let id = runtime.id("moved");
    let script = "mkdir /sys/fs/cgroup/inner && echo 1 > /sys/fs/cgroup/inner/cgroup.procs && \
        echo +pids > /sys/fs/cgroup/cgroup.subtree_control && echo moved; exec sleep 1000";
    let mut bundle = runtime.bundle("moved", script);
    let mount =
        json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["rw"]});
    bundle.spec["mounts"].as_array_mut().expect("mounts").push(mount);
    bundle.spec["linux"]["namespaces"].as_array_mut().expect("namespaces").push(json!({"type": "cgroup"}));
    bundle.save();
    runtime.create(&id, &bundle);
    runtime.call(&["start", &id]).ok();
    eventually("it has moved", || runtime.output(&id) == "moved\n");
    assert_eq!(runtime.call(&["exec", &id, "cat", "/proc/self/cgroup"]).ok(), "0::/inner");
    let refused = runtime.call(&["exec", "--cgroup", "/", &id, "true"]);
    assert_ne!(refused.code, 0, "the container's own takes nobody");
    assert_eq!(
        runtime.call(&["exec", "--cgroup", "/inner", &id, "cat", "/proc/self/cgroup"]).ok(),
        "0::/inner"
    );

    runtime.call(&["pause", &id]).ok();
    assert_eq!(control(&runtime, "moved", "cgroup.freeze"), "1");
    assert!(control(&runtime, "moved", "cgroup.events").contains("frozen 1"));
    runtime.call(&["resume", &id]).ok();
    runtime.call(&["delete", "--force", &id]).ok();
    eventually("nothing is left", || runtime.host().cgroup_folders("moved").is_empty());
}

/// Below a cgroup with threads there are only threaded ones, and those have no memory to limit.
#[test]
fn a_threaded_parent_takes_threads_only() {
    if !needs::cgroup2() {
        return;
    }
    let runtime = Runtime::new();
    let parent = PathBuf::from("/sys/fs/cgroup").join(runtime.host().name());
    std::fs::create_dir_all(parent.join("domain/threads")).expect("cgroups");
    std::fs::write(parent.join("domain/threads/cgroup.type"), "threaded").expect("threaded");
    let mut bundle = runtime.bundle("threads", "true");
    bundle.spec["linux"]["cgroupsPath"] = json!(format!("/{}/domain/threads/inner", runtime.host().name()));
    bundle.spec["linux"]["resources"] = json!({"memory": {"limit": 64 << 20}});
    bundle.save();
    let refused = runtime.run(&runtime.id("threads"), &bundle);
    assert!(refused.stderr.contains("cannot enter it with domain controllers"), "{}", refused.stderr);
    drop(std::fs::remove_dir(parent.join("domain/threads/inner")));
    std::fs::remove_dir(parent.join("domain/threads")).expect("empty");
    std::fs::remove_dir(parent.join("domain")).expect("empty");
}

/// A container that sees its own cgroup writable owns it, but not its limits.
#[test]
fn a_writable_cgroup_belongs_to_the_container() {
    if !needs::cgroup2() {
        return;
    }
    let runtime = Runtime::new();
    let script =
        "cd /sys/fs/cgroup; mkdir sub && rmdir sub && echo made; stat -c %u . cgroup.procs cgroup.max.depth";
    for (name, option, expected) in [("rw", "rw", "made\n0\n0\n65534"), ("ro", "ro", "65534\n65534\n65534")] {
        let mut bundle = runtime.bundle(name, script);
        let linux = &mut bundle.spec["linux"];
        let mapping = json!([{"containerID": 0, "hostID": 100_000, "size": 65_534}]);
        linux["uidMappings"] = mapping.clone();
        linux["gidMappings"] = mapping;
        let namespaces = linux["namespaces"].as_array_mut().expect("namespaces");
        namespaces.extend([json!({"type": "user"}), json!({"type": "cgroup"})]);
        let mount = json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": [option]});
        bundle.spec["mounts"].as_array_mut().expect("mounts").push(mount);
        bundle.save();
        let done = runtime.run(&runtime.id(name), &bundle);
        assert_eq!(done.stdout.trim(), expected, "{name}: {}", done.stderr);
    }
}
