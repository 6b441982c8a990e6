//! Mount options: flags of bind mounts, recursive ones, mapped owners, propagation, tmpcopyup.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use dhow_integration_tests::bundle::Bundle;
use dhow_integration_tests::process::call;
use dhow_integration_tests::runtime::Runtime;
use serde_json::{Value, json};

fn add_mount(bundle: &mut Bundle, source: &Path, options: &[&str]) {
    let mount = json!({"destination": "/mnt", "source": source, "type": "bind", "options": options});
    bundle.spec["mounts"].as_array_mut().expect("mounts").push(mount);
}

fn map_users(spec: &mut Value) {
    spec["linux"]["namespaces"].as_array_mut().expect("namespaces").push(json!({"type": "user"}));
    let mapping = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    spec["linux"]["uidMappings"] = mapping.clone();
    spec["linux"]["gidMappings"] = mapping;
}

/// A tmpfs on the host with these flags.
struct Source(std::path::PathBuf);

impl Source {
    fn new(runtime: &Runtime, flags: &str) -> Self {
        let folder = runtime.host().folder("source");
        call("mount", &["-t", "tmpfs", "tmpfs", folder.to_str().expect("UTF-8")]).ok();
        let source = Self(folder);
        source.remount(flags);
        source
    }

    fn remount(&self, flags: &str) {
        let options = format!("remount,bind,{flags}");
        call("mount", &["-o", &options, self.0.to_str().expect("UTF-8")]).ok();
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        call("umount", &["-R", "-l", self.0.to_str().expect("UTF-8")]);
    }
}

#[test]
fn a_bind_mount_has_the_asked_flags_and_keeps_what_is_locked() {
    let runtime = Runtime::new();
    let source = Source::new(&runtime, "rw");
    for (place, (host, options, mapped, has, has_not)) in [
        ("ro,noexec,nodiratime", &["bind"][..], false, &["ro", "noexec", "nodiratime"][..], &["rw"][..]),
        ("ro,noexec,nodiratime", &["bind", "dev"], false, &["rw", "nodiratime"], &["noexec"]),
        ("nosuid,nodev,noatime", &["bind", "ro"], false, &["ro", "noatime"], &["nosuid", "nodev"]),
        ("nosuid,nodev,noatime", &["bind", "strictatime"], false, &["rw"], &["noatime", "relatime"]),
        ("rw,nodev,nosymfollow", &["bind", "ro"], true, &["ro", "nodev"], &["nosymfollow"]),
        ("ro,nosuid,noatime", &["bind", "noexec"], true, &["ro", "nosuid", "noexec", "noatime"], &["rw"]),
    ]
    .into_iter()
    .enumerate()
    {
        source.remount(host);
        let mut bundle =
            runtime.bundle(&format!("flags{place}"), "awk '$2 == \"/mnt\" { print $4 }' /proc/mounts");
        add_mount(&mut bundle, &source.0, options);
        if mapped {
            // Root of the container could not make it.
            fs::create_dir(bundle.rootfs("mnt")).expect("mkdir");
            map_users(&mut bundle.spec);
        }
        bundle.save();
        let shown = runtime.run(&runtime.id("flags"), &bundle).ok();
        let flags: Vec<&str> = shown.split(',').collect();
        assert!(has.iter().all(|flag| flags.contains(flag)), "{host} with {options:?}: {shown}");
        assert!(!has_not.iter().any(|flag| flags.contains(flag)), "{host} with {options:?}: {shown}");
    }
    source.remount("ro,nodev,suid,exec,relatime");
    let mut bundle = runtime.bundle("refused", "true");
    fs::create_dir(bundle.rootfs("mnt")).expect("mkdir");
    add_mount(&mut bundle, &source.0, &["bind", "rw", "dev"]);
    map_users(&mut bundle.spec);
    bundle.save();
    let done = runtime.run(&runtime.id("refused"), &bundle).exits(1);
    assert!(done.stderr.contains("operation not permitted"), "{}", done.stderr);
}

#[test]
fn recursive_options_reach_the_mounts_below() {
    let runtime = Runtime::new();
    let source = Source::new(&runtime, "rw");
    let below = source.0.join("below");
    fs::create_dir(&below).expect("mkdir");
    call("mount", &["-t", "tmpfs", "tmpfs", below.to_str().expect("UTF-8")]).ok();
    for (name, options, above, inner) in
        [("rro", &["rbind", "rro"][..], "ro", "ro"), ("ro", &["rbind", "ro"], "ro", "rw")]
    {
        let mut bundle = runtime.bundle(name, "awk '$2 ~ \"^/mnt\" { print $4 }' /proc/mounts");
        add_mount(&mut bundle, &source.0, options);
        bundle.save();
        let shown = runtime.run(&runtime.id(name), &bundle).ok();
        let first: Vec<&str> = shown.lines().map(|line| &line[..2]).collect();
        assert_eq!(first, [above, inner], "{options:?}");
    }
}

#[test]
fn a_mapped_mount_shows_other_owners() {
    let runtime = Runtime::new();
    let source = runtime.host().folder("mapped");
    fs::write(source.join("file"), "").expect("write");
    fs::set_permissions(&source, fs::Permissions::from_mode(0o777)).expect("chmod");
    let mut bundle = runtime.bundle("idmap", "stat -c '%u %g' /mnt/file; touch /mnt/new");
    add_mount(&mut bundle, &source, &["bind"]);
    let last = bundle.spec["mounts"].as_array_mut().expect("mounts").last_mut().expect("a mount");
    // Root of the disk is 1000 in the container, and its root 5000 of the disk.
    let mapping =
        json!([{"containerID": 0, "hostID": 1000, "size": 1}, {"containerID": 5000, "hostID": 0, "size": 1}]);
    last["uidMappings"] = mapping.clone();
    last["gidMappings"] = mapping;
    bundle.save();
    assert_eq!(runtime.run(&runtime.id("idmap"), &bundle).ok(), "1000 1000");
    assert_eq!(fs::metadata(source.join("new")).expect("made").uid(), 5000);
}

#[test]
fn a_slave_follows_the_host_and_not_the_other_way() {
    let runtime = Runtime::new();
    let source = Source::new(&runtime, "rw");
    let path = source.0.to_str().expect("UTF-8");
    call("mount", &["--make-shared", path]).ok();
    fs::create_dir(source.0.join("later")).expect("mkdir");
    let id = runtime.id("slave");
    let mut bundle = runtime.bundle("slave", "until test -e /mnt/later/here; do sleep 0.05; done; echo seen");
    add_mount(&mut bundle, &source.0, &["rbind", "rslave"]);
    bundle.save();
    runtime.create(&id, &bundle);
    runtime.call(&["start", &id]).ok();
    call("mount", &["-t", "tmpfs", "tmpfs", &format!("{path}/later")]).ok();
    fs::write(source.0.join("later/here"), "").expect("write");
    runtime.wait_for(&id, "stopped");
    assert_eq!(runtime.output(&id).trim(), "seen");
    runtime.call(&["delete", &id]).ok();
}

#[test]
fn the_root_propagates_as_it_is_told() {
    let runtime = Runtime::new();
    let words = ["private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"];
    for word in words {
        let mut bundle = runtime.bundle_again("root", "awk '$5 == \"/\" {print $7}' /proc/self/mountinfo");
        bundle.spec["linux"]["rootfsPropagation"] = serde_json::json!(word);
        bundle.save();
        let seen = runtime.run(&runtime.id(word), &bundle).ok();
        let expected = ["shared", "unbindable"].into_iter().find(|tag| word.ends_with(tag));
        assert!(
            seen.starts_with(expected.unwrap_or("-")) || expected.is_none() && seen.starts_with("master"),
            "{word}: {seen}"
        );
    }
}

#[test]
fn without_a_mount_namespace_nothing_stays_mounted() {
    let runtime = Runtime::new();
    let mut bundle = runtime.bundle("host", "echo ran");
    bundle.spec["mounts"] = serde_json::json!([]);
    let linux = &mut bundle.spec["linux"];
    linux["namespaces"].as_array_mut().expect("namespaces").retain(|namespace| namespace["type"] != "mount");
    linux["maskedPaths"] = serde_json::json!([]);
    linux["readonlyPaths"] = serde_json::json!([]);
    bundle.save();
    let done = runtime.run(&runtime.id("host"), &bundle);
    assert_eq!(done.ok(), "ran");
    let mounts: Vec<_> =
        runtime.host().leaks().into_iter().filter(|leak| leak.starts_with("mount")).collect();
    assert!(mounts.is_empty(), "{mounts:?}");
}

#[test]
fn a_tmpfs_starts_with_what_it_hides() {
    let runtime = Runtime::new();
    let mut bundle =
        runtime.bundle("copyup", "cat /etc/group > /dev/null && stat -c %a /etc/secret; echo x > /etc/new");
    fs::write(bundle.rootfs("etc/secret"), "s").expect("write");
    fs::set_permissions(bundle.rootfs("etc/secret"), fs::Permissions::from_mode(0o640)).expect("chmod");
    bundle.spec["mounts"].as_array_mut().expect("mounts").push(
        json!({"destination": "/etc", "source": "tmpfs", "type": "tmpfs", "options": ["tmpcopyup", "mode=755"]}),
    );
    bundle.save();
    assert_eq!(runtime.run(&runtime.id("copyup"), &bundle).ok(), "640");
    assert!(!bundle.rootfs("etc/new").exists(), "the image stays as it was");
}
