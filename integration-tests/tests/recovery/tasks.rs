//! The supervisor alone dies while tasks run, end, and wait for their exit to be read.

use dhow_integration_tests::image;
use dhow_integration_tests::process::eventually;
use dhow_integration_tests::stack::processes;
use dhow_integration_tests::supervisor::Supervisor;
use nix::sys::signal::{Signal, kill};

const IMAGE: &str = image::BUSYBOX;
const RUNTIME: &[&str] = &["--runtime", "io.containerd.dhow.v2"];

fn run(supervisor: &Supervisor, id: &str, script: &str) {
    supervisor.ctr(&[&["run", "-d"], RUNTIME, &[IMAGE, id, "sh", "-c", script]].concat()).ok();
}

#[test]
fn tasks_are_back_after_a_restart_with_their_true_state() {
    let mut supervisor = Supervisor::with_busybox();
    run(&supervisor, "runs", "exec sleep 1000");
    run(&supervisor, "ends", "exec sleep 0.5");
    supervisor.kill();
    std::thread::sleep(std::time::Duration::from_millis(800));
    supervisor.launch();
    let tasks = supervisor.ctr(&["tasks", "ls"]).ok();
    let status = |id: &str| {
        let row = tasks.lines().find(|row| row.starts_with(id)).unwrap_or_default();
        row.split_whitespace().last().unwrap_or_default().to_owned()
    };
    assert_eq!((status("runs").as_str(), status("ends").as_str()), ("RUNNING", "STOPPED"), "{tasks}");
    assert_eq!(supervisor.ctr(&["tasks", "exec", "--exec-id", "e", "runs", "echo", "alive"]).ok(), "alive");
    supervisor.ctr(&["tasks", "delete", "ends"]).ok();
    supervisor.ctr(&["tasks", "kill", "-s", "SIGKILL", "runs"]).ok();
    eventually("it stopped", || supervisor.ctr(&["tasks", "ls"]).ok().contains("STOPPED"));
    supervisor.ctr(&["tasks", "delete", "runs"]).ok();
    supervisor.ctr(&["containers", "rm", "runs", "ends"]).ok();
}

#[test]
fn a_killed_shim_ends_its_task_and_can_be_cleaned_up() {
    let supervisor = Supervisor::with_busybox();
    run(&supervisor, "orphan", "exec sleep 1000");
    let shim = processes("containerd-shim-dhow-v2")
        .into_iter()
        .find(|(_, command)| command.contains(supervisor.host().name()))
        .expect("a shim runs");
    kill(shim.0, Signal::SIGKILL).expect("kill the shim");
    eventually("the task is known to have ended", || {
        let tasks = supervisor.ctr(&["tasks", "ls"]).ok();
        !tasks.contains("RUNNING")
    });
    supervisor.ctr(&["tasks", "delete", "--force", "orphan"]);
    supervisor.ctr(&["containers", "rm", "orphan"]).ok();
    run(&supervisor, "orphan", "exec sleep 1000");
    supervisor.ctr(&["tasks", "delete", "--force", "orphan"]);
    supervisor.ctr(&["containers", "rm", "orphan"]).ok();
}
