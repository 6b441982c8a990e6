//! A user who is not root: own user namespace, own state, and whatever cgroup was handed over.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use dhow_integration_tests::binaries;
use dhow_integration_tests::busybox;
use dhow_integration_tests::host::Host;
use dhow_integration_tests::process::{Done, run};
use serde_json::{Value, json};

const USER: u32 = 47_011;
/// The first of the IDs that the user may give away.
const FIRST: u32 = 4_700_000;

/// A user with a home, a runtime folder and a copy of the runtime.
struct User {
    host: Host,
}

impl User {
    fn new() -> Self {
        let user = Self { host: Host::new() };
        fs::set_permissions(user.host.path(""), fs::Permissions::from_mode(0o755)).expect("open the folder");
        for name in ["home", "xdg"] {
            chown(user.host.folder(name), Some(USER), Some(USER)).expect("a folder of the user's own");
        }
        let passwd = fs::read_to_string("/etc/passwd").expect("read passwd");
        let line = format!("dhow-test:x:{USER}:{USER}::/:/bin/sh\n");
        fs::write(user.host.path("passwd"), passwd + &line).expect("write passwd");
        fs::write(user.host.path("subid"), format!("dhow-test:{FIRST}:65536\n")).expect("write subid");
        for file in ["/etc/subuid", "/etc/subgid"] {
            // Something must be there to be covered.
            drop(fs::OpenOptions::new().append(true).create(true).open(file).expect("a file"));
        }
        // The checkout may lie where the user may not go.
        fs::copy(binaries::runtime(), user.host.path("runtime")).expect("copy the runtime");
        user
    }

    /// The bundle's folder, made by `spec --rootless` with `change` over it.
    fn bundle(&self, name: &str, change: impl FnOnce(&mut Value)) -> String {
        let folder = self.host.path(format!("home/{name}"));
        busybox::tree(&folder.join("rootfs"));
        run(Command::new("chown").args(["-hR", &format!("{USER}:{USER}")]).arg(&folder)).ok();
        self.call(&["spec", "--rootless", "--bundle", folder.to_str().expect("UTF-8")]).ok();
        let file = folder.join("config.json");
        let mut spec: Value =
            serde_json::from_slice(&fs::read(&file).expect("read the spec")).expect("it is JSON");
        spec["process"]["terminal"] = json!(false);
        change(&mut spec);
        fs::write(&file, spec.to_string()).expect("write the spec");
        folder.to_str().expect("UTF-8").to_owned()
    }

    /// As the user, in a mount namespace where the system knows of him and of the IDs that he may give away.
    fn command(&self, program: &Path) -> Command {
        let known = r#"mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/subid" /etc/subuid &&
            mount --bind "$1/subid" /etc/subgid && shift && exec "$@""#;
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", known, "sh"]).arg(self.host.path(""));
        command.arg("setpriv").args([format!("--reuid={USER}"), format!("--regid={USER}")]);
        command.args(["--clear-groups", "--inh-caps=-all", "--"]).arg(program);
        command.env("XDG_RUNTIME_DIR", self.host.path("xdg")).env("HOME", self.host.path("home"));
        command.current_dir(self.host.path("home"));
        command
    }

    fn call(&self, arguments: &[&str]) -> Done {
        run(self.command(&self.host.path("runtime")).args(arguments))
    }
}

fn script(spec: &mut Value, script: &str) {
    spec["process"]["args"] = json!(["sh", "-c", script]);
    spec["root"]["readonly"] = json!(false);
}

#[test]
fn a_user_runs_a_container_without_help() {
    let user = User::new();
    let id = format!("{}-own", user.host.name());
    let text = "id -u; id -g; cat /proc/self/uid_map; touch /made; head -c 1 /dev/zero | wc -c; hostname";
    let bundle = user.bundle("own", |spec| script(spec, text));
    let output = user.call(&["run", "--bundle", &bundle, &id]).ok();
    let words: Vec<&str> = output.split_whitespace().collect();
    assert_eq!(words, ["0", "0", "0", &USER.to_string(), "1", "1", "runc"], "{output}");
    let made = fs::metadata(format!("{bundle}/rootfs/made")).expect("the file that it made");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&made), USER);
    assert_eq!(user.call(&["list", "-q"]).ok(), "");
}

#[test]
fn a_user_gives_away_the_ids_that_are_his() {
    let user = User::new();
    let id = format!("{}-many", user.host.name());
    let bundle = user.bundle("many", |spec| {
        script(spec, "touch /made && chown 1000:1001 /made && stat -c %u:%g /made && id -u nobody");
        spec["process"]["capabilities"]["effective"] = json!(["CAP_CHOWN"]);
        spec["process"]["capabilities"]["permitted"] = json!(["CAP_CHOWN"]);
        spec["process"]["capabilities"]["bounding"] = json!(["CAP_CHOWN"]);
        for kind in ["uidMappings", "gidMappings"] {
            spec["linux"][kind] = json!([
                {"containerID": 0, "hostID": USER, "size": 1},
                {"containerID": 1, "hostID": FIRST, "size": 65536},
            ]);
        }
    });
    assert_eq!(user.call(&["run", "--bundle", &bundle, &id]).ok(), "1000:1001\n65534");
    let made = fs::metadata(format!("{bundle}/rootfs/made")).expect("the file that it made");
    let owners = std::os::unix::fs::MetadataExt::uid(&made);
    assert_eq!(owners, FIRST + 999);

    // What is another's cannot be given away.
    let bundle = user.bundle("foreign", |spec| {
        script(spec, "true");
        spec["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 1, "size": 1}]);
    });
    let refused = user.call(&["run", "--bundle", &bundle, &id]);
    assert!(refused.code != 0 && refused.stderr.contains("newuidmap"), "{}", refused.stderr);
}

#[test]
fn the_state_of_a_user_is_in_the_runtime_folder() {
    let user = User::new();
    let id = format!("{}-life", user.host.name());
    let bundle = user.bundle("life", |spec| script(spec, "exec sleep 1000"));
    let create = ["create", "--bundle", &bundle, &id];
    let output = fs::File::create(user.host.path("output")).expect("a file");
    let status = user
        .command(&user.host.path("runtime"))
        .args(create)
        .stdin(std::process::Stdio::null())
        .stdout(output.try_clone().expect("a copy"))
        .stderr(output)
        .status()
        .expect("start the runtime");
    assert!(status.success(), "{}", fs::read_to_string(user.host.path("output")).expect("its output"));
    assert!(user.host.path(format!("xdg/runc/{id}/state.json")).exists());
    user.call(&["start", &id]).ok();
    assert_eq!(user.call(&["exec", &id, "id", "-u"]).ok(), "0");
    assert_eq!(user.call(&["exec", &id, "sh", "-c", "exit 3"]).code, 3);
    let state: Value = serde_json::from_str(&user.call(&["state", &id]).ok()).expect("JSON");
    assert_eq!(state["status"], "running");
    assert_ne!(state["owner"], "root");
    user.call(&["kill", &id, "KILL"]).ok();
    user.call(&["delete", "--force", &id]).ok();
    assert!(!user.host.path(format!("xdg/runc/{id}")).exists());
}

/// A limit that nobody gave the right to set is an error; without one the container goes without a cgroup.
#[test]
fn limits_need_a_cgroup() {
    let user = User::new();
    let bundle = user.bundle("limits", |spec| {
        script(spec, "true");
        spec["linux"]["resources"] = json!({"pids": {"limit": 10}});
    });
    let refused = user.call(&["run", "--bundle", &bundle, &format!("{}-limits", user.host.name())]);
    assert!(refused.code != 0 && refused.stderr.contains("pids"), "{}", refused.stderr);
    assert!(!user.host.path(format!("xdg/runc/{}-limits", user.host.name())).exists());
}
