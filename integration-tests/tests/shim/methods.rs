//! The seventeen methods of the Task service, by both of its names, and what they promise.

use dhow_integration_tests::bundle::Bundle;
use dhow_integration_tests::process::eventually;
use dhow_integration_tests::shim::{Shim, Shims, TASK};
use dhow_proto::any;
use dhow_proto::containerd::events::TaskExit;
use dhow_proto::containerd::task::v3::{
    CheckpointTaskRequest, CloseIoRequest, ConnectRequest, ConnectResponse, CreateTaskRequest,
    CreateTaskResponse, DeleteRequest, DeleteResponse, ExecProcessRequest, KillRequest, PauseRequest,
    PidsRequest, PidsResponse, ResizePtyRequest, ResumeRequest, ShutdownRequest, StartRequest, StartResponse,
    StateRequest, StateResponse, StatsRequest, StatsResponse, UpdateTaskRequest, WaitRequest, WaitResponse,
};
use dhow_proto::containerd::v1::types::Status;
use dhow_proto::error::Kind;
use dhow_proto::io::containerd::cgroups;
use prost_types::Any;
use serde_json::json;

fn exec(id: &str, exec_id: &str, script: &str) -> ExecProcessRequest {
    let process = json!({
        "args": ["sh", "-c", script], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0},
    });
    ExecProcessRequest {
        id: id.to_owned(),
        exec_id: exec_id.to_owned(),
        spec: Some(any::pack_json(any::SPEC_URL, process.to_string().into_bytes())),
        ..ExecProcessRequest::default()
    }
}

#[test]
fn version_2_and_3_have_the_same_seventeen_methods() {
    for service in ["containerd.task.v2.Task", TASK] {
        every_method(service);
    }
}

fn every_method(service: &str) {
    let shims = Shims::new();
    let bundle = shims.bundle("all", "cat; exit 3");
    let shim = shims.start("all", &bundle);
    let id = || "all".to_owned();
    let no_exec = String::new;
    macro_rules! call {
        ($reply:ty, $method:literal, $request:expr) => {
            shim.call_service::<$reply>(service, $method, &$request).expect($method)
        };
    }
    let stdin = bundle.folder().join("stdin");
    nix::unistd::mkfifo(&stdin, nix::sys::stat::Mode::S_IRWXU).expect("make a FIFO");
    let create = CreateTaskRequest {
        id: id(),
        bundle: bundle.folder().display().to_string(),
        stdin: stdin.display().to_string(),
        stdout: format!("file://{}", bundle.folder().join("stdout").display()),
        ..CreateTaskRequest::default()
    };
    let created = call!(CreateTaskResponse, "Create", create);
    let started = call!(StartResponse, "Start", StartRequest { id: id(), exec_id: no_exec() });
    assert_eq!(created.pid, started.pid);
    let state = call!(StateResponse, "State", StateRequest { id: id(), exec_id: no_exec() });
    assert_eq!((state.status(), state.pid), (Status::Running, created.pid));
    let connect = call!(ConnectResponse, "Connect", ConnectRequest { id: id() });
    assert_eq!(connect.task_pid, created.pid);
    let pids = call!(PidsResponse, "Pids", PidsRequest { id: id() });
    assert!(pids.processes.iter().any(|process| process.pid == created.pid));

    call!((), "Pause", PauseRequest { id: id() });
    let state = call!(StateResponse, "State", StateRequest { id: id(), exec_id: no_exec() });
    assert_eq!(state.status(), Status::Paused);
    call!((), "Resume", ResumeRequest { id: id() });

    let resources = Any { type_url: String::new(), value: b"{\"pids\":{\"limit\":77}}".to_vec() };
    call!((), "Update", UpdateTaskRequest { id: id(), resources: Some(resources), ..Default::default() });
    let stats = call!(StatsResponse, "Stats", StatsRequest { id: id() }).stats.expect("stats");
    assert_eq!(pids_limit(&stats), 77);

    let mut request = exec("all", "e", "sleep 1000");
    request.terminal = true;
    call!((), "Exec", request);
    let exec_pid = call!(StartResponse, "Start", StartRequest { id: id(), exec_id: "e".to_owned() }).pid;
    assert_ne!(exec_pid, created.pid);
    call!((), "ResizePty", ResizePtyRequest { id: id(), exec_id: "e".to_owned(), width: 100, height: 40 });
    let kill = KillRequest { id: id(), exec_id: "e".to_owned(), signal: 9, all: false };
    call!((), "Kill", kill);
    let wait = WaitRequest { id: id(), exec_id: "e".to_owned() };
    assert_eq!(call!(WaitResponse, "Wait", wait).exit_status, 137);
    let delete = DeleteRequest { id: id(), exec_id: "e".to_owned() };
    assert_eq!(call!(DeleteResponse, "Delete", delete).pid, exec_pid);

    refuses_a_checkpoint(&shim, service);
    call!((), "CloseIO", CloseIoRequest { id: id(), exec_id: no_exec(), stdin: true });
    let exit = call!(WaitResponse, "Wait", WaitRequest { id: id(), exec_id: no_exec() });
    assert_eq!(exit.exit_status, 3, "the end of stdin was its end");
    call!(DeleteResponse, "Delete", DeleteRequest { id: id(), exec_id: no_exec() });
    call!((), "Shutdown", ShutdownRequest { id: id(), now: false });
    eventually("the shim is gone", || !shim.is_there());
}

/// Where CRIU cannot work, the runtime's words come through, and the container goes on.
fn refuses_a_checkpoint(shim: &Shim, service: &str) {
    let request =
        CheckpointTaskRequest { id: "all".to_owned(), path: "/dev/null/x".to_owned(), options: None };
    let error = shim.call_service::<()>(service, "Checkpoint", &request).expect_err("no such folder");
    assert!(error.message.starts_with("OCI runtime checkpoint failed: "), "{}", error.message);
    assert_eq!(shim.state("all", "").expect("it lives").status(), Status::Running);
}

fn pids_limit(stats: &Any) -> u64 {
    if let Some(metrics) = any::unpack::<cgroups::v1::Metrics>(stats) {
        return metrics.expect("v1 metrics").pids.expect("pids").limit;
    }
    let metrics = any::unpack::<cgroups::v2::Metrics>(stats).expect("v2 metrics").expect("v2 metrics");
    metrics.pids.expect("pids").limit
}

#[test]
fn what_a_state_does_not_allow_is_refused() {
    let shims = Shims::new();
    let bundle = shims.bundle("x", "sleep 1000");
    let shim = shims.start("x", &bundle);
    assert_eq!(shim.state("x", "").expect_err("nothing there").kind, Kind::NotFound);
    shim.create("x", &bundle);
    let twice = shim.create_with("x", &bundle, &Default::default()).expect_err("it exists");
    assert_eq!(twice.kind, Kind::AlreadyExists);
    shim.start("x", "");
    let start = StartRequest { id: "x".to_owned(), exec_id: String::new() };
    assert_eq!(shim.call::<()>("Start", &start).expect_err("it runs").kind, Kind::FailedPrecondition);
    assert_eq!(shim.delete("x", "").expect_err("it runs").kind, Kind::FailedPrecondition);
    assert_eq!(shim.state("x", "ghost").expect_err("no such exec").kind, Kind::NotFound);
    let hostile = exec("x", "../ghost", "true");
    assert_eq!(shim.call::<()>("Exec", &hostile).expect_err("a path").kind, Kind::InvalidArgument);
    shim.kill("x", 9).expect("kill");
    shim.wait("x", "");
    let killed_twice = shim.kill("x", 9).expect_err("it is over");
    assert_eq!(killed_twice.kind, Kind::NotFound);
    assert!(killed_twice.message.contains("process already finished"), "{}", killed_twice.message);
    let late = exec("x", "late", "true");
    assert_eq!(shim.call::<()>("Exec", &late).expect_err("it is over").kind, Kind::FailedPrecondition);
    // containerd 2 throws a shim away that lists nothing when it starts again.
    let pids: PidsResponse = shim.call("Pids", &PidsRequest { id: "x".to_owned() }).expect("pids");
    assert_eq!(pids.processes.len(), 1);
    shim.delete("x", "").expect("delete");
    shim.shut_down("x");
}

/// The exits so far, in order: which process, and its status.
fn exits(shims: &Shims) -> Vec<(String, u32)> {
    let exit = |(topic, event): (String, Any)| {
        let exit: TaskExit = any::unpack(&event).filter(|_| topic == "/tasks/exit")?.expect("an exit");
        Some((exit.id, exit.exit_status))
    };
    shims.events().into_iter().filter_map(exit).collect()
}

fn add_exec(shim: &Shim, exec_id: &str, script: &str) {
    shim.call::<()>("Exec", &exec("x", exec_id, script)).expect("exec");
}

#[test]
fn execs_end_before_their_container() {
    for shared in [false, true] {
        let shims = Shims::new();
        let mut bundle: Bundle = shims.bundle("x", "sleep 1000");
        if shared {
            let namespaces = bundle.spec["linux"]["namespaces"].as_array_mut().expect("namespaces");
            namespaces.retain(|namespace| namespace["type"] != "pid");
            bundle.save();
        }
        let shim = shims.start("x", &bundle);
        shim.create("x", &bundle);
        shim.start("x", "");
        for exec_id in ["a", "b", "c"] {
            add_exec(&shim, exec_id, "sleep 1000");
            shim.start("x", exec_id);
        }
        shim.kill("x", 9).expect("kill");
        assert_eq!(shim.wait("x", ""), 137);
        eventually("every exit is told", || exits(&shims).len() == 4);
        let exits = exits(&shims);
        assert_eq!(exits[3].0, "x", "{exits:?}");
        assert!(exits.iter().all(|exit| exit.1 == 137), "{exits:?}");
        for exec_id in ["a", "b", "c", ""] {
            shim.delete("x", exec_id).expect("delete");
        }
        shim.shut_down("x");
    }
}

#[test]
fn a_start_is_told_before_an_exit_however_short_the_life() {
    let shims = Shims::new();
    let bundle = shims.bundle("x", "sleep 1000");
    let shim = shims.start("x", &bundle);
    shim.create("x", &bundle);
    shim.start("x", "");
    for number in 0..10 {
        let exec_id = format!("e{number}");
        add_exec(&shim, &exec_id, "exit 7");
        shim.start("x", &exec_id);
        assert_eq!(shim.wait("x", &exec_id), 7);
        shim.delete("x", &exec_id).expect("delete");
    }
    shim.finish("x");
    shims.wait_for("/tasks/delete");
    let topics = shims.topics();
    assert_eq!(topics[..2], ["/tasks/create", "/tasks/start"]);
    for part in topics[2..32].chunks(3) {
        assert_eq!(part, ["/tasks/exec-added", "/tasks/exec-started", "/tasks/exit"]);
    }
    assert_eq!(topics[32..], ["/tasks/exit", "/tasks/delete"]);
}

#[test]
fn a_kill_for_want_of_memory_is_told_before_the_exit() {
    let shims = Shims::new();
    let mut bundle = shims.bundle("x", "tail /dev/zero");
    bundle.spec["linux"]["resources"]["memory"] = json!({"limit": 16 << 20, "swap": 16 << 20});
    bundle.save();
    let shim = shims.start("x", &bundle);
    shim.create("x", &bundle);
    shim.start("x", "");
    assert_eq!(shim.wait("x", ""), 137);
    shims.wait_for("/tasks/exit");
    let topics = shims.topics();
    let place = |topic: &str| topics.iter().position(|seen| seen == topic);
    assert!(place("/tasks/oom").is_some_and(|oom| Some(oom) < place("/tasks/exit")), "{topics:?}");
    shim.delete("x", "").expect("delete");
    shim.shut_down("x");
}
