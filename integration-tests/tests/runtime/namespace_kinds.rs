//! Namespaces and devices: made, joined, inherited or refused as the runtime-spec says.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use dhow_integration_tests::bundle::Bundle;
use dhow_integration_tests::runtime::Runtime;
use serde_json::{Value, json};

fn namespaces(bundle: &mut Bundle) -> &mut Vec<Value> {
    bundle.spec["linux"]["namespaces"].as_array_mut().expect("namespaces")
}

const SHOW: &str = "for kind in cgroup ipc mnt net pid uts time; do readlink /proc/self/ns/$kind; done";

#[test]
fn a_namespace_that_is_listed_is_new_and_one_that_is_not_is_the_runtimes() {
    let runtime = Runtime::new();
    let own =
        |kind: &str| fs::read_link(format!("/proc/self/ns/{kind}")).expect("ours").display().to_string();
    let mut bundle = runtime.bundle("few", SHOW);
    *namespaces(&mut bundle) = vec![json!({"type": "mount"})];
    // sysfs shows the network of who mounts it: without a namespace of its own it may not.
    bundle.spec["mounts"].as_array_mut().expect("mounts").retain(|mount| mount["type"] != "sysfs");
    bundle.spec.as_object_mut().expect("a spec").remove("hostname");
    bundle.spec["linux"].as_object_mut().expect("linux").remove("maskedPaths");
    bundle.save();
    let few = runtime.run(&runtime.id("few"), &bundle).ok();
    for kind in ["cgroup", "ipc", "net", "pid", "uts", "time"] {
        assert!(few.contains(&own(kind)), "{kind} is inherited: {few}");
    }
    assert!(!few.contains(&own("mnt")), "{few}");

    let mut bundle = runtime.bundle("all", SHOW);
    namespaces(&mut bundle).extend([json!({"type": "cgroup"}), json!({"type": "time"})]);
    bundle.save();
    let all = runtime.run(&runtime.id("all"), &bundle).ok();
    for kind in ["cgroup", "ipc", "mnt", "net", "pid", "uts", "time"] {
        assert!(!all.contains(&own(kind)), "{kind} is new: {all}");
    }
}

#[test]
fn a_path_joins_that_namespace() {
    let runtime = Runtime::new();
    let id = runtime.id("first");
    runtime.create(&id, &runtime.bundle("first", "sleep 1000"));
    let pid = runtime.state(&id)["pid"].as_i64().expect("a pid");
    let mut bundle = runtime.bundle("second", SHOW);
    for (kind, file) in [("network", "net"), ("ipc", "ipc"), ("uts", "uts")] {
        for namespace in namespaces(&mut bundle).iter_mut().filter(|namespace| namespace["type"] == kind) {
            namespace["path"] = json!(format!("/proc/{pid}/ns/{file}"));
        }
    }
    bundle.spec.as_object_mut().expect("a spec").remove("hostname");
    bundle.save();
    let seen = runtime.run(&runtime.id("second"), &bundle).ok();
    for file in ["net", "ipc", "uts"] {
        let joined = fs::read_link(format!("/proc/{pid}/ns/{file}")).expect("its namespace");
        assert!(seen.contains(&joined.display().to_string()), "{file}: {seen}");
    }
}

#[test]
fn a_namespace_that_is_none_is_refused() {
    let runtime = Runtime::new();
    let file = runtime.host().path("file");
    fs::write(&file, "").expect("write");
    let bad = [
        json!({"type": "network", "path": "/proc/self/ns/uts"}),
        json!({"type": "network", "path": file}),
        json!({"type": "network", "path": "/no/such/file"}),
        json!({"type": "network", "path": "proc/self/ns/net"}),
        json!({"type": "colour"}),
        json!({"type": "uts"}),
    ];
    for bad in bad {
        let mut bundle = runtime.bundle_again("bad", "true");
        namespaces(&mut bundle).retain(|namespace| namespace["type"] != "network");
        // The last one is there already: twice the same type.
        namespaces(&mut bundle).push(bad.clone());
        bundle.save();
        let done = runtime.run(&runtime.id("bad"), &bundle);
        assert_ne!(done.code, 0, "{bad}");
        assert!(!done.stderr.is_empty(), "{bad}");
        assert_eq!(runtime.call(&["list", "-q"]).ok(), "", "{bad}");
    }
}

#[test]
fn devices_of_the_spec_and_of_every_container_are_there() {
    let runtime = Runtime::new();
    let script = "for name in null zero full random urandom tty fuse own; do stat -c '%n %t:%T %a %u:%g' /dev/$name; done; \
                  for name in fd stdin stdout stderr ptmx; do readlink /dev/$name; done";
    let mut bundle = runtime.bundle("devices", script);
    bundle.spec["linux"]["devices"] = json!([
        {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o600, "uid": 7, "gid": 8},
        {"path": "/dev/own", "type": "p"},
    ]);
    bundle.save();
    let output = runtime.run(&runtime.id("devices"), &bundle).ok();
    let expected = [
        "/dev/null 1:3 666 0:0",
        "/dev/zero 1:5 666 0:0",
        "/dev/full 1:7 666 0:0",
        "/dev/random 1:8 666 0:0",
        "/dev/urandom 1:9 666 0:0",
        "/dev/tty 5:0 666 0:0",
        "/dev/fuse a:e5 600 7:8",
    ];
    for line in expected {
        assert!(output.lines().any(|seen| seen == line), "{line}: {output}");
    }
    assert!(output.contains("/dev/own 0:0"), "{output}");
    let links = ["/proc/self/fd", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2", "pts/ptmx"];
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[lines.len() - 5..], links);
}

#[test]
fn another_file_in_the_place_of_a_device_is_refused() {
    let runtime = Runtime::new();
    let mut bundle = runtime.bundle("taken", "true");
    fs::write(bundle.rootfs("taken"), "a file").expect("write");
    bundle.spec["linux"]["devices"] = json!([{"path": "/taken", "type": "c", "major": 1, "minor": 3}]);
    bundle.save();
    let done = runtime.run(&runtime.id("taken"), &bundle);
    let metadata = fs::symlink_metadata(bundle.rootfs("taken")).expect("it is there");
    assert_ne!(done.code, 0, "replaced: {}, {}", metadata.file_type().is_char_device(), metadata.mode());
}
