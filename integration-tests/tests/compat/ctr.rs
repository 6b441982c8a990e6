//! containerd's own client drives our supervisor.

use dhow_integration_tests::image;
use dhow_integration_tests::process::{Background, eventually};
use dhow_integration_tests::registry::Registry;
use dhow_integration_tests::supervisor::Supervisor;

/// A supervisor with an image pulled by `ctr`, the registry it came from, and the image's reference.
fn with_image() -> (Supervisor, Registry, String) {
    let supervisor = Supervisor::start();
    let registry = Registry::start();
    let reference = image::push("busybox", &registry.address());
    supervisor.ctr(&["images", "pull", "--plain-http", &reference]).ok();
    (supervisor, registry, reference)
}

#[test]
fn pulls_and_runs_an_image() {
    let (supervisor, _registry, reference) = with_image();
    assert!(supervisor.ctr(&["images", "ls", "-q"]).ok().contains(&reference));
    let done = supervisor.ctr(&["run", "--rm", &reference, "one", "sh", "-c", "echo hello; exit 3"]).exits(3);
    assert_eq!(done.stdout, "hello\n");
    assert_eq!(supervisor.ctr(&["containers", "ls", "-q"]).ok(), "");
}

#[test]
fn drives_a_task_through_its_life() {
    let (supervisor, _registry, reference) = with_image();
    let events = supervisor.host().path("events");
    let mut watch = supervisor.ctr_command(&["events"]);
    watch.stdout(std::fs::File::create(&events).expect("make a file"));
    let _watch = Background::start(&mut watch);
    supervisor.ctr(&["run", "-d", &reference, "task", "sleep", "1000"]).ok();
    assert!(supervisor.ctr(&["tasks", "ls"]).ok().contains("RUNNING"));
    eventually("the program runs", || {
        supervisor.ctr(&["tasks", "exec", "--exec-id", "e1", "task", "cat", "/proc/1/comm"]).ok() == "sleep"
    });
    supervisor.ctr(&["tasks", "pause", "task"]).ok();
    assert!(supervisor.ctr(&["tasks", "ls"]).ok().contains("PAUSED"));
    supervisor.ctr(&["tasks", "resume", "task"]).ok();
    supervisor.ctr(&["tasks", "kill", "-s", "SIGKILL", "task"]).ok();
    eventually("it stopped", || supervisor.ctr(&["tasks", "ls"]).ok().contains("STOPPED"));
    // ctr warns of the task's code, and ends with its own.
    assert!(supervisor.ctr(&["tasks", "delete", "task"]).exits(0).stderr.contains("exit code 137"));
    supervisor.ctr(&["containers", "rm", "task"]).ok();
    eventually("the events arrived", || {
        let text = std::fs::read_to_string(&events).unwrap_or_default();
        ["/tasks/create", "/tasks/start", "/tasks/exec-added", "/tasks/exit", "/tasks/delete"]
            .iter()
            .all(|topic| text.contains(topic))
    });
}

#[test]
fn imports_lists_and_removes() {
    let supervisor = Supervisor::with_busybox();
    let name = supervisor.ctr(&["images", "ls", "-q"]).ok();
    assert_eq!(name, image::BUSYBOX);
    // The archive has more files than the image; the others go soon after the lease of the import.
    eventually("index, manifest, config and layer are left", || {
        supervisor.ctr(&["content", "ls", "-q"]).ok().lines().count() <= 4
    });
    assert_eq!(supervisor.ctr(&["snapshots", "ls"]).ok().lines().count(), 2, "the layer is unpacked");
    supervisor.ctr(&["images", "rm", "--sync", &name]).ok();
    assert_eq!(supervisor.ctr(&["content", "ls", "-q"]).ok(), "", "what nothing refers to is collected");
    assert_eq!(supervisor.ctr(&["snapshots", "ls"]).ok().lines().count(), 1);
}
