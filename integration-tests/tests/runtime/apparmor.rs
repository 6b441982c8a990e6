//! AppArmor: what a profile forbids is forbidden inside, for the first process and for others.

use std::io::Write;
use std::process::{Command, Stdio};

use dhow_integration_tests::needs;
use dhow_integration_tests::runtime::Runtime;
use serde_json::json;

/// A profile in the kernel, until the end of a test.
struct Profile(String);

impl Profile {
    /// Everything but writing to files named `forbidden`.
    fn load(name: &str) -> Self {
        let text = format!(
            "profile {name} flags=(attach_disconnected,mediate_deleted) {{\n\
             file, capability, network, mount, umount, signal, ptrace, unix,\n\
             deny /**/forbidden w,\n}}\n"
        );
        parser("--add", &text);
        Self(name.to_owned())
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        parser("--remove", &format!("profile {} {{}}\n", self.0));
    }
}

fn parser(action: &str, text: &str) {
    let mut child = Command::new("apparmor_parser")
        .args([action, "--skip-cache"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("start apparmor_parser");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("hand the profile over");
    assert!(child.wait().expect("it ends").success(), "{action} {text}");
}

const SCRIPT: &str = "cat /proc/self/attr/apparmor/current; echo > /tmp/allowed && echo allowed; \
    echo > /tmp/forbidden || echo forbidden";

#[test]
fn a_profile_holds_for_every_process() {
    if !needs::apparmor() {
        return;
    }
    let runtime = Runtime::new();
    let profile = Profile::load(runtime.host().name());
    let expected = format!("{} (enforce)\nallowed\nforbidden", profile.0);
    let mut bundle = runtime.bundle("first", SCRIPT);
    bundle.spec["process"]["apparmorProfile"] = json!(profile.0);
    bundle.save();
    assert_eq!(runtime.run(&runtime.id("first"), &bundle).ok(), expected);

    let id = runtime.id("others");
    bundle.spec["process"]["args"] = json!(["sleep", "1000"]);
    bundle.spec["linux"]["cgroupsPath"] = json!(format!("{}/others", runtime.host().cgroup()));
    bundle.save();
    runtime.create(&id, &bundle);
    runtime.call(&["start", &id]).ok();
    assert_eq!(runtime.call(&["exec", &id, "sh", "-c", SCRIPT]).ok(), expected, "as the container's own");
    let unconfined = runtime.call(&["exec", "--apparmor", "unconfined", &id, "sh", "-c", SCRIPT]).ok();
    assert_eq!(unconfined, "unconfined\nallowed", "as the flag says");

    let text = "unable to apply apparmor profile: apparmor failed to apply profile: \
        write /proc/thread-self/attr/apparmor/exec: no such file or directory";
    let refused = runtime.call(&["exec", "--apparmor", "no-such-profile", &id, "true"]);
    assert!(refused.code != 0 && refused.stderr.contains(text), "{}", refused.stderr);
    runtime.call(&["delete", "--force", &id]).ok();
    bundle.spec["process"]["apparmorProfile"] = json!("no-such-profile");
    bundle.save();
    let refused = runtime.run(&runtime.id("missing"), &bundle);
    assert!(refused.code != 0 && refused.stderr.contains(text), "{}", refused.stderr);
}
