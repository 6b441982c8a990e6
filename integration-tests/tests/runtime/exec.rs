//! exec: a second process in a running container.

use dhow_integration_tests::runtime::Runtime;

fn running(runtime: &Runtime, name: &str) -> String {
    let id = runtime.id(name);
    runtime.create(&id, &runtime.bundle(name, "sleep 1000"));
    runtime.call(&["start", &id]).ok();
    id
}

#[test]
fn a_second_process_shares_the_container() {
    let runtime = Runtime::new();
    let id = running(&runtime, "exec");
    let output = runtime.call(&["exec", &id, "sh", "-c", "hostname; cat /proc/1/cmdline; exit 3"]).exits(3);
    assert!(output.stdout.starts_with("bundle\nsleep"), "{}", output.stdout);
}

#[test]
fn what_cannot_be_run_is_said_in_runcs_words() {
    let runtime = Runtime::new();
    let id = running(&runtime, "words");
    for (program, words) in [
        ("nosuch", r#"exec: \"nosuch\": executable file not found in $PATH"#),
        ("/nosuch", r#"exec: \"/nosuch\": stat /nosuch: no such file or directory"#),
        ("/etc", r#"exec: \"/etc\": is a directory"#),
    ] {
        let done = runtime.call(&["exec", &id, program]);
        assert_eq!(done.code, 255);
        let expected = format!("msg=\"exec failed: unable to start container process: {words}\"");
        assert!(done.stderr.contains(&expected), "{}", done.stderr);
    }
}

#[test]
fn flags_change_the_process() {
    let runtime = Runtime::new();
    let id = running(&runtime, "flags");
    let script = "id -u; id -g; id -G; pwd; echo $ANSWER; grep CapEff /proc/self/status";
    let output = runtime
        .call(&[
            "exec",
            "--user",
            "1000:1000",
            "--additional-gids",
            "4",
            "--cwd",
            "/tmp",
            "--env",
            "ANSWER=42",
            &id,
            "sh",
            "-c",
            script,
        ])
        .ok();
    assert_eq!(output.lines().take(5).collect::<Vec<_>>(), ["1000", "1000", "1000 4", "/tmp", "42"]);
    assert!(output.ends_with("CapEff:\t0000000000000000"), "a plain user has no capabilities: {output}");
}

#[test]
fn a_missing_program_is_an_error_of_its_own() {
    let runtime = Runtime::new();
    let id = running(&runtime, "none");
    let done = runtime.call(&["exec", &id, "/no/such/program"]);
    assert_ne!(done.code, 0);
    assert!(done.stderr.contains("no such file or directory"), "{}", done.stderr);
    assert_eq!(runtime.status(&id), "running");
}

#[test]
fn a_stopped_container_takes_no_process() {
    let runtime = Runtime::new();
    let id = running(&runtime, "stopped");
    runtime.call(&["kill", &id, "KILL"]).ok();
    runtime.wait_for(&id, "stopped");
    let done = runtime.call(&["exec", &id, "true"]);
    assert_ne!(done.code, 0);
    assert!(done.stderr.contains("cannot exec in a stopped container"), "{}", done.stderr);
}

#[test]
fn ps_lists_the_processes_of_the_host() {
    let runtime = Runtime::new();
    let id = running(&runtime, "ps");
    let pid = runtime.state(&id)["pid"].to_string();
    let pids: Vec<i64> =
        serde_json::from_str(&runtime.call(&["ps", "--format", "json", &id]).ok()).expect("a list of pids");
    assert_eq!(pids.iter().map(ToString::to_string).collect::<Vec<_>>(), [pid]);
}

#[test]
fn an_exec_follows_a_container_that_moved_within_its_cgroup() {
    let runtime = Runtime::new();
    let id = running(&runtime, "moved");
    let pid = runtime.state(&id)["pid"].to_string();
    let own = || {
        let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("cgroups");
        text.lines().find_map(|line| line.strip_prefix("0::").map(str::to_owned)).expect("cgroup2")
    };
    let table = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let unified = table.lines().find(|line| line.contains(" - cgroup2 ")).expect("cgroup2 is mounted");
    let top = std::path::Path::new(unified.split(' ').nth(4).expect("a mount point"));
    let first = top.join(own().trim_start_matches('/'));
    // As a container with systemd in it does: into a cgroup below, so that the first may divide its resources.
    let inner = first.join("inner");
    std::fs::create_dir(&inner).expect("mkdir");
    std::fs::write(inner.join("cgroup.procs"), &pid).expect("move");
    let controllers = std::fs::read_to_string(first.join("cgroup.controllers")).expect("controllers");
    let Some(one) = controllers.split_whitespace().find(|name| ["hugetlb", "memory"].contains(name)) else {
        return;
    };
    std::fs::write(first.join("cgroup.subtree_control"), format!("+{one}")).expect("enable");
    let shown = runtime.call(&["exec", &id, "cat", "/proc/self/cgroup"]).ok();
    assert!(shown.contains(&own()) && own().ends_with("/inner"), "{shown}");
    runtime.call(&["kill", &id, "KILL"]).ok();
    runtime.wait_for(&id, "stopped");
    runtime.call(&["delete", &id]).ok();
}
