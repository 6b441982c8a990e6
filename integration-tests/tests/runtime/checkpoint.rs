//! `checkpoint` and `restore`. CRIU and a kernel that it can work with are rare: those tests say so and pass where
//! `criu check` fails. What happens without CRIU, and when everything is killed, is tested everywhere.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Stdio;

use dhow_integration_tests::bundle::Bundle;
use dhow_integration_tests::needs;
use dhow_integration_tests::process::{Background, DEADLINE, call, code, eventually, run, wait};
use dhow_integration_tests::runtime::Runtime;
use serde_json::json;

/// Counts in a file, for ever.
const COUNTER: &str = "i=0; while :; do i=$((i+1)); echo $i > /count; sleep 0.05; done";

fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

/// A container that counts, detached, with nothing of this process as its streams.
fn counter(runtime: &Runtime, bundle: &Bundle, id: &str) {
    detached(runtime, &["run", "-d", "--bundle", &text(bundle.folder()), id]);
    eventually("it counts", || count(bundle) > 0);
}

/// Runs the runtime without streams that a container could keep; its log comes as stderr.
fn detached(runtime: &Runtime, arguments: &[&str]) {
    let log = runtime.host().path("detached.log");
    drop(fs::remove_file(&log));
    let mut command = runtime.command(&["--log", &text(&log)]);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("start the runtime");
    let status = wait(&mut child, DEADLINE).expect("the runtime ends");
    let stderr = fs::read_to_string(log).unwrap_or_default();
    assert_eq!(code(status), 0, "{arguments:?}: {stderr}");
}

/// Restores the container of `bundle` from `images`, with more flags and its id.
fn restore(runtime: &Runtime, images: &str, bundle: &Bundle, more: &[&str]) {
    let folder = text(bundle.folder());
    let ignore = ["--manage-cgroups-mode", "ignore", "--image-path", images, "--bundle", &folder];
    detached(runtime, &[&["restore", "-d"], &ignore[..], more].concat());
}

fn count(bundle: &Bundle) -> u64 {
    fs::read_to_string(bundle.rootfs("count")).unwrap_or_default().trim().parse().unwrap_or_default()
}

#[test]
fn a_restored_container_goes_on_and_is_an_ordinary_one() {
    if !needs::criu() {
        return;
    }
    let runtime = Runtime::new();
    let id = runtime.id("count");
    let mut bundle = runtime.bundle("count", COUNTER);
    let shared = runtime.host().folder("shared");
    bundle.spec["mounts"].as_array_mut().expect("mounts").push(json!(
        {"destination": "/in/shared", "source": text(&shared), "options": ["bind"]}
    ));
    bundle.save();
    counter(&runtime, &bundle, &id);
    let images = text(&runtime.host().path("images"));
    let pid_file = runtime.host().path("pid");
    for round in 0..2 {
        runtime.call(&["checkpoint", "--manage-cgroups-mode", "ignore", "--image-path", &images, &id]).ok();
        runtime.call(&["state", &id]).exits(1);
        let before = count(&bundle);
        let descriptors = fs::read_to_string(format!("{images}/descriptors.json")).expect("written");
        assert_eq!(descriptors, r#"["/dev/null","/dev/null","/dev/null"]"#);
        restore(&runtime, &images, &bundle, &["--pid-file", &text(&pid_file), &id]);
        assert_eq!(runtime.status(&id), "running", "round {round}");
        let pid = fs::read_to_string(&pid_file).expect("pid file");
        assert_eq!(runtime.state(&id)["pid"].to_string(), pid);
        let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("cgroup");
        assert!(cgroup.contains(runtime.host().name()), "{cgroup}");
        eventually("it goes on counting", || count(&bundle) > before);
        fs::write(shared.join("file"), format!("round {round}")).expect("write");
        assert_eq!(runtime.call(&["exec", &id, "cat", "/in/shared/file"]).ok(), format!("round {round}"));
    }
    runtime.call(&["pause", &id]).ok();
    assert_eq!(runtime.status(&id), "paused");
    runtime.call(&["resume", &id]).ok();
    runtime.call(&["kill", &id, "KILL"]).ok();
    runtime.wait_for(&id, "stopped");
    runtime.call(&["delete", &id]).ok();
}

#[test]
fn memory_alone_first_and_a_container_that_goes_on() {
    if !needs::criu() {
        return;
    }
    let runtime = Runtime::new();
    let id = runtime.id("pre");
    let bundle = runtime.bundle("pre", COUNTER);
    counter(&runtime, &bundle, &id);
    let (first, second) = (text(&runtime.host().path("first")), text(&runtime.host().path("second")));
    let ignore = ["--manage-cgroups-mode", "ignore", "--image-path"];
    let call = |arguments: &[&str]| runtime.call(&[&["checkpoint"], &ignore[..], arguments, &[&id]].concat());
    call(&[&first, "--pre-dump"]).ok();
    assert_eq!(runtime.status(&id), "running");
    for (parent, reason) in [("/absolute", "must be relative"), ("../none", "invalid --parent-path")] {
        let done = call(&[&second, "--parent-path", parent]).exits(1);
        assert!(done.stderr.contains(reason), "{}", done.stderr);
    }
    call(&[&second, "--parent-path", "../first", "--leave-running"]).ok();
    assert!(Path::new(&second).join("parent").exists());
    let before = count(&bundle);
    eventually("it goes on counting", || count(&bundle) > before);
    runtime.call(&["delete", "--force", &id]).ok();
}

#[test]
fn a_terminal_is_handed_over_again() {
    if !needs::criu() {
        return;
    }
    let runtime = Runtime::new();
    let id = runtime.id("tty");
    let mut bundle = runtime.bundle("tty", "while read line; do echo got $line; done");
    bundle.spec["process"]["terminal"] = json!(true);
    bundle.save();
    let socket = text(&runtime.host().path("console.sock"));
    let listener = UnixListener::bind(&socket).expect("bind");
    let images = text(&runtime.host().path("images"));
    detached(&runtime, &["run", "-d", "--console-socket", &socket, "--bundle", &text(bundle.folder()), &id]);
    let first = super::terminal::receive(&listener.accept().expect("run connects").0);
    runtime.call(&["checkpoint", "--manage-cgroups-mode", "ignore", "--image-path", &images, &id]).ok();
    drop(first);
    restore(&runtime, &images, &bundle, &["--console-socket", &socket, &id]);
    let mut terminal = super::terminal::receive(&listener.accept().expect("restore connects").0);
    std::io::Write::write_all(&mut terminal, b"hello\n").expect("type");
    let mut seen = String::new();
    let mut bytes = [0; 1024];
    while !seen.contains("got hello") {
        let count = std::io::Read::read(&mut terminal, &mut bytes).expect("read the terminal");
        seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    runtime.call(&["delete", "--force", &id]).ok();
}

/// A folder with a `criu` in it that is this script.
fn pretended_criu(runtime: &Runtime, script: &str) -> String {
    let folder = runtime.host().folder("bin");
    let path = folder.join("criu");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("write");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default())
}

#[test]
fn without_criu_nothing_happens_to_the_container() {
    let runtime = Runtime::new();
    let id = runtime.id("none");
    let bundle = runtime.bundle("none", COUNTER);
    counter(&runtime, &bundle, &id);
    let images = text(&runtime.host().path("images"));
    let mut command = runtime.command(&["checkpoint", "--image-path", &images, &id]);
    let done = run(command.env("PATH", "/nowhere")).exits(1);
    assert!(done.stderr.contains("executable file not found in $PATH"), "{}", done.stderr);
    let done = run(runtime
        .command(&["checkpoint", "--image-path", &images, &id])
        .env("PATH", pretended_criu(&runtime, "exit 1")))
    .exits(1);
    assert!(done.stderr.contains("CRIU version check failed"), "{}", done.stderr);
    assert_eq!(runtime.status(&id), "running");
    let folder = text(bundle.folder());
    let restored = runtime.id("again");
    let mut command = runtime.command(&["restore", "--image-path", &images, "--bundle", &folder, &restored]);
    run(command.env("PATH", pretended_criu(&runtime, "exit 1"))).exits(1);
    runtime.call(&["state", &restored]).exits(1);
    for (flag, value, reason) in [
        ("--manage-cgroups-mode", "maybe", "invalid manage-cgroups-mode value"),
        ("--empty-ns", "pid", "is not supported"),
        ("--page-server", "nowhere", "Use --page-server ADDRESS:PORT"),
    ] {
        let done = runtime.call(&["checkpoint", "--image-path", &images, flag, value, &id]).exits(1);
        assert!(done.stderr.contains(reason), "{}", done.stderr);
    }
    runtime.call(&["delete", "--force", &id]).ok();
}

#[test]
fn a_created_container_has_nothing_to_checkpoint() {
    let runtime = Runtime::new();
    let id = runtime.id("created");
    runtime.create(&id, &runtime.bundle("created", "true"));
    let done =
        runtime.call(&["checkpoint", "--image-path", &text(&runtime.host().path("images")), &id]).exits(1);
    assert!(done.stderr.contains("cannot be checkpointed in created state"), "{}", done.stderr);
}

#[test]
fn a_killed_restore_is_removed_without_the_image_that_it_mounted() {
    let runtime = Runtime::new();
    let id = runtime.id("killed");
    let bundle = runtime.bundle("killed", "true");
    let images = runtime.host().folder("images");
    fs::write(bundle.rootfs("precious"), "x").expect("write");
    let path = pretended_criu(&runtime, "exec sleep 1000");
    let mut restore = Background::start(
        runtime
            .command(&[
                "restore",
                "-d",
                "--image-path",
                &text(&images),
                "--bundle",
                &text(bundle.folder()),
                &id,
            ])
            .env("PATH", path)
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    );
    let mounted = runtime.host().path(format!("runtime/{id}/criu-root/precious"));
    eventually("the root is mounted", || mounted.exists());
    // Its child, the pretended CRIU, ends with its socket in real life.
    let children = format!("/proc/{0}/task/{0}/children", restore.pid());
    eventually("criu is asked", || fs::read_to_string(&children).is_ok_and(|list| !list.trim().is_empty()));
    let criu = fs::read_to_string(&children).expect("children");
    restore.kill();
    call("kill", &["-KILL", criu.trim()]).ok();
    assert!(mounted.exists(), "this is what a killed restore leaves");
    runtime.call(&["delete", "--force", &id]).ok();
    assert!(!runtime.host().path(format!("runtime/{id}")).exists());
    assert_eq!(fs::read_to_string(bundle.rootfs("precious")).expect("still there"), "x");
}
