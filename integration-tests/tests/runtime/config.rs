//! The configuration: what may be missing, what is ignored, what is refused, and when it is read.

use dhow_integration_tests::bundle::Bundle;
use dhow_integration_tests::process::{Done, eventually};
use dhow_integration_tests::runtime::Runtime;
use serde_json::{Value, json};

/// Runs a bundle after a change of its spec.
fn run_with(runtime: &Runtime, script: &str, change: impl Fn(&mut Value)) -> Done {
    let mut bundle = runtime.bundle_again("changed", script);
    change(&mut bundle.spec);
    bundle.save();
    runtime.run(&runtime.id("changed"), &bundle)
}

fn is_refused(runtime: &Runtime, what: &str, change: impl Fn(&mut Value)) {
    let done = run_with(runtime, "echo ran", change);
    assert_ne!(done.code, 0, "{what}");
    assert_eq!(done.stdout, "", "{what}");
    assert!(!done.stderr.is_empty(), "{what}");
    assert_eq!(runtime.call(&["list", "-q"]).ok(), "", "{what}");
    let leaks: Vec<String> =
        runtime.host().leaks().into_iter().filter(|leak| leak.starts_with("mount")).collect();
    assert!(leaks.is_empty(), "{what}: {leaks:?}");
}

#[test]
fn values_that_mean_nothing_are_refused_and_nothing_is_made() {
    let runtime = Runtime::new();
    is_refused(&runtime, "no version", |spec| spec["ociVersion"] = json!(""));
    is_refused(&runtime, "no semantic version", |spec| spec["ociVersion"] = json!("one"));
    is_refused(&runtime, "a relative cwd", |spec| spec["process"]["cwd"] = json!("tmp"));
    is_refused(&runtime, "no program", |spec| spec["process"]["args"] = json!([]));
    is_refused(&runtime, "no root", |spec| spec["root"]["path"] = json!("nowhere"));
    is_refused(&runtime, "a limit without a name", |spec| {
        spec["process"]["rlimits"] = json!([{"type": "RLIMIT_COLOUR", "soft": 1, "hard": 1}]);
    });
    is_refused(&runtime, "a limit twice", |spec| {
        let limit = json!({"type": "RLIMIT_CORE", "soft": 0, "hard": 0});
        spec["process"]["rlimits"] = json!([limit, limit]);
    });
    is_refused(&runtime, "an unknown scheduler", |spec| {
        spec["process"]["scheduler"] = json!({"policy": "SCHED_COLOUR"});
    });
    is_refused(&runtime, "an unknown propagation", |spec| spec["linux"]["rootfsPropagation"] = json!("up"));
    is_refused(&runtime, "a sysctl of the host", |spec| {
        spec["linux"]["sysctl"] = json!({"kernel.panic": "1"});
    });
    is_refused(&runtime, "an annotation without a key", |spec| spec["annotations"] = json!({"": "x"}));
    is_refused(&runtime, "an annotation that is no text", |spec| spec["annotations"] = json!({"a": 1}));
    is_refused(&runtime, "an unknown seccomp action", |spec| {
        spec["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_DANCE"});
    });
    is_refused(&runtime, "a seccomp rule for nothing", |spec| {
        spec["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [], "action": "SCMP_ACT_ERRNO"}]});
    });
    is_refused(&runtime, "an errno of an action that has none", |spec| {
        spec["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["mkdir"], "action": "SCMP_ACT_KILL", "errnoRet": 1}]});
    });
    is_refused(&runtime, "CPUs that are none", |spec| {
        spec["process"]["execCPUAffinity"] = json!({"initial": "0", "final": "1-0"});
    });
    is_refused(&runtime, "a relative masked path", |spec| spec["linux"]["maskedPaths"] = json!(["etc"]));
    is_refused(&runtime, "a relative read-only path", |spec| spec["linux"]["readonlyPaths"] = json!(["etc"]));
}

#[test]
fn what_is_not_known_is_ignored() {
    let runtime = Runtime::new();
    let done = run_with(&runtime, "echo ran", |spec| {
        spec["colour"] = json!("red");
        spec["process"]["colour"] = json!({"deep": [1, 2]});
        spec["linux"]["colour"] = json!(null);
        spec["annotations"] = json!({"org.example.unknown": "x", "com.example/key": ""});
        // Without a terminal a size of it says nothing.
        spec["process"]["consoleSize"] = json!({"height": 10, "width": 20});
    });
    assert_eq!(done.ok(), "ran");
}

#[test]
fn capabilities_that_cannot_be_had_are_a_warning() {
    let runtime = Runtime::new();
    let done = run_with(&runtime, "echo ran", |spec| {
        for set in ["bounding", "effective", "permitted"] {
            spec["process"]["capabilities"][set] = json!(["CAP_CHOWN", "CAP_COLOUR"]);
        }
    });
    assert!(done.stderr.contains("level=warning") && done.stderr.contains("CAP_COLOUR"), "{}", done.stderr);
    assert_eq!(done.ok(), "ran");
}

#[test]
fn the_oom_score_is_left_alone_unless_it_is_set() {
    let runtime = Runtime::new();
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").expect("our score");
    let done = run_with(&runtime, "cat /proc/self/oom_score_adj", |_| {});
    assert_eq!(done.ok(), own.trim());
}

#[test]
fn a_configuration_is_read_once() {
    let runtime = Runtime::new();
    let id = runtime.id("once");
    let mut bundle: Bundle = runtime.bundle("once", "echo first");
    runtime.create(&id, &bundle);
    bundle.spec["process"]["args"] = json!(["echo", "second"]);
    bundle.save();
    runtime.call(&["start", &id]).ok();
    eventually("it printed", || runtime.output(&id) == "first\n");
}

#[test]
fn without_a_process_a_container_is_created_but_not_started() {
    let runtime = Runtime::new();
    let id = runtime.id("idle");
    let mut bundle = runtime.bundle("idle", "");
    bundle.spec.as_object_mut().expect("a spec").remove("process");
    bundle.save();
    let folder = bundle.folder().to_str().expect("UTF-8");
    let created = runtime.call(&["create", "--bundle", folder, &id]);
    let started = runtime.call(&["start", &id]);
    assert_ne!(started.code, 0, "there is nothing to start");
    assert!(!created.stderr.is_empty() || !started.stderr.is_empty());
    runtime.call(&["delete", "--force", &id]).ok();
}

#[test]
fn operations_want_an_id_and_a_state_that_allows_them() {
    let runtime = Runtime::new();
    for verb in ["create", "start", "state", "kill", "delete"] {
        assert_ne!(runtime.call(&[verb]).code, 0, "{verb} without an ID");
    }
    let id = runtime.id("states");
    runtime.create(&id, &runtime.bundle("states", "exec sleep 1000"));
    runtime.call(&["start", &id]).ok();
    assert_ne!(runtime.call(&["start", &id]).code, 0, "start twice");
    assert_eq!(runtime.status(&id), "running");
    runtime.call(&["kill", &id, "KILL"]).ok();
    runtime.wait_for(&id, "stopped");
    for arguments in [&["start", &id][..], &["kill", &id, "TERM"], &["exec", &id, "true"]] {
        assert_ne!(runtime.call(arguments).code, 0, "{arguments:?} of a stopped one");
        assert_eq!(runtime.status(&id), "stopped");
    }
    let state = runtime.state(&id);
    assert!(state["ociVersion"].is_string() && state["bundle"].is_string() && state["pid"] == 0, "{state}");
}

#[test]
fn signals_arrive() {
    let runtime = Runtime::new();
    let id = runtime.id("signal");
    let script = "trap 'echo got USR1' USR1; echo ready; while :; do sleep 0.02; done";
    runtime.create(&id, &runtime.bundle("signal", script));
    runtime.call(&["start", &id]).ok();
    eventually("it listens", || runtime.output(&id).contains("ready"));
    runtime.call(&["kill", &id, "USR1"]).ok();
    eventually("it heard", || runtime.output(&id).contains("got USR1"));
}

#[test]
fn what_the_container_only_uses_outlives_it() {
    let runtime = Runtime::new();
    let shared = runtime.host().folder("shared");
    let id = runtime.id("uses");
    let mut bundle = runtime.bundle("uses", "touch /m/made");
    bundle.spec["mounts"]
        .as_array_mut()
        .expect("mounts")
        .push(json!({"destination": "/m", "type": "bind", "source": shared, "options": ["rbind"]}));
    bundle.save();
    runtime.run(&id, &bundle).ok();
    assert!(shared.join("made").exists() && bundle.rootfs("bin/busybox").exists());
    assert!(bundle.folder().join("config.json").exists());
}
