//! Docker's own daemon stands on our supervisor.

use dhow_integration_tests::busybox;
use dhow_integration_tests::peers::Dockerd;
use dhow_integration_tests::process::eventually;
use dhow_integration_tests::supervisor::Supervisor;

#[test]
fn a_stock_dockerd_runs_its_containers_on_our_supervisor() {
    let supervisor = Supervisor::start();
    let socket = supervisor.socket();
    let dockerd = Dockerd::start(&["--containerd", socket.to_str().expect("UTF-8")]);
    let archive = busybox::tar(&dockerd.host().folder("images"));
    dockerd.docker(&["import", archive.to_str().expect("UTF-8"), "busybox:latest"]).ok();

    let done = dockerd
        .docker(&["run", "--rm", "--network=none", "busybox", "sh", "-c", "echo out; exit 7"])
        .exits(7);
    assert_eq!(done.stdout, "out\n");
    dockerd.docker(&["run", "-d", "--network=none", "--name", "box", "busybox", "sleep", "1000"]).ok();
    assert_eq!(dockerd.docker(&["exec", "box", "cat", "/proc/1/comm"]).ok(), "sleep");
    dockerd.docker(&["pause", "box"]).ok();
    dockerd.docker(&["unpause", "box"]).ok();
    assert!(dockerd.docker(&["top", "box"]).ok().contains("sleep 1000"));
    dockerd.docker(&["kill", "box"]).ok();
    eventually("it ended", || {
        dockerd.docker(&["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "box"]).ok()
            == "exited 137"
    });
    dockerd.docker(&["start", "box"]).ok();
    dockerd.docker(&["stop", "-t", "1", "box"]).ok();
    dockerd.docker(&["rm", "box"]).ok();
}
