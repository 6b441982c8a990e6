//! Hooks: when each runs, what it reads on stdin, and what its failure means.

use dhow_integration_tests::runtime::Runtime;
use serde_json::{Value, json};

#[test]
fn hooks_run_in_order_with_the_state_on_stdin() {
    let runtime = Runtime::new();
    let id = runtime.id("hooks");
    let mut bundle = runtime.bundle("hooks", "sleep 1000");
    let log = runtime.host().path("hooks.log");
    let hook = |name: &str| {
        let script = format!("(echo {name}; cat; echo) >> {}", log.display());
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}])
    };
    bundle.spec["hooks"] = json!({
        "prestart": hook("prestart"),
        "createRuntime": hook("createRuntime"),
        "poststart": hook("poststart"),
        "poststop": hook("poststop")
    });
    bundle.save();
    runtime.create(&id, &bundle);
    runtime.call(&["start", &id]).ok();
    runtime.call(&["delete", "--force", &id]).ok();
    let text = std::fs::read_to_string(log).expect("the hooks ran");
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    let names: Vec<&str> = lines.iter().step_by(2).copied().collect();
    assert_eq!(names, ["prestart", "createRuntime", "poststart", "poststop"]);
    let states: Vec<Value> =
        lines.iter().skip(1).step_by(2).map(|line| serde_json::from_str(line).expect("state JSON")).collect();
    let statuses: Vec<&str> = states.iter().filter_map(|state| state["status"].as_str()).collect();
    // runtime-spec: poststart comes once the process was started; runc before 1.2 still says "created".
    assert_eq!(statuses, ["creating", "creating", "running", "stopped"]);
    assert!(states.iter().all(|state| state["id"] == id.as_str() && state["ociVersion"].is_string()));
}

#[test]
fn a_failing_create_hook_stops_the_container() {
    let runtime = Runtime::new();
    let mut bundle = runtime.bundle("failing", "echo never");
    bundle.spec["hooks"] =
        json!({"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "echo why >&2; exit 1"]}]});
    bundle.save();
    let done = runtime.run(&runtime.id("failing"), &bundle);
    assert_ne!(done.code, 0);
    assert_eq!(done.stdout, "");
    assert!(done.stderr.contains("hook #0"), "{}", done.stderr);
    assert_eq!(runtime.call(&["list", "-q"]).ok(), "");
}

#[test]
fn a_hook_can_be_interrupted() {
    let runtime = Runtime::new();
    let mut bundle = runtime.bundle("mask", "true");
    let output = runtime.host().path("mask");
    let script = format!("grep SigBlk /proc/self/status >> {}", output.display());
    let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}]);
    bundle.spec["hooks"] =
        json!({"createRuntime": hook, "createContainer": hook, "poststart": hook, "poststop": hook});
    bundle.save();
    // In the foreground the runtime itself blocks signals, to pass them on.
    runtime.run(&runtime.id("mask"), &bundle).ok();
    let masks = std::fs::read_to_string(output).expect("the hooks ran");
    assert_eq!(masks.lines().collect::<Vec<_>>(), ["SigBlk:\t0000000000000000"; 4]);
}
