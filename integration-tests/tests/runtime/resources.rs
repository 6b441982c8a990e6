//! Limits, seen from inside and outside, and their change while the container runs.

use dhow_integration_tests::needs;
use dhow_integration_tests::process::eventually;
use dhow_integration_tests::runtime::Runtime;
use serde_json::json;

const MEGABYTE: u64 = 1 << 20;

#[test]
fn memory_and_pids_limits_hold() {
    let runtime = Runtime::new();
    let mut bundle = runtime.bundle("limits", "for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; wait");
    bundle.spec["linux"]["resources"]["pids"] = json!({"limit": 4});
    bundle.save();
    let done = runtime.run(&runtime.id("limits"), &bundle);
    assert!(done.stderr.contains("can't fork"), "{}", done.stderr);

    let mut bundle = runtime.bundle("memory", "tail /dev/zero; echo $?");
    bundle.spec["linux"]["resources"]["memory"] = json!({"limit": 16 * MEGABYTE, "swap": 16 * MEGABYTE});
    bundle.save();
    assert_eq!(
        runtime.run(&runtime.id("memory"), &bundle).ok(),
        "137",
        "the kernel killed what ate the memory"
    );
}

#[test]
fn update_changes_a_running_container() {
    let runtime = Runtime::new();
    let id = runtime.id("update");
    let mut bundle = runtime.bundle("update", "sleep 1000");
    bundle.spec["linux"]["resources"]["memory"] = json!({"limit": 16 * MEGABYTE});
    bundle.save();
    runtime.create(&id, &bundle);
    runtime.call(&["start", &id]).ok();
    runtime.call(&["update", "--memory", "33554432", "--pids-limit", "20", &id]).ok();
    let stats: serde_json::Value =
        serde_json::from_str(&runtime.call(&["events", "--stats", &id]).ok()).expect("stats are JSON");
    assert_eq!(stats["type"], "stats");
    assert_eq!(stats["data"]["memory"]["usage"]["limit"], 32 * MEGABYTE);
    assert_eq!(stats["data"]["pids"]["limit"], 20);
}

#[test]
fn a_refused_update_changes_nothing() {
    let runtime = Runtime::new();
    let id = runtime.id("refused");
    let mut bundle = runtime.bundle("refused", "sleep 1000");
    bundle.spec["linux"]["resources"]["cpu"] = json!({"quota": 50_000, "period": 100_000});
    bundle.spec["linux"]["resources"]["memory"] = json!({"limit": 16 * MEGABYTE});
    bundle.save();
    runtime.create(&id, &bundle);
    let files = || -> Vec<String> {
        let folders = runtime.host().cgroup_folders("refused");
        let names = ["cpu.cfs_quota_us", "cpu.max", "memory.limit_in_bytes", "memory.max"];
        let paths = folders.iter().flat_map(|folder| names.map(|name| folder.join(name)));
        paths.filter_map(|path| std::fs::read_to_string(path).ok()).collect()
    };
    let before = files();
    let v1 = |folder: &std::path::PathBuf| folder.join("memory.limit_in_bytes").exists();
    if runtime.host().cgroup_folders("refused").iter().any(v1) {
        // CPUs come before memory, and the kernel refuses a limit below what is in use; cgroup v2 takes it.
        let done = runtime.call(&["update", "--cpu-quota", "20000", "--memory", "4096", &id]);
        assert_ne!(done.code, 0, "{}", done.stderr);
    }
    for document in ["[]", "5", "\"text\""] {
        let file = runtime.host().path("resources.json");
        std::fs::write(&file, document).expect("write");
        assert_ne!(runtime.call(&["update", "-r", file.to_str().expect("UTF-8"), &id]).code, 0, "{document}");
    }
    assert_eq!(files(), before);
}

#[test]
fn deleting_leaves_no_cgroup() {
    let runtime = Runtime::new();
    let id = runtime.id("cgroup");
    let bundle = runtime.bundle("cgroup", "sleep 1000");
    runtime.create(&id, &bundle);
    assert!(!runtime.host().cgroup_folders("cgroup").is_empty());
    runtime.call(&["delete", "--force", &id]).ok();
    eventually("the cgroup is gone", || runtime.host().cgroup_folders("cgroup").is_empty());
}

#[test]
fn devices_are_closed_unless_a_rule_opens_them() {
    let runtime = Runtime::new();
    let script = "echo x > /dev/null && echo null; mknod /tmp/kmsg c 1 11 && head -c 1 /tmp/kmsg > /dev/null && echo kmsg";
    let mut bundle = runtime.bundle("devices", script);
    bundle.spec["linux"]["resources"]["devices"] = json!([{"allow": false, "access": "rwm"}]);
    bundle.spec["process"]["capabilities"]["effective"] = json!(["CAP_MKNOD", "CAP_SYSLOG"]);
    bundle.spec["process"]["capabilities"]["permitted"] = json!(["CAP_MKNOD", "CAP_SYSLOG"]);
    bundle.spec["process"]["capabilities"]["bounding"] = json!(["CAP_MKNOD", "CAP_SYSLOG"]);
    bundle.spec["mounts"]
        .as_array_mut()
        .expect("mounts")
        .push(json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]}));
    bundle.save();
    let closed = runtime.run(&runtime.id("devices"), &bundle);
    assert_eq!(closed.stdout.trim(), "null", "{}", closed.stderr);

    bundle.spec["linux"]["resources"]["devices"] = json!([
        {"allow": false, "access": "rwm"},
        {"allow": true, "type": "c", "major": 1, "minor": 11, "access": "r"},
    ]);
    bundle.save();
    assert_eq!(runtime.run(&runtime.id("devices"), &bundle).stdout.trim(), "null\nkmsg");
}

#[test]
fn a_container_is_in_every_hierarchy_and_alone_there() {
    let runtime = Runtime::new();
    let id = runtime.id("alone");
    let bundle = runtime.bundle("alone", "sleep 1000");
    runtime.create(&id, &bundle);
    let pid = runtime.state(&id)["pid"].as_i64().expect("a pid");
    let cgroups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("its cgroups");
    assert!(cgroups.lines().all(|line| line.ends_with("/alone")), "{cgroups}");

    // Another container may not share its fate.
    let mut other = runtime.bundle("other", "true");
    other.spec["linux"]["cgroupsPath"] = bundle.spec["linux"]["cgroupsPath"].clone();
    other.save();
    let refused = runtime.run(&runtime.id("second"), &other);
    let text = "container's cgroup is not empty: 1 process(es) found";
    assert!(refused.stderr.contains(text), "{}", refused.stderr);
    assert_eq!(runtime.status(&id), "created", "the first one lives on");
}

#[test]
fn a_frozen_cgroup_is_refused_instead_of_waited_for() {
    let runtime = Runtime::new();
    let (hierarchy, control, frozen, thawed) = if needs::is_cgroup2() {
        ("/sys/fs/cgroup", "cgroup.freeze", "1", "0")
    } else {
        ("/sys/fs/cgroup/freezer", "freezer.state", "FROZEN", "THAWED")
    };
    let freezer = std::path::Path::new(hierarchy).join(runtime.host().name()).join("ice");
    std::fs::create_dir_all(&freezer).expect("a cgroup");
    std::fs::write(freezer.join(control), frozen).expect("frozen");
    let refused = runtime.run(&runtime.id("ice"), &runtime.bundle("ice", "true"));
    assert!(refused.stderr.contains("container's cgroup unexpectedly frozen"), "{}", refused.stderr);
    std::fs::write(freezer.join(control), thawed).expect("thawed");
    std::fs::remove_dir(&freezer).expect("empty");
}

#[test]
fn events_tell_of_kills_for_want_of_memory() {
    let runtime = Runtime::new();
    let id = runtime.id("oom");
    let mut bundle =
        runtime.bundle("oom", "while ! [ -e /tmp/go ]; do sleep 0.05; done; tail /dev/zero; exec sleep 1000");
    bundle.spec["linux"]["resources"]["memory"] = json!({"limit": 16 * MEGABYTE, "swap": 16 * MEGABYTE});
    bundle.spec["mounts"]
        .as_array_mut()
        .expect("mounts")
        .push(json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]}));
    bundle.save();
    runtime.create(&id, &bundle);
    runtime.call(&["start", &id]).ok();
    let log = bundle.folder().join("events");
    let output = std::fs::File::create(&log).expect("a file");
    let mut watcher =
        runtime.command(&["events", "--interval", "50ms", &id]).stdout(output).spawn().expect("events");
    let seen = |what: &str| std::fs::read_to_string(&log).is_ok_and(|text| text.contains(what));
    eventually("usage is told", || seen("\"type\":\"stats\""));
    runtime.call(&["exec", &id, "touch", "/tmp/go"]).ok();
    eventually("the kill is told", || seen(&format!("{{\"type\":\"oom\",\"id\":\"{id}\"}}")));
    runtime.call(&["delete", "--force", &id]).ok();
    assert!(watcher.wait().expect("it ends with the container").success());
}
