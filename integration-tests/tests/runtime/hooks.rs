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

/// A hook whose script runs `script`.
fn hook(script: &str) -> Value {
    json!({"path": "/bin/sh", "args": ["sh", "-c", script]})
}

#[test]
fn every_hook_runs_where_its_place_is_and_before_the_next() {
    let runtime = Runtime::new();
    let id = runtime.id("places");
    let mut bundle = runtime.bundle("places", "echo process >> /log; exec sleep 1000");
    let log = bundle.rootfs("log");
    let outside =
        |name: &str| hook(&format!("echo {name} $(readlink /proc/self/ns/mnt) >> {}", log.display()));
    // Resolved outside, run inside: the file system is still the host's, the namespaces are the container's.
    let entered = hook(&format!("echo createContainer $(hostname) >> {}", log.display()));
    let inside = hook("test -x /bin/busybox && echo startContainer $(hostname) >> /log");
    bundle.spec["hooks"] = json!({
        "poststop": [outside("poststop"), outside("poststop2")],
        "poststart": [outside("poststart"), outside("poststart2")],
        "startContainer": [inside, hook("echo startContainer2 >> /log")],
        "createContainer": [entered, hook(&format!("echo createContainer2 >> {}", log.display()))],
        "createRuntime": [outside("createRuntime"), outside("createRuntime2")],
        "prestart": [outside("prestart"), outside("prestart2")],
    });
    bundle.save();
    let text = || std::fs::read_to_string(&log).unwrap_or_default();
    let names = || {
        let text = text();
        text.lines().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    runtime.create(&id, &bundle);
    let created =
        ["prestart", "prestart2", "createRuntime", "createRuntime2", "createContainer", "createContainer2"];
    assert_eq!(names(), created);
    runtime.call(&["start", &id]).ok();
    let order = names();
    assert_eq!(order[6..8], ["startContainer", "startContainer2"]);
    assert!(order.contains(&"poststart2".to_owned()), "before start returned: {order:?}");
    runtime.call(&["delete", "--force", &id]).ok();
    let order = names();
    assert_eq!(order[order.len() - 2..], ["poststop", "poststop2"]);
    let own = std::fs::read_link("/proc/self/ns/mnt").expect("our namespace");
    let own = own.to_string_lossy();
    for line in text().lines().filter(|line| line.contains("mnt:")) {
        assert!(line.ends_with(&*own), "in the runtime's namespace: {line}");
    }
    for name in ["createContainer", "startContainer"] {
        assert!(text().contains(&format!("{name} bundle\n")), "in the container's namespace: {}", text());
    }
}

#[test]
fn a_failing_hook_ends_what_it_belongs_to() {
    let runtime = Runtime::new();
    for moment in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart"] {
        let id = runtime.id(moment);
        let mut bundle = runtime.bundle(moment, "sleep 1000");
        let after = runtime.host().path(format!("{moment}.after"));
        let touch = hook(&format!("touch {}", after.display()));
        let mut hooks = json!({"poststop": [touch]});
        hooks[moment] = json!([hook("exit 1")]);
        bundle.spec["hooks"] = hooks;
        bundle.save();
        let at_start = matches!(moment, "startContainer" | "poststart");
        if at_start {
            runtime.create(&id, &bundle);
            let done = runtime.call(&["start", &id]);
            assert_ne!(done.code, 0, "{moment}");
            assert!(done.stderr.contains(&format!("error running {moment} hook #0")), "{}", done.stderr);
            runtime.wait_for(&id, "stopped");
            runtime.call(&["delete", &id]).ok();
        } else {
            let done = runtime.run(&id, &bundle);
            assert_ne!(done.code, 0, "{moment}");
            assert!(done.stderr.contains(&format!("error running {moment} hook #0")), "{}", done.stderr);
        }
        assert_ne!(runtime.call(&["state", &id]).code, 0, "{moment}: it is gone");
        assert!(after.exists(), "{moment}: poststop ran");
    }
}

#[test]
fn a_failing_poststop_hook_is_a_warning() {
    let runtime = Runtime::new();
    let id = runtime.id("warned");
    let mut bundle = runtime.bundle("warned", "true");
    let second = runtime.host().path("second");
    bundle.spec["hooks"] =
        json!({"poststop": [hook("exit 1"), hook(&format!("touch {}", second.display()))]});
    bundle.save();
    runtime.create(&id, &bundle);
    let done = runtime.call(&["delete", "--force", &id]).exits(0);
    assert!(done.stderr.contains("level=warning") && done.stderr.contains("poststop"), "{}", done.stderr);
    assert!(second.exists(), "the next one ran");
    assert_ne!(runtime.call(&["state", &id]).code, 0);
}

#[test]
fn a_hook_is_named_absolutely_and_ends_in_time() {
    let runtime = Runtime::new();
    let mut bundle = runtime.bundle("bad", "true");
    let sleeping = json!({"path": "/bin/sleep", "args": ["sleep", "1000"], "timeout": 1});
    for (bad, words) in [
        (json!({"path": "bin/sh"}), "absolute"),
        (json!({"path": "/bin/true", "timeout": 0}), "timeout"),
        (json!({"path": "/bin/true", "timeout": -1}), "timeout"),
        (sleeping, "ran past"),
    ] {
        bundle.spec["hooks"] = json!({"createRuntime": [bad]});
        bundle.save();
        let done = runtime.run(&runtime.id("bad"), &bundle);
        assert_ne!(done.code, 0, "{bad}");
        assert!(done.stderr.contains(words), "{bad}: {}", done.stderr);
    }
}
