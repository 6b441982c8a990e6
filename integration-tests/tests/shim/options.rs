//! The options of `io.containerd.runc.v2`: each does what it says.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use dhow_integration_tests::binaries;
use dhow_integration_tests::shim::{Shim, Shims};
use dhow_proto::containerd::runc::v1::Options;
use dhow_proto::containerd::task::v3::{ConnectRequest, ConnectResponse, CreateTaskRequest};
use dhow_proto::error::Kind;
use prost_types::Any;

/// A runtime that notes its command lines; the second value is where.
fn noting_runtime(shims: &Shims) -> (String, PathBuf) {
    let (script, notes) = (shims.host().path("noting-runtime"), shims.host().path("notes"));
    let text = format!(
        "#!/bin/sh\necho \"$@\" >> {}\nexec {} \"$@\"\n",
        notes.display(),
        binaries::runtime().display()
    );
    fs::write(&script, text).expect("write a script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("chmod");
    (script.display().to_string(), notes)
}

#[test]
fn binary_root_pivot_and_keyring_reach_the_runtime() {
    let shims = Shims::new();
    let (binary_name, notes) = noting_runtime(&shims);
    let root = shims.host().path("elsewhere").display().to_string();
    let options = Options {
        binary_name,
        root: root.clone(),
        no_pivot_root: true,
        no_new_keyring: true,
        ..Options::default()
    };
    let bundle = shims.bundle("x", "exit 3");
    let shim = shims.start_with("x", &bundle, &options);
    shim.create_with("x", &bundle, &options).expect("create");
    assert!(fs::exists(format!("{root}/tests/x")).expect("look"), "the state lies in Root/NAMESPACE");
    shim.start("x", "");
    assert_eq!(shim.wait("x", ""), 3);
    shim.delete("x", "").expect("delete");
    shim.shut_down("x");
    let notes = fs::read_to_string(notes).expect("notes");
    let create = notes.lines().next().expect("a command");
    for flag in ["--no-pivot", "--no-new-keyring", "--root", " create "] {
        assert!(create.contains(flag), "{flag}: {create}");
    }
    assert!(!notes.contains("--systemd-cgroup"), "{notes}");
}

#[test]
fn systemd_cgroup_reaches_the_runtime() {
    let shims = Shims::new();
    let (binary_name, notes) = noting_runtime(&shims);
    let options = Options { binary_name, systemd_cgroup: true, ..Options::default() };
    let mut bundle = shims.bundle("x", "true");
    bundle.spec["linux"]["cgroupsPath"] = format!("system.slice:{}:x", shims.host().name()).into();
    bundle.save();
    let shim = shims.start_with("x", &bundle, &options);
    // Whether this host has systemd is not the question here.
    if shim.create_with("x", &bundle, &options).is_ok() {
        shim.kill("x", 9).expect("kill");
        shim.wait("x", "");
        shim.delete("x", "").expect("delete");
    }
    shim.shut_down("x");
    let notes = fs::read_to_string(notes).expect("notes");
    assert!(notes.lines().all(|line| line.contains("--systemd-cgroup")), "{notes}");
}

#[test]
fn pipes_belong_to_whom_the_options_say() {
    let shims = Shims::new();
    let options = Options { io_uid: 1234, io_gid: 4321, ..Options::default() };
    // A runtime gives the streams of a process to its user, and leaves their group.
    let mut bundle = shims.bundle("x", "stat -L -c %u:%g /proc/self/fd/1");
    bundle.spec["process"]["user"] = serde_json::json!({"uid": 1234, "gid": 1});
    bundle.save();
    let shim = shims.start_with("x", &bundle, &options);
    shim.create_with("x", &bundle, &options).expect("create");
    shim.start("x", "");
    assert_eq!(shim.wait("x", ""), 0);
    shim.delete("x", "").expect("delete");
    assert_eq!(Shim::output(&bundle), "1234:4321\n");
    shim.shut_down("x");
}

#[test]
fn the_shim_goes_into_the_cgroup_that_the_options_name() {
    let shims = Shims::new();
    let name = format!("{}/shims", shims.host().cgroup());
    let folders: Vec<PathBuf> = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"]
        .into_iter()
        .filter(|root| fs::exists(format!("{root}/cgroup.procs")).unwrap_or(false))
        .map(|root| PathBuf::from(format!("{root}{name}")))
        .take(1)
        .collect();
    let folder = folders.first().expect("a hierarchy");
    fs::create_dir_all(folder).expect("make a cgroup");
    let options = Options { shim_cgroup: name.clone(), ..Options::default() };
    let bundle = shims.bundle("x", "true");
    let shim = shims.start_with("x", &bundle, &options);
    let connect: ConnectResponse = shim.call("Connect", &ConnectRequest::default()).expect("connect");
    let cgroups = fs::read_to_string(format!("/proc/{}/cgroup", connect.shim_pid)).expect("its cgroups");
    assert!(cgroups.lines().any(|line| line.ends_with(&name)), "{cgroups}");
    shim.shut_down("x");
    dhow_integration_tests::process::eventually("the cgroup is empty", || fs::remove_dir(folder).is_ok());
}

#[test]
fn options_of_another_runtime_are_refused_by_name() {
    let shims = Shims::new();
    let bundle = shims.bundle("x", "true");
    let shim = shims.start("x", &bundle);
    let request = CreateTaskRequest {
        id: "x".to_owned(),
        bundle: bundle.folder().display().to_string(),
        options: Some(Any { type_url: "some.other.Options".to_owned(), value: vec![1] }),
        ..CreateTaskRequest::default()
    };
    let error = shim.call::<()>("Create", &request).expect_err("refused");
    assert_eq!(error.kind, Kind::InvalidArgument);
    assert!(error.message.contains("some.other.Options"), "{}", error.message);
    shim.shut_down("x");
}
