//! Docker's own daemon runs its containers on our runtime.

use dhow_integration_tests::peers::{Dockerd, Release};
use dhow_integration_tests::process::{Background, eventually};
use dhow_integration_tests::terminal::Terminal;

#[test]
fn dockerd_runs_on_our_runtime() {
    lives(&Dockerd::on_our_runtime(Release::Installed, &[]));
}

#[test]
fn a_newer_dockerd_runs_on_our_runtime() {
    if let Some(release) = Release::newer() {
        lives(&Dockerd::on_our_runtime(release, &[]));
    }
}

fn inspect(dockerd: &Dockerd, format: &str, container: &str) -> String {
    dockerd.docker(&["inspect", "-f", format, container]).ok()
}

fn lives(dockerd: &Dockerd) {
    assert_eq!(dockerd.docker(&["info", "-f", "{{.DefaultRuntime}}"]).ok(), "dhow");
    runs(dockerd);
    let events = dockerd.host().path("events");
    let mut watch = dockerd.command(&["events", "--format", "{{.Action}}"]);
    let _watch = Background::start(watch.stdout(std::fs::File::create(&events).expect("a file")));
    is_driven(dockerd);
    eventually("the events arrived", || {
        let text = std::fs::read_to_string(&events).unwrap_or_default();
        ["create", "start", "pause", "unpause", "oom", "die", "destroy"]
            .iter()
            .all(|action| text.lines().any(|line| line == *action))
    });
    restarts_and_checks(dockerd);
}

fn runs(dockerd: &Dockerd) {
    let run = |arguments: &[&str]| dockerd.docker(&[&["run", "--rm", "--network=none"], arguments].concat());
    assert_eq!(run(&["busybox", "sh", "-c", "echo out; exit 7"]).exits(7).stdout, "out\n");
    run(&["busybox", "/no/such/program"]).exits(127);
    run(&["busybox", "/etc"]).exits(126);
    let limited = [
        "--read-only",
        "--tmpfs=/t",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--user=1000:1000",
        "--ulimit=nofile=100:200",
        "--init",
        "busybox",
        "sh",
        "-c",
        "grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status; ulimit -n; id -u; touch /t/made /made",
    ];
    let done = run(&limited);
    assert_eq!(done.stdout, "CapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n100\n1000\n");
    assert!(done.stderr.contains("Read-only file system"), "{}", done.stderr);
    let mut terminal =
        Terminal::start(&dockerd.command(&["run", "-it", "--rm", "--network=none", "busybox", "sh"]));
    terminal.type_text("tty\r");
    terminal.expect("/dev/pts/0");
    terminal.expect_size(80, 24);
    terminal.type_text("exit 4\r");
    assert_eq!(terminal.finish().0, 4);
}

fn is_driven(dockerd: &Dockerd) {
    dockerd.docker(&["run", "-d", "--network=none", "--name=box", "busybox", "sleep", "1000"]).ok();
    eventually("the program runs", || {
        dockerd.docker(&["exec", "box", "cat", "/proc/1/comm"]).ok() == "sleep"
    });
    dockerd.docker(&["exec", "box", "sh", "-c", "exit 9"]).exits(9);
    let mut terminal = Terminal::start(&dockerd.command(&["exec", "-it", "box", "sh"]));
    terminal.type_text("tty\r");
    terminal.expect("/dev/pts/");
    terminal.expect_size(80, 24);
    terminal.type_text("exit 5\r");
    assert_eq!(terminal.finish().0, 5);
    dockerd.docker(&["pause", "box"]).ok();
    assert_eq!(inspect(dockerd, "{{.State.Status}}", "box"), "paused");
    dockerd.docker(&["unpause", "box"]).ok();
    assert!(dockerd.docker(&["top", "box"]).ok().contains("sleep 1000"));
    assert!(dockerd.docker(&["stats", "--no-stream", "box"]).ok().contains("box"));
    dockerd.docker(&["update", "--memory=64m", "--memory-swap=64m", "--pids-limit=50", "box"]).ok();
    assert!(dockerd.docker(&["stats", "--no-stream", "box"]).ok().contains("/ 64MiB"));
    dockerd.docker(&["kill", "box"]).ok();
    eventually("it ended", || {
        inspect(dockerd, "{{.State.Status}} {{.State.ExitCode}}", "box") == "exited 137"
    });
    dockerd.docker(&["start", "box"]).ok();
    dockerd.docker(&["restart", "-t", "0", "box"]).ok();
    dockerd.docker(&["rm", "-f", "box"]).ok();

    let eat = [
        "run",
        "--network=none",
        "--name=oom",
        "--memory=16m",
        "--memory-swap=16m",
        "busybox",
        "tail",
        "/dev/zero",
    ];
    // containerd's shim keeps the news to itself when the cgroup is gone before it looks.
    eventually("a kill for want of memory is told", || {
        dockerd.docker(&eat).exits(137);
        let told = inspect(dockerd, "{{.State.OOMKilled}}", "oom") == "true";
        dockerd.docker(&["rm", "oom"]).ok();
        told
    });
}

fn restarts_and_checks(dockerd: &Dockerd) {
    let start = |arguments: &[&str]| {
        dockerd.docker(&[&["run", "-d", "--network=none"], arguments].concat()).ok();
    };
    start(&["--name=again", "--restart=on-failure:2", "busybox", "sh", "-c", "exit 3"]);
    start(&["--name=healthy", "--health-cmd=true", "--health-interval=200ms", "busybox", "sleep", "1000"]);
    eventually("it was restarted twice", || {
        inspect(dockerd, "{{.RestartCount}} {{.State.Status}} {{.State.ExitCode}}", "again") == "2 exited 3"
    });
    eventually("it is healthy", || inspect(dockerd, "{{.State.Health.Status}}", "healthy") == "healthy");
}

#[test]
fn dockerd_maps_users_on_our_runtime() {
    maps_users(&Dockerd::on_our_runtime_remapped(Release::Installed));
}

#[test]
fn a_newer_dockerd_maps_users_on_our_runtime() {
    if let Some(release) = Release::newer() {
        maps_users(&Dockerd::on_our_runtime_remapped(release));
    }
}

fn maps_users(dockerd: &Dockerd) {
    let first = Dockerd::first_remapped();
    let script = "cat /proc/self/uid_map; id -u; touch /made && stat -c %u /made";
    let output = dockerd.docker(&["run", "--rm", "--network=none", "busybox", "sh", "-c", script]).ok();
    let words: Vec<&str> = output.split_whitespace().collect();
    assert_eq!(words, ["0", &first.to_string(), "65536", "0", "0"]);
    dockerd.docker(&["run", "-d", "--network=none", "--name=box", "busybox", "sleep", "1000"]).ok();
    let pid = inspect(dockerd, "{{.State.Pid}}", "box");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    assert!(status.contains(&format!("Uid:\t{first}\t")), "{status}");
    assert_eq!(dockerd.docker(&["exec", "box", "id", "-u"]).ok(), "0");
    dockerd.docker(&["exec", "-u", "1000", "box", "sh", "-c", "exit 9"]).exits(9);
}
