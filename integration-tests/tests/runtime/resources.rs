//! Limits, seen from inside and outside, and their change while the container runs.

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
fn deleting_leaves_no_cgroup() {
    let runtime = Runtime::new();
    let id = runtime.id("cgroup");
    let bundle = runtime.bundle("cgroup", "sleep 1000");
    runtime.create(&id, &bundle);
    let cgroup = std::path::Path::new("/sys/fs/cgroup/pids").join(runtime.host().name()).join("cgroup");
    assert!(cgroup.exists());
    runtime.call(&["delete", "--force", &id]).ok();
    eventually("the cgroup is gone", || !cgroup.exists());
}
