//! A stock containerd stands on our runtime, and, apart from that, on our shim.

use dhow_integration_tests::peers::{Containerd, ctr_command};
use dhow_integration_tests::process::eventually;
use dhow_integration_tests::terminal::Terminal;
use dhow_integration_tests::{binaries, image};

const IMAGE: &str = "docker.io/library/busybox:1";

fn with_image() -> Containerd {
    let containerd = Containerd::start();
    let archive = containerd.host().path("busybox.tar");
    let source = format!("oci:{}:busybox", image::layout().display());
    image::skopeo(&["copy", &source, &format!("docker-archive:{}:busybox:1", archive.display())]).ok();
    containerd.ctr(&["images", "import", archive.to_str().expect("UTF-8")]).ok();
    containerd
}

fn lives(containerd: &Containerd, options: &[&str]) {
    let with = |before: &[&str], after: &[&str]| {
        let arguments: Vec<&str> = [before, options, after].concat();
        containerd.ctr(&arguments)
    };
    let done = with(&["run", "--rm"], &[IMAGE, "one", "sh", "-c", "echo hello; exit 3"]).exits(3);
    assert_eq!(done.stdout, "hello\n");
    with(&["run", "-d"], &[IMAGE, "task", "sleep", "1000"]).ok();
    assert_eq!(
        containerd.ctr(&["tasks", "exec", "--exec-id", "e1", "task", "cat", "/proc/1/comm"]).ok(),
        "sleep"
    );
    containerd.ctr(&["tasks", "exec", "--exec-id", "e2", "task", "sh", "-c", "exit 9"]).exits(9);
    containerd.ctr(&["tasks", "pause", "task"]).ok();
    assert!(containerd.ctr(&["tasks", "ls"]).ok().contains("PAUSED"));
    containerd.ctr(&["tasks", "resume", "task"]).ok();
    assert!(containerd.ctr(&["tasks", "metrics", "task"]).ok().contains("memory.usage_in_bytes"));
    containerd.ctr(&["tasks", "kill", "-s", "SIGKILL", "task"]).ok();
    eventually("it stopped", || containerd.ctr(&["tasks", "ls"]).ok().contains("STOPPED"));
    assert!(containerd.ctr(&["tasks", "delete", "task"]).stderr.contains("code 137"));
    containerd.ctr(&["containers", "rm", "task"]).ok();
}

#[test]
fn our_runtime_is_its_runc() {
    let containerd = with_image();
    let runtime = binaries::runtime();
    lives(&containerd, &["--runc-binary", runtime.to_str().expect("UTF-8")]);
}

#[test]
fn our_shim_is_its_shim() {
    let containerd = with_image();
    lives(&containerd, &["--runtime", "io.containerd.dhow.v2"]);
}

#[test]
fn our_shim_gives_a_terminal() {
    let containerd = with_image();
    let run = ["run", "--rm", "-t", "--runtime", "io.containerd.dhow.v2", IMAGE, "tty", "sh"];
    let command = ctr_command(&containerd.socket(), &run);
    let mut terminal = Terminal::start(&command);
    terminal.type_text("tty\r");
    terminal.expect("/dev/pts/0");
    terminal.type_text("exit 4\r");
    assert_eq!(terminal.finish().0, 4);
}

#[test]
fn our_shim_outlives_a_killed_containerd() {
    let mut containerd = with_image();
    containerd.ctr(&["run", "-d", "--runtime", "io.containerd.dhow.v2", IMAGE, "task", "sleep", "1000"]).ok();
    containerd.kill();
    containerd.launch();
    assert!(containerd.ctr(&["tasks", "ls"]).ok().contains("RUNNING"));
    assert_eq!(containerd.ctr(&["tasks", "exec", "--exec-id", "e1", "task", "echo", "alive"]).ok(), "alive");
    containerd.ctr(&["tasks", "kill", "-s", "SIGKILL", "task"]).ok();
    eventually("it stopped", || containerd.ctr(&["tasks", "ls"]).ok().contains("STOPPED"));
    assert!(containerd.ctr(&["tasks", "delete", "task"]).stderr.contains("code 137"));
    containerd.ctr(&["containers", "rm", "task"]).ok();
}
