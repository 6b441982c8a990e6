//! Checkpoints that the content store keeps, and tasks that go on from them: with CRIU, where it works.

use std::fs;

use dhow_integration_tests::image::{self, BUSYBOX};
use dhow_integration_tests::needs;
use dhow_integration_tests::process::eventually;
use dhow_integration_tests::supervisor::Supervisor;

/// Counts in a file, for ever.
const COUNTER: &str = "i=0; while :; do i=$((i+1)); echo $i > /count; sleep 0.05; done";

/// A supervisor with an image and a task `first` that counts.
fn counting() -> Supervisor {
    let supervisor = Supervisor::start_on_our_names();
    supervisor.ctr(&["images", "import", &image::archive(supervisor.host())]).ok();
    // The only name for which `ctr` 1.6 has options of a checkpoint.
    let run = ["run", "-d", "--runtime", "io.containerd.runc.v2"];
    supervisor.ctr(&[&run[..], &[BUSYBOX, "first", "sh", "-c", COUNTER]].concat()).ok();
    eventually("it counts", || count(&supervisor, "first") > 0);
    supervisor
}

/// How far a task has counted, seen from outside.
fn count(supervisor: &Supervisor, task: &str) -> u64 {
    let folder = supervisor.host().path("state/io.containerd.runtime.v2.task");
    let file = folder.join(supervisor.host().name()).join(task).join("rootfs/count");
    fs::read_to_string(file).unwrap_or_default().trim().parse().unwrap_or_default()
}

fn status(supervisor: &Supervisor, task: &str) -> String {
    let list = supervisor.ctr(&["tasks", "ls"]).ok();
    let line = list.lines().find(|line| line.split_whitespace().next() == Some(task));
    line.and_then(|line| line.split_whitespace().last()).unwrap_or_default().to_owned()
}

fn end(supervisor: &Supervisor, task: &str) {
    supervisor.ctr(&["tasks", "kill", "-s", "SIGKILL", task]);
    eventually("it stopped", || status(supervisor, task) == "STOPPED");
    supervisor.ctr(&["tasks", "delete", task]);
    supervisor.ctr(&["containers", "delete", task]).ok();
}

#[test]
fn a_container_goes_on_from_its_checkpoint() {
    if !needs::criu() {
        return;
    }
    let supervisor = counting();
    supervisor.ctr(&["containers", "checkpoint", "--rw", "--image", "--task", "first", "kept:1"]).ok();
    assert_eq!(status(&supervisor, "first"), "RUNNING", "it went on");
    let reached = count(&supervisor, "first");
    end(&supervisor, "first");
    supervisor.ctr(&["containers", "restore", "--rw", "--live", "second", "kept:1"]).ok();
    eventually("the copy goes on counting", || count(&supervisor, "second") > reached);
    let pid = supervisor.ctr(&["tasks", "exec", "--exec-id", "exec", "second", "cat", "/proc/1/comm"]).ok();
    assert_eq!(pid, "sh");
    end(&supervisor, "second");
}

/// `tasks checkpoint`: an image of its own, or files in a folder; the task goes on or ends.
#[test]
fn a_task_is_kept_as_an_image_or_in_a_folder() {
    if !needs::criu() {
        return;
    }
    let supervisor = counting();
    let name = supervisor.ctr(&["tasks", "checkpoint", "first"]).ok();
    assert!(name.starts_with("containerd.io/checkpoint/first:"), "{name}");
    assert!(supervisor.ctr(&["images", "ls", "-q"]).ok().contains(&name));
    assert_eq!(status(&supervisor, "first"), "RUNNING");
    let index = supervisor.ctr(&["images", "ls", &format!("name=={name}")]).ok();
    let digest = index.split_whitespace().find(|word| word.starts_with("sha256:")).expect("its digest");
    let index = supervisor.ctr(&["content", "get", digest]).ok();
    for kind in [
        "application/vnd.containerd.container.criu.checkpoint.criu.tar",
        "container.checkpoint.config.v1+proto",
    ] {
        assert!(index.contains(kind), "{kind} is not in {index}");
    }

    let folder = supervisor.host().path("images");
    let place = folder.to_str().expect("UTF-8");
    supervisor.ctr(&["tasks", "checkpoint", "--exit", "--image-path", place, "first"]).ok();
    assert!(folder.join("inventory.img").exists(), "CRIU's files are there");
    eventually("it ended", || status(&supervisor, "first") == "STOPPED");
    supervisor.ctr(&["tasks", "delete", "first"]);
    supervisor.ctr(&["containers", "delete", "first"]).ok();
    let left = fs::read_dir(supervisor.host().path("state/checkpoint")).into_iter().flatten().count();
    assert_eq!(left, 0, "nothing is left of what was worked on");
}
