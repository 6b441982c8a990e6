//! How the kernel treats the process: scheduler, I/O priority, CPUs, memory policy, execution domain, keyring, labels.

use dhow_integration_tests::bundle::Bundle;
use dhow_integration_tests::runtime::Runtime;
use serde_json::{Value, json};

/// Runs `script` in a container whose spec has these values, by JSON pointer.
fn output(runtime: &Runtime, name: &str, values: &[(&str, Value)], script: &str) -> String {
    let mut bundle = runtime.bundle(name, script);
    set(&mut bundle, values);
    runtime.run(&runtime.id(name), &bundle).ok()
}

fn set(bundle: &mut Bundle, values: &[(&str, Value)]) {
    for (pointer, value) in values {
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        bundle.spec.pointer_mut(parent).expect("the parent is there")[key] = value.clone();
    }
    bundle.save();
}

#[test]
fn the_scheduling_policy_and_nice_value_are_set() {
    let runtime = Runtime::new();
    let values = [("/process/scheduler", json!({"policy": "SCHED_BATCH", "nice": 7}))];
    // Fields of proc(5): nice value and policy.
    let script = "awk '{print $19, $41}' /proc/self/stat";
    assert_eq!(output(&runtime, "batch", &values, script), "7 3");
    let values = [("/process/scheduler", json!({"policy": "SCHED_IDLE"}))];
    assert_eq!(output(&runtime, "idle", &values, script), "0 5");
}

#[test]
fn policies_that_cannot_be_are_refused() {
    let runtime = Runtime::new();
    for (scheduler, reason) in [
        (json!({"policy": "SCHED_OTHER", "nice": 30}), "invalid scheduler.nice: 30"),
        (json!({"policy": "SCHED_OTHER", "priority": 3}), "scheduler.priority can only be specified"),
        (json!({"policy": "SCHED_OTHER", "runtime": 3}), "runtime/deadline/period can only be"),
        (json!({"policy": "SCHED_NEVER"}), "SCHED_NEVER"),
        (json!({"policy": "SCHED_IDLE", "flags": ["SCHED_FLAG_NEW"]}), "SCHED_FLAG_NEW"),
    ] {
        let mut bundle = runtime.bundle(&format!("bad{}", reason.len()), "true");
        set(&mut bundle, &[("/process/scheduler", scheduler)]);
        let done = runtime.run(&runtime.id("bad"), &bundle).exits(1);
        assert!(done.stderr.contains(reason), "{}", done.stderr);
    }
}

#[test]
fn the_io_priority_is_set() {
    let runtime = Runtime::new();
    for (name, class, priority, shown) in
        [("be", "IOPRIO_CLASS_BE", 6, "best-effort: prio 6"), ("idle", "IOPRIO_CLASS_IDLE", 0, "idle")]
    {
        let values = [("/process/ioPriority", json!({"class": class, "priority": priority}))];
        assert!(output(&runtime, name, &values, "ionice -p $$").starts_with(shown), "{shown}");
    }
    let mut bundle = runtime.bundle("bad", "true");
    set(&mut bundle, &[("/process/ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 9}))]);
    let done = runtime.run(&runtime.id("bad"), &bundle).exits(1);
    assert!(done.stderr.contains("invalid ioPriority.Priority: 9"), "{}", done.stderr);
}

#[test]
fn the_execution_domain_is_set() {
    let runtime = Runtime::new();
    let values = [("/linux/personality", json!({"domain": "LINUX32"}))];
    assert_eq!(output(&runtime, "linux32", &values, "uname -m"), "i686");
}

#[test]
fn memory_comes_from_the_nodes_of_the_policy() {
    let runtime = Runtime::new();
    let policy = json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]});
    let shown = output(&runtime, "numa", &[("/linux/memoryPolicy", policy)], "head -1 /proc/self/numa_maps");
    assert!(shown.contains(" bind=static:0 "), "{shown}");
    for (policy, reason) in [
        (json!({"mode": "MPOL_BIND", "nodes": ""}), "at least one node"),
        (json!({"mode": "MPOL_SOME", "nodes": "0"}), "MPOL_SOME"),
        (json!({"mode": "MPOL_LOCAL", "nodes": "0"}), "requires 0 nodes"),
    ] {
        let mut bundle = runtime.bundle(&format!("bad{}", reason.len()), "true");
        set(&mut bundle, &[("/linux/memoryPolicy", policy)]);
        let done = runtime.run(&runtime.id("bad"), &bundle).exits(1);
        assert!(done.stderr.contains(reason), "{}", done.stderr);
    }
}

#[test]
fn an_exec_runs_on_the_cpus_that_it_is_given() {
    let runtime = Runtime::new();
    let id = runtime.id("cpus");
    let bundle = runtime.bundle("cpus", "sleep 1000");
    runtime.create(&id, &bundle);
    runtime.call(&["start", &id]).ok();
    let run = |affinity: Value| {
        let mut process = bundle.spec["process"].clone();
        process["args"] = json!(["sh", "-c", "grep Cpus_allowed_list /proc/self/status"]);
        process["execCPUAffinity"] = affinity;
        let path = runtime.host().path("process.json");
        std::fs::write(&path, process.to_string()).expect("write");
        runtime.call(&["exec", "--process", path.to_str().expect("UTF-8"), &id])
    };
    assert!(run(json!({"initial": "0", "final": "0"})).ok().ends_with("\t0"));
    assert!(run(json!({"initial": "0"})).ok().ends_with("\t0"));
    let done = run(json!({"final": "none"})).exits(255);
    assert!(done.stderr.contains("CPUAffinity.Final"), "{}", done.stderr);
    runtime.call(&["delete", "--force", &id]).ok();
}

#[test]
fn a_container_has_a_session_keyring_of_its_own() {
    let runtime = Runtime::new();
    let id = runtime.id("keys");
    let mut bundle = runtime.bundle("keys", "cat /proc/keys; sleep 1000");
    set(&mut bundle, &[("/linux/maskedPaths", json!([]))]);
    runtime.create(&id, &bundle);
    runtime.call(&["start", &id]).ok();
    let name = format!("_ses.{id}");
    dhow_integration_tests::process::eventually("it shows its keys", || runtime.output(&id).contains(&name));
    assert!(runtime.call(&["exec", &id, "cat", "/proc/keys"]).ok().contains(&name), "an exec joins it");
    runtime.call(&["delete", "--force", &id]).ok();
    // The kernel shows keyrings of everybody with the same user, so each container has a name of its own here.
    let id = runtime.id("none");
    let mut bundle = runtime.bundle("none", "cat /proc/keys");
    set(&mut bundle, &[("/linux/maskedPaths", json!([]))]);
    let folder = bundle.folder().to_str().expect("UTF-8");
    let done = runtime.call(&["run", "--no-new-keyring", "--bundle", folder, &id]);
    assert!(!done.ok().contains(&format!("_ses.{id}")), "the caller's own");
}

#[test]
fn a_selinux_label_without_selinux_is_refused() {
    if std::path::Path::new("/sys/fs/selinux/enforce").exists() {
        return;
    }
    let runtime = Runtime::new();
    let id = runtime.id("label");
    let mut bundle = runtime.bundle("label", "sleep 1000");
    set(&mut bundle, &[("/process/selinuxLabel", json!("system_u:system_r:container_t:s0"))]);
    let done = runtime.run(&id, &bundle).exits(1);
    let reason = "selinux label is specified in config, but selinux is disabled or not supported";
    assert!(done.stderr.contains(reason), "{}", done.stderr);
    set(&mut bundle, &[("/process/selinuxLabel", json!(""))]);
    runtime.create(&id, &bundle);
    runtime.call(&["start", &id]).ok();
    let done = runtime.call(&["exec", "--process-label", "a:b:c:s0", &id, "true"]).exits(255);
    assert!(done.stderr.contains(reason), "{}", done.stderr);
    runtime.call(&["delete", "--force", &id]).ok();
}
