//! Hostile moments: the runtime dies in the middle of anything, or what it must end stands still.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use dhow_integration_tests::process::{eventually, wait};
use dhow_integration_tests::runtime::Runtime;
use dhow_integration_tests::steps::kill_at;

/// At how many steps, spread over all that a command makes, it is killed.
const STEPS: usize = 40;

/// Starts the runtime and kills it after `delay`; whether it was still at work.
fn killed_after(runtime: &Runtime, arguments: &[&str], delay: Duration) -> bool {
    let mut command = runtime.command(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("start the runtime");
    std::thread::sleep(delay);
    let alive = matches!(child.try_wait(), Ok(None));
    drop(child.kill());
    wait(&mut child, Duration::from_secs(10));
    alive
}

/// After `delete --force` there is no process, mount, cgroup or state, and the ID is free.
fn nothing_is_left(runtime: &Runtime, id: &str, moment: &str) {
    runtime.call(&["delete", "--force", id]).ok();
    assert_ne!(runtime.call(&["state", id]).code, 0, "{moment}");
    eventually(&format!("nothing is left of what was killed {moment}"), || runtime.host().leaks().is_empty());
    let folder = runtime.host().path("runtime");
    let left: Vec<_> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    assert!(left.is_empty(), "{moment}: {left:?}");
}

/// Kills the command at calls all over its way, each time on a container made anew by `prepare`.
fn killed_on_its_way(runtime: &Runtime, id: &str, arguments: &[&str], prepare: impl Fn()) {
    prepare();
    let whole = kill_at(&runtime.command(arguments), usize::MAX);
    nothing_is_left(runtime, id, "at the end");
    assert!(whole > STEPS, "{arguments:?} makes {whole} steps");
    for step in (1..=STEPS).map(|part| whole * part / STEPS) {
        prepare();
        let reached = kill_at(&runtime.command(arguments), step);
        nothing_is_left(runtime, id, &format!("{} at step {reached} of {whole}", arguments[0]));
    }
}

#[test]
fn a_killed_create_leaves_nothing_that_delete_does_not_remove() {
    let runtime = Runtime::new();
    let (id, bundle) = (runtime.id("killed"), runtime.bundle("killed", "sleep 1000"));
    let folder = bundle.folder().to_str().expect("UTF-8");
    killed_on_its_way(&runtime, &id, &["create", "--bundle", folder, &id], || {});
}

#[test]
fn a_killed_run_leaves_nothing_that_delete_does_not_remove() {
    let runtime = Runtime::new();
    let (id, bundle) = (runtime.id("killed"), runtime.bundle("killed", "exec sleep 1000"));
    let folder = bundle.folder().to_str().expect("UTF-8");
    killed_on_its_way(&runtime, &id, &["run", "--detach", "--bundle", folder, &id], || {});
}

#[test]
fn a_killed_exec_or_delete_leaves_nothing_that_delete_does_not_remove() {
    let runtime = Runtime::new();
    let (id, bundle) = (runtime.id("killed"), runtime.bundle("killed", "exec sleep 1000"));
    let running = || {
        runtime.create(&id, &bundle);
        runtime.call(&["start", &id]).ok();
    };
    killed_on_its_way(&runtime, &id, &["exec", "--detach", &id, "sleep", "1000"], running);
    killed_on_its_way(&runtime, &id, &["delete", "--force", &id], running);
}

/// A start, an exec, a pause, an update or a delete that is killed leaves a container that the next command can use.
#[test]
fn a_killed_command_leaves_a_container_that_can_be_used() {
    let runtime = Runtime::new();
    let id = runtime.id("killed");
    let bundle = runtime.bundle("killed", "exec sleep 1000");
    let commands: [(&str, Vec<&str>); 5] = [
        ("start", vec!["start", &id]),
        ("exec", vec!["exec", "--detach", &id, "sleep", "1000"]),
        ("pause", vec!["pause", &id]),
        ("update", vec!["update", "--pids-limit", "77", &id]),
        ("delete", vec!["delete", "--force", &id]),
    ];
    for (verb, arguments) in commands {
        for step in 0..6 {
            runtime.create(&id, &bundle);
            if verb != "start" {
                runtime.call(&["start", &id]).ok();
            }
            let delay = Duration::from_millis(4) * step;
            let alive = killed_after(&runtime, &arguments, delay);
            let moment = format!("in {verb} after {delay:?} (at work: {alive})");
            if verb != "delete" && runtime.status(&id) == "paused" {
                runtime.call(&["resume", &id]).ok();
            }
            nothing_is_left(&runtime, &id, &moment);
        }
    }
}

/// A container may freeze itself where it can write to its cgroup: it can be told, and ended all the same.
#[test]
fn an_init_frozen_in_its_cgroup_is_seen_killed_and_deleted() {
    let runtime = Runtime::new();
    let id = runtime.id("ice");
    runtime.create(&id, &runtime.bundle("ice", "exec sleep 1000"));
    runtime.call(&["start", &id]).ok();
    let freeze = [
        (format!("/sys/fs/cgroup/freezer/{}/ice/freezer.state", runtime.host().name()), "FROZEN"),
        (format!("/sys/fs/cgroup/{}/ice/cgroup.freeze", runtime.host().name()), "1"),
    ];
    let (file, word) = freeze.into_iter().find(|(file, _)| PathBuf::from(file).exists()).expect("a freezer");
    fs::write(&file, word).expect("freeze");
    runtime.wait_for(&id, "paused");
    let refused = runtime.call(&["exec", &id, "true"]);
    assert!(refused.stderr.contains("cannot exec in a paused container"), "{}", refused.stderr);
    runtime.call(&["kill", &id, "KILL"]).ok();
    runtime.wait_for(&id, "stopped");
    runtime.call(&["delete", &id]).ok();

    // Frozen before it was ever started, in the middle of a create.
    runtime.create(&id, &runtime.bundle("again", "true"));
    let file = file.replace("/ice/", "/again/");
    fs::write(&file, word).expect("freeze");
    nothing_is_left(&runtime, &id, "while it was frozen");
}
