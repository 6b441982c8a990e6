//! Podman runs its containers on our runtime, also on a host without CAP_SYS_RESOURCE.

use dhow_integration_tests::binaries;
use dhow_integration_tests::peers::Podman;
use dhow_integration_tests::process::{eventually, run};
use dhow_integration_tests::terminal::Terminal;

/// CAP_SYS_RESOURCE.
const SYS_RESOURCE: u64 = 24;

fn may_raise_limits() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("our status");
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:")).expect("capabilities");
    u64::from_str_radix(mask.trim(), 16).expect("hexadecimal") >> SYS_RESOURCE & 1 == 1
}

#[test]
fn runs_with_streams_status_and_terminal() {
    let podman = Podman::new();
    let done = podman.run(&["--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7"]).exits(7);
    assert_eq!(done.stdout, "out\n");
    assert!(done.stderr.contains("err\n"), "{}", done.stderr);
    podman.run(&["--rm", "busybox", "/no/such/program"]).exits(127);
    podman.run(&["--rm", "busybox", "/etc"]).exits(126);

    let cgroup = podman.host().cgroup();
    let command = podman.command(&[
        "run",
        "--rm",
        "-it",
        "--network=none",
        "--cgroups=no-conmon",
        "--cgroup-parent",
        &cgroup,
        "busybox",
        "sh",
    ]);
    let mut terminal = Terminal::start(&command);
    terminal.type_text("tty\r");
    terminal.expect("/dev/pts/0");
    terminal.expect_size(80, 24);
    terminal.type_text("exit 4\r");
    assert_eq!(terminal.finish().0, 4);
}

#[test]
fn drives_a_container_through_its_life() {
    let podman = Podman::new();
    podman.run(&["-d", "--name", "box", "--restart=on-failure:2", "busybox", "sleep", "1000"]).ok();
    eventually("the program runs", || podman.call(&["exec", "box", "cat", "/proc/1/comm"]).ok() == "sleep");
    podman.call(&["exec", "box", "sh", "-c", "exit 9"]).exits(9);
    podman.call(&["pause", "box"]).ok();
    assert_eq!(podman.call(&["inspect", "-f", "{{.State.Status}}", "box"]).ok(), "paused");
    podman.call(&["unpause", "box"]).ok();
    assert!(podman.call(&["top", "box"]).ok().contains("sleep 1000"));
    assert!(podman.call(&["stats", "--no-stream", "box"]).ok().contains("box"));
    podman.call(&["update", "--memory", "64m", "--cpus", "0.5", "box"]).ok();
    let id = podman.call(&["inspect", "-f", "{{.Id}}", "box"]).ok();
    let limit = format!("/sys/fs/cgroup/memory{}/libpod-{id}/memory.limit_in_bytes", podman.host().cgroup());
    if let Ok(limit) = std::fs::read_to_string(limit) {
        assert_eq!(limit.trim(), "67108864");
    }
    podman.call(&["kill", "box"]).ok();
    assert_eq!(podman.call(&["wait", "box"]).ok(), "137");
    podman.call(&["start", "box"]).ok();
    podman.call(&["stop", "-t", "0", "box"]).ok();
    let events = podman.call(&["events", "--stream=false", "--format", "{{.Status}}"]).ok();
    for event in ["create", "init", "start", "exec", "pause", "unpause", "kill", "died"] {
        assert!(events.lines().any(|line| line == event), "{event}: {events}");
    }
}

#[test]
fn tells_of_kills_for_want_of_memory() {
    let podman = Podman::new();
    let script = "tail /dev/zero; sleep 0.3; exit 5";
    podman
        .run(&["--name", "oom", "--memory=16m", "--memory-swap=16m", "busybox", "sh", "-c", script])
        .exits(5);
    eventually("conmon noted it", || podman.host().path("oom").exists());
}

#[test]
fn maps_users() {
    let podman = Podman::new();
    let map = ["--uidmap=0:100000:65536", "--gidmap=0:100000:65536"];
    let script = "cat /proc/self/uid_map; id -u; touch /made && ls -ln /made | cut -d' ' -f1,3-";
    let output = podman.run(&[&["--rm"], &map[..], &["busybox", "sh", "-c", script]].concat()).ok();
    let words: Vec<&str> = output.split_whitespace().take(4).collect();
    assert_eq!(words, ["0", "100000", "65536", "0"], "{output}");
}

/// Podman asks for the highest limits that it knows, and for a low score of its monitor: refused by the kernel here.
#[test]
fn limits_that_may_not_be_raised_are_clamped_with_one_warning() {
    if may_raise_limits() {
        eprintln!("skipped: this host has CAP_SYS_RESOURCE");
        return;
    }
    let podman = Podman::new();
    let limits =
        ["--ulimit=nofile=1048576:1048576", "--ulimit=nproc=4194304:4194304", "--oom-score-adj=-500"];
    let command = ["busybox", "sh", "-c", "ulimit -n; cat /proc/self/oom_score_adj"];
    // What the runtime says before podman attaches is in the container's log.
    podman.run(&[&["--name=low"], &limits[..], &command].concat()).exits(0);
    let done = podman.call(&["logs", "low"]).exits(0);
    let warnings: Vec<&str> = done.stderr.lines().filter(|line| line.contains("CAP_SYS_RESOURCE")).collect();
    assert_eq!(warnings.len(), 1, "{}", done.stderr);
    for limit in ["RLIMIT_NOFILE", "oom_score_adj"] {
        assert!(warnings[0].contains(limit), "{}", done.stderr);
    }
    let own = std::fs::read_to_string("/proc/self/limits").expect("our limits");
    let own = own.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    assert!(
        own.split_whitespace().any(|word| word == done.stdout.lines().next().unwrap_or_default()),
        "{own}"
    );

    // The reason why this matters: runc ends there.
    if let Some(runc) = binaries::in_path("runc") {
        let cgroup = podman.host().cgroup();
        let arguments = [
            "run",
            "--rm",
            "--network=none",
            "--cgroups=no-conmon",
            "--cgroup-parent",
            &cgroup,
            limits[0],
            "busybox",
            "true",
        ];
        let refused = run(&mut podman.command_on(runc, &arguments));
        assert!(refused.stderr.contains("rlimit"), "{}", refused.stderr);
    }
}
