//! How a supervisor starts a shim and cleans up after it: `start`, `delete`, `-info`, in every form they have had.

use dhow_integration_tests::process::{eventually, run};
use dhow_integration_tests::shim::{NAMESPACE, Shims};
use dhow_proto::any;
use dhow_proto::containerd::runc::v1::Options;
use dhow_proto::containerd::runtime::bootstrap::v1::{BootstrapParams, BootstrapResult};
use dhow_proto::containerd::task::v3::{ConnectRequest, ConnectResponse, DeleteResponse, ShutdownRequest};
use dhow_proto::containerd::types::RuntimeInfo;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use prost::Message;
use serde_json::Value;

#[test]
fn start_answers_in_the_form_that_was_asked_for() {
    let shims = Shims::new();
    let bundle = shims.bundle("x", "true");
    let plain = shims.action(bundle.folder(), "x", &["start"], b"", None).ok();
    assert!(plain.starts_with("unix:///"), "{plain}");

    // A second start of the same ID finds the first shim.
    let json = shims.action(bundle.folder(), "x", &["start"], b"", Some("3")).ok();
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((json["version"].as_u64(), json["protocol"].as_str()), (Some(3), Some("ttrpc")));
    assert_eq!(json["address"], plain);

    let params = BootstrapParams {
        instance_id: "x".to_owned(),
        namespace: NAMESPACE.to_owned(),
        containerd_grpc_address: shims.host().path("s.sock").display().to_string(),
        ..BootstrapParams::default()
    };
    let done = shims.action(bundle.folder(), "x", &["start"], &params.encode_to_vec(), Some("3"));
    let result = BootstrapResult::decode(done.stdout.as_bytes()).expect("a result");
    assert_eq!((result.version, result.address, result.protocol), (3, plain, "ttrpc".to_owned()));

    shims.start("x", &bundle).shut_down("x");
}

#[test]
fn info_tells_what_the_runtime_can() {
    let shims = Shims::new();
    let folder = shims.host().folder("info");
    let options = any::pack(&Options { systemd_cgroup: true, ..Options::default() });
    let done = shims.action_bytes(&folder, "x", &["-info"], &options.encode_to_vec());
    let info = RuntimeInfo::decode(done.as_slice()).expect("a RuntimeInfo");
    assert_eq!(info.name, "io.containerd.dhow.v2");
    assert!(!info.version.expect("a version").version.is_empty());
    assert_eq!(info.options, Some(options));
    let features = info.features.expect("features");
    assert_eq!(features.type_url, "types.containerd.io/opencontainers/runtime-spec/1/features/Features");
    let features: Value = serde_json::from_slice(&features.value).expect("JSON");
    assert!(features["ociVersionMin"].is_string() && features["hooks"].is_array(), "{features}");
    assert!(shims.action(&folder, "x", &["-v"], b"", None).ok().contains("Version:"));
}

#[test]
fn what_it_does_not_know_is_refused_by_name() {
    let shims = Shims::new();
    let folder = shims.host().folder("refused");
    for (arguments, name) in [(["-colour", "start"], "colour"), (["-debug", "dance"], "dance")] {
        let done = shims.action(&folder, "x", &arguments, b"", None);
        assert_ne!(done.code, 0);
        assert!(done.stderr.contains(name), "{}", done.stderr);
    }
    let options = Options { shim_cgroup: "/no/such/cgroup".to_owned(), ..Options::default() };
    let done = shims.action(&folder, "x", &["start"], &any::pack(&options).encode_to_vec(), None);
    assert_ne!(done.code, 0);
    assert!(done.stderr.contains("/no/such/cgroup"), "{}", done.stderr);
}

#[test]
fn cores_are_shared_with_nobody_else_or_that_is_refused() {
    let shims = Shims::new();
    let bundle = shims.bundle("core", "true");
    let done = run(shims.command(bundle.folder(), "core", &["start"], None).env("SCHED_CORE", "1"));
    if done.code == 0 {
        shims.start("core", &bundle).shut_down("core");
        return;
    }
    // This kernel, or its processor, cannot do it.
    assert!(done.stderr.contains("enable sched core support: "), "{}", done.stderr);
    assert!(!bundle.folder().join("address").exists(), "nothing is left");
}

#[test]
fn delete_ends_what_a_killed_shim_left() {
    let shims = Shims::new();
    let bundle = shims.bundle("left", "sleep 1000");
    let shim = shims.start("left", &bundle);
    let pid = shim.create("left", &bundle);
    shim.start("left", "");
    let connect: ConnectResponse =
        shim.call("Connect", &ConnectRequest { id: "left".to_owned() }).expect("connect");
    assert_eq!(connect.task_pid, pid);
    kill(Pid::from_raw(connect.shim_pid.cast_signed()), Signal::SIGKILL).expect("kill the shim");
    eventually("the shim is gone", || !shim.is_there());

    let printed = shims.action_bytes(bundle.folder(), "left", &["delete"], b"");
    let response = DeleteResponse::decode(printed.as_slice()).expect("a DeleteResponse");
    assert_eq!((response.pid, response.exit_status), (pid, 137));
    assert!(response.exited_at.is_some());
    assert!(!shim.address().exists());
    // Again: a supervisor that died meanwhile repeats itself.
    let again = shims.action_bytes(bundle.folder(), "left", &["delete"], b"");
    assert!(!again.is_empty());
}

#[test]
fn delete_knows_an_exit_that_was_recorded() {
    let shims = Shims::new();
    let bundle = shims.bundle("known", "exit 3");
    let shim = shims.start("known", &bundle);
    shim.create("known", &bundle);
    shim.start("known", "");
    assert_eq!(shim.wait("known", ""), 3);
    shim.call::<()>("Shutdown", &ShutdownRequest { id: "known".to_owned(), now: true }).expect("shutdown");
    eventually("the shim is gone", || !shim.is_there());
    let printed = shims.action_bytes(bundle.folder(), "known", &["-bundle", ".", "delete"], b"");
    assert_eq!(DeleteResponse::decode(printed.as_slice()).expect("a DeleteResponse").exit_status, 3);
}
