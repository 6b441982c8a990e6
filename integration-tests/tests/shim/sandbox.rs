//! Pods: containers that share a shim, and the sandbox service that holds them together.

use dhow_integration_tests::process::eventually;
use dhow_integration_tests::shim::{Shim, Shims};
use dhow_proto::containerd::runtime::sandbox::v1::{
    CreateSandboxRequest, PingRequest, PlatformRequest, PlatformResponse, SandboxMetricsRequest,
    SandboxMetricsResponse, SandboxStatusRequest, SandboxStatusResponse, ShutdownSandboxRequest,
    StartSandboxRequest, StartSandboxResponse, StopSandboxRequest, WaitSandboxRequest, WaitSandboxResponse,
};
use dhow_proto::containerd::task::v3::{ConnectRequest, ConnectResponse, ShutdownRequest};
use dhow_proto::error::Kind;
use dhow_proto::ttrpc::CallError;
use prost::Message;
use serde_json::json;

const SANDBOX: &str = "containerd.runtime.sandbox.v1.Sandbox";

fn sandbox<R: Message + Default>(shim: &Shim, method: &str, request: &impl Message) -> Result<R, CallError> {
    shim.call_service(SANDBOX, method, request)
}

fn status(shim: &Shim) -> SandboxStatusResponse {
    let request = SandboxStatusRequest { sandbox_id: "pod".to_owned(), verbose: true };
    sandbox(shim, "SandboxStatus", &request).expect("status")
}

fn shim_pid(shim: &Shim) -> u32 {
    shim.call::<ConnectResponse>("Connect", &ConnectRequest { id: String::new() }).expect("connect").shim_pid
}

#[test]
fn containers_of_a_group_share_a_shim() {
    for label in ["io.kubernetes.cri.sandbox-id", "io.containerd.runc.v2.group"] {
        let shims = Shims::new();
        let mut one = shims.bundle("one", "sleep 1000");
        let mut two = shims.bundle("two", "sleep 1000");
        for bundle in [&mut one, &mut two] {
            bundle.spec["annotations"] = json!({ label: "pod" });
            bundle.save();
        }
        let first = shims.start("one", &one);
        let second = shims.start("two", &two);
        assert_eq!(first.address(), second.address());
        assert_eq!(shim_pid(&first), shim_pid(&second), "one process");
        let alone = shims.bundle("alone", "true");
        let third = shims.start("alone", &alone);
        assert_ne!(first.address(), third.address());
        third.shut_down("alone");

        for (id, bundle) in [("one", &one), ("two", &two)] {
            first.create(id, bundle);
            first.start(id, "");
        }
        // The end of one, with all that a supervisor does after it, leaves the other alone.
        first.kill("one", 9).expect("kill");
        assert_eq!(first.wait("one", ""), 137);
        first.delete("one", "").expect("delete");
        first.call::<()>("Shutdown", &ShutdownRequest { id: "one".to_owned(), now: false }).expect("asked");
        shims.action(one.folder(), "one", &["delete"], b"", None).ok();
        assert!(first.state("two", "").is_ok());
        first.finish("two");
        assert!(!first.address().exists(), "the socket goes with the shim");
    }
}

#[test]
fn starts_at_the_same_moment_make_one_shim() {
    let shims = Shims::new();
    let bundles: Vec<_> = (0..6)
        .map(|number| {
            let mut bundle = shims.bundle(&format!("c{number}"), "true");
            bundle.spec["annotations"] = json!({ "io.kubernetes.cri.sandbox-id": "pod" });
            bundle.save();
            bundle
        })
        .collect();
    let started: Vec<Shim> = std::thread::scope(|scope| {
        let start = |(number, bundle)| {
            let shims = &shims;
            scope.spawn(move || shims.start(&format!("c{number}"), bundle))
        };
        let threads: Vec<_> = bundles.iter().enumerate().map(start).collect();
        threads.into_iter().map(|thread| thread.join().expect("started")).collect()
    });
    let pids: std::collections::BTreeSet<u32> = started.iter().map(shim_pid).collect();
    assert_eq!(pids.len(), 1);
    started[0].shut_down("c0");
}

#[test]
fn a_sandbox_lives_from_create_to_shutdown() {
    let shims = Shims::new();
    let pod = shims.bundle("pod", "true");
    let shim = shims.start("pod", &pod);
    let id = || "pod".to_owned();
    let missing = sandbox::<()>(&shim, "PingSandbox", &PingRequest { sandbox_id: id() });
    assert_eq!(missing.expect_err("not made yet").kind, Kind::NotFound);

    let create = CreateSandboxRequest {
        sandbox_id: id(),
        bundle_path: pod.folder().display().to_string(),
        netns_path: "/run/netns/pod".to_owned(),
        ..CreateSandboxRequest::default()
    };
    sandbox::<()>(&shim, "CreateSandbox", &create).expect("create");
    let twice = sandbox::<()>(&shim, "CreateSandbox", &create).expect_err("there is one");
    assert_eq!(twice.kind, Kind::AlreadyExists);
    assert_eq!(status(&shim).state, "SANDBOX_NOTREADY");

    let started: StartSandboxResponse =
        sandbox(&shim, "StartSandbox", &StartSandboxRequest { sandbox_id: id() }).expect("start");
    assert_eq!(started.pid, shim_pid(&shim));
    assert!(started.created_at.is_some());
    let platform: PlatformResponse =
        sandbox(&shim, "Platform", &PlatformRequest { sandbox_id: id() }).expect("platform");
    assert_eq!(platform.platform.expect("a platform").os, "linux");
    sandbox::<()>(&shim, "PingSandbox", &PingRequest { sandbox_id: id() }).expect("it is there");
    let now = status(&shim);
    assert_eq!((now.state.as_str(), now.info["netnsPath"].as_str()), ("SANDBOX_READY", "/run/netns/pod"));

    // Without containers the shim of a sandbox stays.
    shim.call::<()>("Shutdown", &ShutdownRequest { id: id(), now: false }).expect("asked");
    assert!(shim.is_there());

    let mut bundle = shims.bundle("inside", "trap '' TERM; touch /ready; sleep 1000");
    bundle.spec["annotations"] = json!({ "io.kubernetes.cri.sandbox-id": "pod" });
    bundle.save();
    assert_eq!(shims.start("inside", &bundle).address(), shim.address());
    shim.create("inside", &bundle);
    shim.start("inside", "");
    eventually("it does not listen", || bundle.folder().join("rootfs/ready").exists());
    assert_eq!(status(&shim).info["containers"], "[\"inside\"]");
    let metrics: SandboxMetricsResponse =
        sandbox(&shim, "SandboxMetrics", &SandboxMetricsRequest { sandbox_id: id() }).expect("metrics");
    let metrics = metrics.metrics.expect("metrics");
    assert!(metrics.data.expect("the pod's cgroup").type_url.starts_with("io.containerd.cgroups.v"));

    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            sandbox::<WaitSandboxResponse>(&shim, "WaitSandbox", &WaitSandboxRequest { sandbox_id: id() })
        });
        let stop = StopSandboxRequest { sandbox_id: id(), timeout_secs: 1 };
        sandbox::<()>(&shim, "StopSandbox", &stop).expect("stop");
        sandbox::<()>(&shim, "StopSandbox", &stop).expect("stopping twice is no error");
        let exit = waiting.join().expect("joined").expect("waited");
        assert_eq!((exit.exit_status, exit.exited_at.is_some()), (0, true));
    });
    assert_eq!(shim.wait("inside", ""), 137, "what did not listen was killed");
    assert_eq!(status(&shim).state, "SANDBOX_NOTREADY");
    shim.delete("inside", "").expect("delete");
    assert!(shim.is_there(), "stopped is not shut down");
    sandbox::<()>(&shim, "ShutdownSandbox", &ShutdownSandboxRequest { sandbox_id: id() }).expect("shutdown");
    eventually("the shim is gone", || !shim.is_there());
}

#[test]
fn an_unknown_service_or_method_is_named() {
    let shims = Shims::new();
    let bundle = shims.bundle("x", "true");
    let shim = shims.start("x", &bundle);
    let ping = PingRequest::default();
    for (service, method) in
        [("no.such.Service", "Ping"), (SANDBOX, "NoSuch"), ("containerd.task.v2.Task", "X")]
    {
        let error = shim.call_service::<()>(service, method, &ping).expect_err("unknown");
        assert_eq!(error.kind, Kind::Unimplemented);
        assert!(error.message.contains(method) || error.message.contains(service), "{}", error.message);
    }
    shim.shut_down("x");
}
