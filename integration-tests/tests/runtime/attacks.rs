//! Attacks from a hostile image, a hostile process or a hostile moment. Each performs the attack.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use dhow_integration_tests::process::run;
use dhow_integration_tests::runtime::Runtime;
use serde_json::{Value, json};

/// CVE-2019-5736: a process of the container opens the runtime through `/proc/PID/exe` and writes to it.
#[test]
fn the_runtime_is_not_overwritten_from_inside() {
    let runtime = Runtime::on_a_copy();
    let before = fs::read(runtime.binary()).expect("read the copy");
    let id = runtime.id("exe");
    let script =
        "while :; do for exe in /proc/[0-9]*/exe; do echo overwritten > $exe; done 2>/dev/null; done";
    runtime.create(&id, &runtime.bundle("exe", script));
    runtime.call(&["start", &id]).ok();
    for _ in 0..10 {
        runtime.call(&["exec", &id, "/bin/true"]);
        runtime.call(&["exec", &id, "/proc/self/exe"]);
    }
    assert!(fs::read(runtime.binary()).expect("read the copy") == before, "the runtime was overwritten");
}

/// The same attack at leisure: a descriptor taken while the file is busy is opened for writing once it is not.
#[test]
fn a_kept_descriptor_of_the_runtime_is_read_only() {
    let runtime = Runtime::on_a_copy();
    let id = runtime.id("kept");
    runtime.create(&id, &runtime.bundle("kept", "true"));
    let pid = runtime.state(&id)["pid"].as_i64().expect("a pid");
    let kept = fs::File::open(format!("/proc/{pid}/exe")).expect("open the waiting process's program");
    runtime.call(&["start", &id]).ok();
    runtime.wait_for(&id, "stopped");
    let again = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&kept));
    let error = fs::File::options().write(true).open(again).expect_err("the runtime is sealed");
    assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
}

/// CVE-2024-21626: a working directory that is a descriptor of the host leaked into the container.
#[test]
fn a_working_directory_cannot_be_a_leaked_descriptor() {
    let runtime = Runtime::new();
    for fd in 3..20 {
        let mut bundle =
            runtime.bundle(&format!("cwd{fd}"), "cat ../../../../../../etc/hostname /etc/os-release; ls ..");
        bundle.spec["process"]["cwd"] = json!(format!("/proc/self/fd/{fd}"));
        bundle.save();
        let done = runtime.run(&runtime.id("cwd"), &bundle);
        let host = fs::read_to_string("/etc/os-release").expect("the host's release");
        assert!(
            !done.stdout.contains(&host) && !done.stdout.contains("rootfs"),
            "descriptor {fd}: {}",
            done.stdout
        );
    }
}

/// CVE-2016-9962 and its kin: whoever may trace what is started in a container looks at it from the first moment on. Its
/// root and the descriptors that its caller leaked are not the host's.
#[test]
fn what_an_exec_brings_along_is_not_the_hosts() {
    let runtime = Runtime::new();
    let leaked = runtime.host().folder("leaked");
    fs::write(leaked.join("secret"), "").expect("write");
    let host = runtime.host().path("leaked").display().to_string();
    let watch = format!(
        "while :; do set -- /proc/[0-9]*/fd/9/secret /proc/[0-9]*/root{host} /proc/[0-9]*/cwd{host}; \
         for found; do [ -e $found ] && echo $found >> /found; done; done"
    );
    for (name, users) in [("mapped", true), ("plain", false)] {
        let id = runtime.id(name);
        let mut bundle = runtime.bundle(name, &watch);
        if users {
            let mapping = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
            bundle.spec["linux"]["uidMappings"] = mapping.clone();
            bundle.spec["linux"]["gidMappings"] = mapping;
            let namespaces = bundle.spec["linux"]["namespaces"].as_array_mut().expect("namespaces");
            namespaces.push(json!({"type": "user"}));
            std::os::unix::fs::chown(bundle.rootfs(""), Some(100_000), Some(100_000)).expect("chown");
        }
        // All that there are: what is left out of them is what this host does not have either.
        let features: Value = serde_json::from_str(&runtime.call(&["features"]).ok()).expect("JSON");
        for set in ["bounding", "effective", "permitted"] {
            bundle.spec["process"]["capabilities"][set] = features["linux"]["capabilities"].clone();
        }
        bundle.save();
        runtime.create(&id, &bundle);
        runtime.call(&["start", &id]).ok();
        let exec = format!("exec {} \"$@\" 9<{host}", runtime.binary().display());
        for _ in 0..20 {
            let mut leak = Command::new("bash");
            leak.args(["-c", &exec, "-", "--root"]).arg(runtime.host().path("runtime"));
            run(leak.args(["exec", &id, "true"])).ok();
        }
        let found = fs::read_to_string(bundle.rootfs("found")).unwrap_or_default();
        assert_eq!(found.lines().next(), None, "{name}");
        runtime.call(&["delete", "--force", &id]).ok();
    }
}

/// CVE-2026-41579: `/dev` of the image is a symlink, and the runtime makes its devices there.
#[test]
fn devices_are_not_made_through_a_symlink() {
    let runtime = Runtime::new();
    let victim = runtime.host().folder("victim");
    let mut bundle = runtime.bundle("dev", "true");
    fs::remove_dir(bundle.rootfs("dev")).expect("remove /dev");
    symlink(&victim, bundle.rootfs("dev")).expect("a hostile link");
    let mounts = bundle.spec["mounts"].as_array_mut().expect("mounts");
    mounts.retain(|mount| !mount["destination"].as_str().is_some_and(|target| target.starts_with("/dev")));
    bundle.save();
    drop(runtime.run(&runtime.id("dev"), &bundle));
    assert_eq!(fs::read_dir(&victim).expect("list").count(), 0, "something was made on the host");
}

/// CVE-2026-30892 and its kin: the passwd of the image is a pipe that never ends, or a link to the host.
#[test]
fn a_hostile_passwd_neither_hangs_nor_tells() {
    let runtime = Runtime::new();
    for name in ["pipe", "link", "device", "huge", "binary"] {
        let bundle = runtime.bundle(name, "echo $HOME");
        let passwd = bundle.rootfs("etc/passwd");
        fs::remove_file(&passwd).expect("remove passwd");
        match name {
            "link" => symlink("/etc/passwd", &passwd).expect("link"),
            "device" => symlink("/dev/zero", &passwd).expect("link"),
            "huge" => fs::write(&passwd, vec![b'x'; 64 << 20]).expect("write"),
            "binary" => {
                fs::write(&passwd, b"\xff\0:x:0:0::/root\nroot:x:99999999999:-1\n::::::\n").expect("write")
            }
            _ => run(Command::new("mkfifo").arg(&passwd)).ok().clear(),
        }
        let done = runtime.run(&runtime.id(name), &bundle);
        assert!(
            done.code != 0 || done.stdout == "/\n" || done.stdout == "/root\n",
            "{name}: {}",
            done.stdout
        );
    }
}

/// A mount whose target goes through `..` and links of the image must stay below its root.
#[test]
fn mount_targets_stay_below_the_root() {
    let runtime = Runtime::new();
    let victim = runtime.host().folder("victim");
    let mut bundle = runtime.bundle("dots", "true");
    symlink("../../../../../../../..", bundle.rootfs("up")).expect("a hostile link");
    let target = format!("/up{}", victim.display());
    let mounts = bundle.spec["mounts"].as_array_mut().expect("mounts");
    mounts.push(json!({"destination": target, "type": "tmpfs", "source": "tmpfs", "options": []}));
    bundle.save();
    drop(runtime.run(&runtime.id("dots"), &bundle));
    let made_inside = bundle.rootfs(victim.strip_prefix("/").expect("absolute").to_str().expect("UTF-8"));
    assert!(made_inside.exists(), "the target was made inside the root");
    assert_eq!(fs::read_dir(&victim).expect("list").count(), 0);
}

#[test]
fn a_spec_that_is_no_spec_is_refused() {
    let runtime = Runtime::new();
    let bundle = runtime.bundle("bad", "true");
    let config = bundle.folder().join("config.json");
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let huge = format!("{{\"ociVersion\":\"1.0.0\",\"annotations\":{{\"a\":\"{}\"}}}}", "x".repeat(80 << 20));
    for text in ["", "{", "null", "[]", "{\"ociVersion\":\"1.0.0\"}", "\0\0\0", deep.as_str(), huge.as_str()]
    {
        fs::write(&config, text).expect("write a bad spec");
        let done = runtime.run(&runtime.id("bad"), &bundle);
        assert!(done.code > 0 && done.code < 128, "{}: {}", text.len(), done.stderr);
        assert!(!done.stderr.is_empty());
    }
    let left = fs::read_dir(runtime.host().path("runtime")).into_iter().flatten().count();
    assert_eq!(left, 0, "a refused container leaves no state");
}

#[test]
fn a_frozen_container_is_killed_and_deleted() {
    let runtime = Runtime::new();
    let id = runtime.id("frozen");
    runtime.create(&id, &runtime.bundle("frozen", "sleep 1000"));
    runtime.call(&["start", &id]).ok();
    runtime.call(&["pause", &id]).ok();
    runtime.call(&["delete", "--force", &id]).ok();
    assert_ne!(runtime.call(&["state", &id]).code, 0);
}
