//! create, start, state, kill, delete, list, pause and what each refuses.

use dhow_integration_tests::process::eventually;
use dhow_integration_tests::runtime::Runtime;

#[test]
fn run_gives_the_status_and_streams_of_the_process() {
    let runtime = Runtime::new();
    let bundle = runtime.bundle("run", "echo out; echo err >&2; exit 7");
    let done = runtime.run(&runtime.id("run"), &bundle).exits(7);
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("out\n", "err\n"));
    assert_eq!(runtime.call(&["list", "-q"]).ok(), "", "run removes its container");
}

#[test]
fn a_container_waits_for_start_and_keeps_its_state_until_deleted() {
    let runtime = Runtime::new();
    let id = runtime.id("life");
    let bundle = runtime.bundle("life", "echo started; exec sleep 1000");
    runtime.create(&id, &bundle);
    let state = runtime.state(&id);
    assert_eq!(state["status"], "created");
    assert_eq!(state["id"], id.as_str());
    assert_eq!(state["bundle"].as_str(), bundle.folder().to_str());
    assert_eq!(runtime.output(&id), "", "nothing of the user ran before start");

    runtime.call(&["start", &id]).ok();
    assert_eq!(runtime.status(&id), "running");
    eventually("the process prints", || runtime.output(&id) == "started\n");
    let pid = runtime.state(&id)["pid"].as_i64().expect("a pid");
    assert!(std::path::Path::new(&format!("/proc/{pid}")).exists());

    runtime.call(&["kill", &id, "KILL"]).ok();
    runtime.wait_for(&id, "stopped");
    runtime.call(&["delete", &id]).ok();
    assert_ne!(runtime.call(&["state", &id]).code, 0);
}

/// The first process of a PID namespace is not killed by what it does not handle; a waiting one must be all the same.
#[test]
fn a_created_container_ends_when_it_is_asked_to() {
    let runtime = Runtime::new();
    let id = runtime.id("asked");
    runtime.create(&id, &runtime.bundle("asked", "sleep 1000"));
    runtime.call(&["kill", &id, "TERM"]).ok();
    runtime.wait_for(&id, "stopped");
    assert_ne!(runtime.call(&["start", &id]).code, 0);
    runtime.call(&["delete", &id]).ok();
}

#[test]
fn pause_stops_the_clock_of_a_container() {
    let runtime = Runtime::new();
    let id = runtime.id("pause");
    let bundle = runtime.bundle("pause", "while :; do echo tick; sleep 0.01; done");
    runtime.create(&id, &bundle);
    runtime.call(&["start", &id]).ok();
    eventually("it ticks", || !runtime.output(&id).is_empty());
    runtime.call(&["pause", &id]).ok();
    assert_eq!(runtime.status(&id), "paused");
    let before = runtime.output(&id).len();
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(runtime.output(&id).len(), before, "a paused container prints nothing");
    let refused = runtime.call(&["exec", &id, "true"]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("cannot exec in a paused container"), "{}", refused.stderr);
    runtime.call(&["resume", &id]).ok();
    eventually("it ticks again", || runtime.output(&id).len() > before);
}

#[test]
fn list_shows_every_container_as_a_table_and_as_json() {
    let runtime = Runtime::new();
    let id = runtime.id("list");
    runtime.create(&id, &runtime.bundle("list", "sleep 1000"));
    let table = runtime.call(&["list"]).ok();
    let head: Vec<&str> = table.lines().next().expect("a head").split_whitespace().collect();
    assert_eq!(head, ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    assert!(table.lines().nth(1).expect("a row").starts_with(&id));
    let json: serde_json::Value =
        serde_json::from_str(&runtime.call(&["list", "--format", "json"]).ok()).expect("JSON");
    assert_eq!(json[0]["status"], "created");
    assert_eq!(json[0]["owner"], "root");
}

#[test]
fn a_running_container_is_not_deleted_without_force() {
    let runtime = Runtime::new();
    let id = runtime.id("force");
    runtime.create(&id, &runtime.bundle("force", "sleep 1000"));
    runtime.call(&["start", &id]).ok();
    let refused = runtime.call(&["delete", &id]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("is not stopped: running"), "{}", refused.stderr);
    runtime.call(&["delete", "--force", &id]).ok();
    assert_ne!(runtime.call(&["state", &id]).code, 0);
    runtime.call(&["delete", "--force", &id]).ok();
}

#[test]
fn an_id_is_given_once() {
    let runtime = Runtime::new();
    let id = runtime.id("twice");
    let bundle = runtime.bundle("twice", "sleep 1000");
    runtime.create(&id, &bundle);
    let refused = runtime.run(&id, &bundle);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("already exists"), "{}", refused.stderr);
    assert_eq!(runtime.status(&id), "created", "the first one is untouched");
}

#[test]
fn the_pid_file_names_the_process_of_the_host() {
    let runtime = Runtime::new();
    let id = runtime.id("pid");
    let bundle = runtime.bundle("pid", "sleep 1000");
    let file = runtime.host().path("pid");
    let folder = bundle.folder().to_str().expect("UTF-8");
    runtime.call(&["run", "-d", "--pid-file", file.to_str().expect("UTF-8"), "--bundle", folder, &id]);
    let pid = std::fs::read_to_string(file).expect("the pid file");
    assert_eq!(pid.trim().parse::<i64>().ok(), runtime.state(&id)["pid"].as_i64());
}
