//! Sandboxes: records, the controller that drives a shim, and containers that join.

use std::fs;
use std::path::{Path, PathBuf};

use dhow_integration_tests::client::{Client, Stdio, block_on};
use dhow_integration_tests::process::eventually;
use dhow_integration_tests::supervisor::Supervisor;
use dhow_integration_tests::{binaries, busybox};
use dhow_proto::any;
use dhow_proto::containerd::services::containers::v1::{Container, CreateContainerRequest, container};
use dhow_proto::containerd::services::sandbox::v1::controller_client::ControllerClient;
use dhow_proto::containerd::services::sandbox::v1::store_client::StoreClient;
use dhow_proto::containerd::services::sandbox::v1::{
    ControllerCreateRequest, ControllerPlatformRequest, ControllerShutdownRequest, ControllerStartRequest,
    ControllerStatusRequest, ControllerStatusResponse, ControllerStopRequest, ControllerWaitRequest,
    StoreCreateRequest, StoreDeleteRequest, StoreListRequest, StoreUpdateRequest,
};
use dhow_proto::containerd::services::tasks::v1::KillRequest;
use dhow_proto::containerd::types::{Sandbox, sandbox::Runtime};
use serde_json::json;
use tonic::Code;
use tonic::transport::Channel;

const OURS: &str = "io.containerd.dhow.v2";

/// A client of a supervisor's sandboxes.
struct Pods(Client);

impl Pods {
    async fn connect(supervisor: &Supervisor) -> Self {
        Self(Client::connect(&supervisor.socket()).await)
    }

    fn store(&self) -> StoreClient<Channel> {
        StoreClient::new(self.0.channel())
    }

    fn controller(&self) -> ControllerClient<Channel> {
        ControllerClient::new(self.0.channel())
    }

    async fn record(&self, sandbox: Sandbox) -> Result<(), tonic::Status> {
        let request = StoreCreateRequest { sandbox: Some(sandbox) };
        self.store().create(self.0.request(request)).await.map(drop)
    }

    async fn create(&self, sandbox: Sandbox) -> Result<(), tonic::Status> {
        let request = ControllerCreateRequest {
            sandbox_id: sandbox.sandbox_id.clone(),
            sandbox: Some(sandbox),
            sandboxer: "shim".to_owned(),
            ..Default::default()
        };
        self.controller().create(self.0.request(request)).await.map(drop)
    }

    async fn status(&self, id: &str) -> ControllerStatusResponse {
        let (sandbox_id, sandboxer) = (id.to_owned(), "shim".to_owned());
        let request = ControllerStatusRequest { sandbox_id, sandboxer, ..Default::default() };
        self.controller().status(self.0.request(request)).await.expect("status").into_inner()
    }

    async fn stop(&self, id: &str) {
        let (sandbox_id, sandboxer) = (id.to_owned(), "shim".to_owned());
        let request = ControllerStopRequest { sandbox_id, sandboxer, ..Default::default() };
        self.controller().stop(self.0.request(request)).await.expect("stop");
    }

    async fn shut_down(&self, id: &str) -> Result<(), tonic::Status> {
        let request = ControllerShutdownRequest { sandbox_id: id.to_owned(), sandboxer: "shim".to_owned() };
        self.controller().shutdown(self.0.request(request)).await.map(drop)
    }

    /// Runs a container of the pod; the pid of its first process.
    async fn run(&self, supervisor: &Supervisor, id: &str, rootfs: &Path) -> u32 {
        let container = Container {
            id: id.to_owned(),
            runtime: Some(container::Runtime { name: OURS.to_owned(), options: None }),
            spec: Some(any::pack_json(any::SPEC_URL, spec(supervisor, id).to_string().into_bytes())),
            sandbox: "pod".to_owned(),
            ..Container::default()
        };
        let request = CreateContainerRequest { container: Some(container) };
        self.0.containers().create(self.0.request(request)).await.expect("create container");
        let pid = self.0.create_task(id, rootfs, &Stdio::default()).await.expect("create task");
        self.0.start(id).await;
        pid
    }
}

fn sandbox(runtime: &str) -> Sandbox {
    Sandbox {
        sandbox_id: "pod".to_owned(),
        runtime: Some(Runtime { name: runtime.to_owned(), options: None }),
        sandboxer: "shim".to_owned(),
        ..Sandbox::default()
    }
}

fn spec(supervisor: &Supervisor, id: &str) -> serde_json::Value {
    json!({
        "ociVersion": "1.1.0",
        "root": { "path": "rootfs" },
        "process": { "args": ["sleep", "1000"], "cwd": "/", "user": { "uid": 0, "gid": 0 }, "env": ["PATH=/bin"] },
        "mounts": [{ "destination": "/proc", "type": "proc", "source": "proc" }],
        "linux": {
            "cgroupsPath": format!("{}/{id}", supervisor.host().cgroup()),
            "namespaces": [{ "type": "pid" }, { "type": "mount" }]
        }
    })
}

fn rootfs(supervisor: &Supervisor) -> PathBuf {
    let rootfs = supervisor.host().path("rootfs");
    if !rootfs.exists() {
        busybox::tree(&rootfs);
    }
    rootfs
}

fn parent(pid: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let after = stat.rsplit(')').next().expect("fields");
    after.split_whitespace().nth(1).and_then(|parent| parent.parse().ok()).expect("a parent")
}

#[test]
fn a_pod_lives_in_one_shim_and_outlives_us() {
    let mut supervisor = Supervisor::start();
    let rootfs = rootfs(&supervisor);
    let shim = block_on(async {
        let pods = Pods::connect(&supervisor).await;
        pods.record(sandbox(OURS)).await.expect("record");
        pods.create(sandbox(OURS)).await.expect("create");
        assert_eq!(pods.create(sandbox(OURS)).await.expect_err("twice").code(), Code::AlreadyExists);
        let request = ControllerStartRequest { sandbox_id: "pod".to_owned(), sandboxer: "shim".to_owned() };
        let started = pods.controller().start(pods.0.request(request)).await.expect("start").into_inner();
        assert!(started.address.starts_with("ttrpc+unix:///"), "{}", started.address);
        let request =
            ControllerPlatformRequest { sandbox_id: "pod".to_owned(), sandboxer: "shim".to_owned() };
        let platform = pods.controller().platform(pods.0.request(request)).await.expect("platform");
        assert_eq!(platform.into_inner().platform.expect("platform").os, "linux");
        let shim = pods.status("pod").await.pid;
        for id in ["one", "two"] {
            let pid = pods.run(&supervisor, id, &rootfs).await;
            assert_eq!(parent(pid), shim, "{id} lives in the pod's shim");
        }
        shim
    });

    supervisor.kill();
    supervisor.launch();
    block_on(async {
        let pods = Pods::connect(&supervisor).await;
        let status = pods.status("pod").await;
        assert_eq!((status.pid, status.state.as_str()), (shim, "SANDBOX_READY"));
        let request = KillRequest { container_id: "one".to_owned(), signal: 9, ..KillRequest::default() };
        pods.0.tasks().kill(pods.0.request(request)).await.expect("kill");
        pods.0.wait("one").await;
        pods.0.delete("one").await;
        assert!(pods.0.has_task("two").await, "the end of one leaves the other alone");
        let pid = pods.run(&supervisor, "one", &rootfs).await;
        assert_eq!(parent(pid), shim, "its id is free at once");

        pods.stop("pod").await;
        let (sandbox_id, sandboxer) = ("pod".to_owned(), "shim".to_owned());
        let request = ControllerWaitRequest { sandbox_id, sandboxer };
        pods.controller().wait(pods.0.request(request)).await.expect("wait");
        for id in ["one", "two"] {
            assert_eq!(pods.0.wait(id).await.exit_status, 137);
            pods.0.delete(id).await;
        }
        pods.shut_down("pod").await.expect("shutdown");
        assert_eq!(pods.status("pod").await.state, "", "nothing is known of it");
        let request = StoreDeleteRequest { sandbox_id: "pod".to_owned() };
        pods.store().delete(pods.0.request(request)).await.expect("forget it");
    });
    eventually("the shim is gone", || {
        let stat = fs::read_to_string(format!("/proc/{shim}/stat"));
        stat.map_or(true, |stat| stat.contains(") Z "))
    });
}

#[test]
fn a_pod_whose_shim_is_killed_is_cleaned_up_after() {
    let supervisor = Supervisor::start();
    let rootfs = rootfs(&supervisor);
    block_on(async {
        let pods = Pods::connect(&supervisor).await;
        pods.record(sandbox(OURS)).await.expect("record");
        // A client of containerd 2.1 starts what it has recorded.
        let request = ControllerStartRequest { sandbox_id: "pod".to_owned(), sandboxer: String::new() };
        pods.controller().start(pods.0.request(request)).await.expect("start");
        pods.run(&supervisor, "one", &rootfs).await;
        let shim = i32::try_from(pods.status("pod").await.pid).expect("a pid");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(shim), nix::sys::signal::Signal::SIGKILL)
            .expect("kill -9");
        while pods.0.has_task("one").await || !pods.status("pod").await.state.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        pods.create(sandbox(OURS)).await.expect("the id is free");
        pods.shut_down("pod").await.expect("shutdown");
    });
    // A task is not there any more as soon as its shim is gone; taking away what it left takes a moment.
    let bundle = supervisor.host().path("state/io.containerd.runtime.v2.task/tests/one");
    eventually("the task is cleaned up after", || !bundle.exists());
}

#[test]
fn a_shim_that_knows_no_pods_leaves_nothing() {
    let supervisor = Supervisor::start();
    let stock = binaries::in_path("containerd-shim-runc-v2").expect("containerd is installed");
    block_on(async {
        let pods = Pods::connect(&supervisor).await;
        let mut pod = sandbox(stock.to_str().expect("UTF-8"));
        let spec = spec(&supervisor, "pod").to_string();
        pod.spec = Some(any::pack_json(any::SPEC_URL, spec.into_bytes()));
        // Each finds a shim of its own, not the last one on its way out.
        for _ in 0..3 {
            let refused = pods.create(pod.clone()).await.expect_err("refused");
            assert_eq!(refused.code(), Code::Unimplemented, "{refused}");
        }
        let missing = pods.create(sandbox("io.containerd.missing.v2")).await.expect_err("refused");
        assert!(missing.message().contains("binary not installed"), "{missing}");
    });
    let bundles = supervisor.host().path("state/io.containerd.sandbox.controller.v1.shim/tests");
    assert_eq!(fs::read_dir(bundles).expect("list").count(), 0);
}

#[test]
fn records_are_kept_listed_and_checked() {
    let supervisor = Supervisor::start();
    block_on(async {
        let pods = Pods::connect(&supervisor).await;
        let mut labelled = sandbox(OURS);
        labelled.labels.insert("app".to_owned(), "web".to_owned());
        pods.record(labelled.clone()).await.expect("record");
        assert_eq!(pods.record(labelled.clone()).await.expect_err("twice").code(), Code::AlreadyExists);
        let list = async |filter: &str| {
            let request = StoreListRequest { filters: vec![filter.to_owned()] };
            pods.store().list(pods.0.request(request)).await.expect("list").into_inner().list.len()
        };
        assert_eq!((list("labels.app==web").await, list("labels.app==db").await), (1, 0));
        labelled.labels.insert("app".to_owned(), "x".repeat(4096));
        let fields = vec!["labels.app".to_owned()];
        let request = StoreUpdateRequest { sandbox: Some(labelled.clone()), fields };
        let long = pods.store().update(pods.0.request(request)).await.expect_err("too long");
        assert_eq!(long.code(), Code::InvalidArgument, "{long}");
        labelled.sandbox_id = "a/b".to_owned();
        assert_eq!(pods.record(labelled).await.expect_err("no name").code(), Code::InvalidArgument);
        let request = StoreDeleteRequest { sandbox_id: "pod".to_owned() };
        pods.store().delete(pods.0.request(request.clone())).await.expect("delete");
        let gone = pods.store().delete(pods.0.request(request)).await.expect_err("gone");
        assert_eq!(gone.code(), Code::NotFound, "{gone}");
        let unknown = ControllerStopRequest { sandboxer: "other".to_owned(), ..Default::default() };
        let unknown = pods.controller().stop(pods.0.request(unknown)).await.expect_err("unknown");
        assert_eq!(unknown.code(), Code::NotFound, "{unknown}");
    });
}
