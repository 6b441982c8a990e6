//! Our shim below a stock containerd that is killed, restarted, or groups containers in a sandbox.

use dhow_integration_tests::client::{Client, Stdio, block_on};
use dhow_integration_tests::image;
use dhow_integration_tests::peers::{Containerd, Release};
use dhow_integration_tests::process::eventually;
use dhow_integration_tests::stack::processes;
use dhow_integration_tests::{bundle, busybox};
use dhow_proto::containerd::services::sandbox::v1::controller_client::ControllerClient;
use dhow_proto::containerd::services::sandbox::v1::{
    ControllerCreateRequest, ControllerShutdownRequest, ControllerStartRequest, ControllerStatusRequest,
    ControllerStopRequest, ControllerWaitRequest,
};
use dhow_proto::containerd::types::{Sandbox, sandbox};
use nix::sys::signal::{Signal, kill};

pub(crate) const IMAGE: &str = image::BUSYBOX;
pub(crate) const OURS: [&str; 2] = ["--runtime", "io.containerd.dhow.v2"];

pub(crate) fn add_image(containerd: Containerd) -> Containerd {
    containerd.ctr(&["images", "import", &image::archive(containerd.host())]).ok();
    containerd
}

fn with_image() -> Containerd {
    add_image(Containerd::start())
}

/// One of each release that there is.
fn releases() -> impl Iterator<Item = Containerd> {
    Release::all().map(Containerd::start_release).map(add_image)
}

pub(crate) fn stopped_with_137(containerd: &Containerd, task: &str) {
    eventually("it stopped", || containerd.ctr(&["tasks", "ls"]).ok().contains("STOPPED"));
    assert!(containerd.ctr(&["tasks", "delete", task]).stderr.contains("code 137"));
    containerd.ctr(&["containers", "rm", task]).ok();
}

#[test]
fn our_shim_outlives_a_containerd_that_ends() {
    for mut containerd in releases() {
        containerd.ctr(&["run", "-d", OURS[0], OURS[1], IMAGE, "task", "sleep", "1000"]).ok();
        for end in [Containerd::kill, Containerd::stop] {
            end(&mut containerd);
            containerd.launch();
            assert!(containerd.ctr(&["tasks", "ls"]).ok().contains("RUNNING"));
            let exec = ["tasks", "exec", "--exec-id", "e1", "task", "echo", "alive"];
            assert_eq!(containerd.ctr(&exec).ok(), "alive");
        }
        containerd.ctr(&["tasks", "kill", "-s", "SIGKILL", "task"]).ok();
        stopped_with_137(&containerd, "task");
    }
}

#[test]
fn an_exit_while_containerd_is_away_is_not_lost() {
    for mut containerd in releases() {
        containerd.ctr(&["run", "-d", OURS[0], OURS[1], IMAGE, "task", "sleep", "1000"]).ok();
        let init = containerd.init_pid("task");
        containerd.kill();
        kill(init, Signal::SIGKILL).expect("kill the task");
        let record = containerd.bundle("task").join("exit.json");
        eventually("the shim noted it", || record.exists());
        containerd.launch();
        stopped_with_137(&containerd, "task");
    }
}

#[test]
fn what_a_killed_shim_leaves_is_cleaned_away() {
    for containerd in releases() {
        containerd.ctr(&["run", "-d", OURS[0], OURS[1], IMAGE, "task", "sleep", "1000"]).ok();
        let init = containerd.init_pid("task");
        let name = containerd.host().name().to_owned();
        let shim = || processes("containerd-shim-dhow-v2").into_iter().find(|(_, line)| line.contains(&name));
        kill(shim().expect("a shim").0, Signal::SIGKILL).expect("kill the shim");
        eventually("containerd noticed", || !containerd.ctr(&["tasks", "ls"]).ok().contains("task "));
        eventually("the container is gone", || kill(init, None).is_err());
        eventually("its bundle is gone", || !containerd.bundle("task").exists());
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        assert!(!mounts.contains(&format!("{name}/state/")), "{mounts}");
        // The same name works again at once.
        containerd.ctr(&["containers", "rm", "task"]).ok();
        containerd.ctr(&["run", "--rm", OURS[0], OURS[1], IMAGE, "task", "true"]).ok();
    }
}

#[test]
fn a_checkpoint_that_cannot_be_is_refused_and_harmless() {
    let containerd = with_image();
    containerd.ctr(&["run", "-d", OURS[0], OURS[1], IMAGE, "task", "sleep", "1000"]).ok();
    // Neither CRIU nor a folder there: whichever the runtime says first.
    let path = "/dev/null/image";
    let refused = containerd.ctr(&["tasks", "checkpoint", "--image-path", path, "task"]).exits(1);
    assert!(refused.stderr.contains("checkpoint failed"), "{}", refused.stderr);
    assert!(containerd.ctr(&["tasks", "ls"]).ok().contains("RUNNING"));
    containerd.ctr(&["tasks", "kill", "-s", "SIGKILL", "task"]).ok();
    stopped_with_137(&containerd, "task");
}

/// containerd's own controller drives the sandbox service of our shim, and puts a container beside it.
#[test]
fn our_shim_is_a_sandbox_of_containerd_2() {
    let Some(release) = Release::newer() else { return };
    let containerd = Containerd::start_release(release);
    let cgroup = format!("{}/inside", containerd.host().cgroup());
    let rootfs = containerd.host().path("rootfs");
    busybox::tree(&rootfs);
    block_on(async {
        let client = Client::connect(&containerd.socket()).await;
        let mut controller = ControllerClient::new(client.channel());
        let (sandbox_id, sandboxer) = ("pod".to_owned(), "shim".to_owned());
        let runtime = sandbox::Runtime { name: OURS[1].to_owned(), options: None };
        let record = Sandbox { sandbox_id: "pod".to_owned(), runtime: Some(runtime), ..Sandbox::default() };
        macro_rules! call {
            ($method:ident, $request:ident { $($body:tt)* }) => {{
                let request = $request {
                    sandbox_id: sandbox_id.clone(),
                    sandboxer: sandboxer.clone(),
                    $($body)*
                };
                controller.$method(client.request(request)).await.expect(stringify!($method)).into_inner()
            }};
        }
        call!(
            create,
            ControllerCreateRequest { sandbox: Some(record), ..ControllerCreateRequest::default() }
        );
        let started = call!(start, ControllerStartRequest {});
        assert!(started.pid > 0);
        assert_eq!(call!(status, ControllerStatusRequest { verbose: false }).state, "SANDBOX_READY");

        let mut spec = bundle::spec(&cgroup, "sleep 1000");
        spec["annotations"] = serde_json::json!({ "io.kubernetes.cri.sandbox-id": "pod" });
        client.create_container("inside", &spec).await;
        client.create_task("inside", &rootfs, &Stdio::default()).await.expect("create the task");
        client.start("inside").await;
        let name = containerd.host().name();
        let shims = processes("containerd-shim-dhow-v2");
        assert_eq!(shims.iter().filter(|(_, line)| line.contains(name)).count(), 1, "{shims:?}");

        call!(stop, ControllerStopRequest { timeout_secs: 0 });
        assert_eq!(client.wait("inside").await.exit_status, 137);
        client.delete("inside").await;
        assert_eq!(call!(wait, ControllerWaitRequest {}).exit_status, 0);
        call!(shutdown, ControllerShutdownRequest {});
    });
    eventually("the shim is gone", || {
        !processes("containerd-shim-dhow-v2").iter().any(|(_, line)| line.contains(containerd.host().name()))
    });
}
