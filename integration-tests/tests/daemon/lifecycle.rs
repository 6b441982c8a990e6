//! run, start, stop, kill, wait, rename, rm and the exit codes of each.

use dhow_integration_tests::process::eventually;
use dhow_integration_tests::stack::Stack;

#[test]
fn exit_codes_say_what_happened() {
    let stack = Stack::with_busybox();
    stack.dhow(&["run", "--rm", "busybox", "true"]).exits(0);
    stack.dhow(&["run", "--rm", "busybox", "sh", "-c", "exit 7"]).exits(7);
    let denied = stack.dhow(&["run", "--rm", "busybox", "/etc/passwd"]).exits(126);
    assert!(denied.stderr.contains("permission denied"), "{}", denied.stderr);
    let missing = stack.dhow(&["run", "--rm", "busybox", "/no/such"]).exits(127);
    assert!(missing.stderr.contains("no such file or directory"), "{}", missing.stderr);
    stack.dhow(&["run", "-d", "--name", "victim", "busybox", "sleep", "1000"]).ok();
    stack.dhow(&["kill", "victim"]).ok();
    assert_eq!(stack.dhow(&["wait", "victim"]).ok(), "137");
    stack.dhow(&["rm", "victim"]).ok();
    stack.dhow(&["run", "--rm", "--name", "-bad-", "busybox"]).exits(125);
    assert_eq!(stack.dhow(&["ps", "-aq"]).ok(), "", "nothing is left of any");
}

#[test]
fn stdin_is_piped_through() {
    let stack = Stack::with_busybox();
    assert_eq!(stack.dhow_with(&["run", "-i", "--rm", "busybox", "cat"], b"hi\n").ok(), "hi");
    let megabytes = vec![b'x'; 3 << 20];
    let count = stack.dhow_with(&["run", "-i", "--rm", "busybox", "wc", "-c"], &megabytes).ok();
    assert_eq!(count.trim(), megabytes.len().to_string());
    let output = stack.dhow(&["run", "--rm", "busybox", "sh", "-c", "yes | head -c 3000000"]);
    assert_eq!(output.stdout.len(), 3_000_000, "no byte of a fast writer is lost");
}

#[test]
fn a_container_is_started_stopped_and_removed() {
    let stack = Stack::with_busybox();
    stack
        .dhow(&[
            "create",
            "--name",
            "box",
            "busybox",
            "sh",
            "-c",
            "trap 'exit 9' TERM; while :; do sleep 0.1; done",
        ])
        .ok();
    assert_eq!(stack.inspect("box", "{{.State.Status}}"), "created");
    stack.dhow(&["start", "box"]).ok();
    assert_eq!(stack.inspect("box", "{{.State.Status}}"), "running");
    let refused = stack.dhow(&["rm", "box"]).exits(1);
    assert!(refused.stderr.contains("container is running"), "{}", refused.stderr);
    stack.dhow(&["rename", "box", "crate"]).ok();
    eventually("the trap is set", || stack.dhow(&["top", "crate"]).ok().contains("sleep"));
    stack.dhow(&["stop", "crate"]).ok();
    assert_eq!(stack.inspect("crate", "{{.State.Status}} {{.State.ExitCode}}"), "exited 9");
    assert_eq!(stack.dhow(&["wait", "crate"]).ok(), "9");
    stack.dhow(&["start", "crate"]).ok();
    stack.dhow(&["kill", "crate"]).ok();
    eventually("it is dead", || stack.inspect("crate", "{{.State.ExitCode}}") == "137");
    stack.dhow(&["rm", "crate"]).ok();
    stack.dhow(&["inspect", "crate"]).exits(1);
}

#[test]
fn names_are_given_once_and_prefixes_find_ids() {
    let stack = Stack::with_busybox();
    let id = stack.dhow(&["create", "--name", "one", "busybox"]).ok();
    let refused = stack.dhow(&["create", "--name", "one", "busybox"]).exits(1);
    assert!(refused.stderr.contains("is already in use by container"), "{}", refused.stderr);
    assert_eq!(stack.inspect(&id[..8], "{{.Name}}"), "/one");
}

#[test]
fn limits_are_seen_from_inside() {
    let stack = Stack::with_busybox();
    let run = ["run", "--rm", "-m", "32m", "--pids-limit", "17", "busybox", "sh", "-c"];
    let script =
        "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes pids/pids.max || cat memory.max pids.max";
    assert_eq!(stack.dhow(&[&run[..], &[script]].concat()).ok(), "33554432\n17");
    stack.dhow(&["run", "--name", "greedy", "-m", "32m", "busybox", "tail", "/dev/zero"]).exits(137);
    assert_eq!(stack.inspect("greedy", "{{.State.OOMKilled}}"), "true");
}

#[test]
fn defaults_are_dockers() {
    let stack = Stack::with_busybox();
    let script =
        "grep -E '^(CapEff|Seccomp|NoNewPrivs):' /proc/self/status; hostname; id -u; cat /etc/hostname";
    let output = stack.dhow(&["run", "--rm", "--hostname", "boat", "busybox", "sh", "-c", script]).ok();
    assert!(output.contains("CapEff:\t00000000a80425fb"), "Docker's 14 capabilities: {output}");
    assert!(output.contains("Seccomp:\t2") && output.contains("NoNewPrivs:\t0"), "{output}");
    assert!(output.ends_with("boat\n0\nboat"), "{output}");
}

#[test]
fn ps_lists_what_runs() {
    let stack = Stack::with_busybox();
    stack.dhow(&["run", "-d", "--name", "runs", "busybox", "sleep", "1000"]).ok();
    stack.dhow(&["run", "--name", "ended", "busybox", "sh", "-c", "exit 3"]).exits(3);
    let table = stack.dhow(&["ps"]).ok();
    let head = table.lines().next().expect("a head");
    for column in ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"] {
        assert!(head.contains(column), "{head}");
    }
    assert!(table.contains("runs") && !table.contains("ended"), "{table}");
    let all = stack.dhow(&["ps", "-a", "--format", "{{.Names}} {{.Status}}"]).ok();
    assert!(all.contains("ended Exited (3)"), "{all}");
    assert_eq!(
        stack.dhow(&["ps", "-a", "--filter", "status=exited", "--format", "{{.Names}}"]).ok(),
        "ended"
    );
    let json = stack.dhow(&["ps", "--format", "json"]).ok();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).expect("JSON")["Names"], "runs");
}

#[test]
fn events_tell_a_life_in_order() {
    let stack = Stack::with_busybox();
    stack.dhow(&["run", "--rm", "--network", "none", "busybox", "true"]).ok();
    let format = "{{.Type}} {{.Action}}";
    let events = stack.dhow(&["events", "--since", "10m", "--until", "0s", "--format", format]).ok();
    let lives: Vec<&str> = events.lines().filter(|line| line.starts_with("container")).collect();
    assert_eq!(
        lives,
        ["container create", "container attach", "container start", "container die", "container destroy"]
    );
}
