//! A user's own cgroups: those of his systemd (`--systemd-cgroup`), and a folder that was handed over to him.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dhow_integration_tests::binaries;
use dhow_integration_tests::busybox;
use dhow_integration_tests::host::Host;
use dhow_integration_tests::needs;
use dhow_integration_tests::process::{DEADLINE, Done, call, code, eventually, run, wait};
use serde_json::{Value, json};

const NAME: &str = "vm-user";

/// A user of the machine with a session, and a copy of the runtime that he may run.
struct User {
    host: Host,
    id: u32,
    /// The cgroup that his commands run in, unless it is that of the test.
    cgroup: Option<PathBuf>,
    /// Whether his systemd can be found.
    session: bool,
}

impl User {
    fn new() -> Option<Self> {
        let id = needs::session_user()?;
        if !needs::cgroup2() {
            return None;
        }
        call("loginctl", &["enable-linger", NAME]).ok();
        eventually("the user's bus is there", || Path::new(&format!("/run/user/{id}/bus")).exists());
        let user = Self { host: Host::new(), id, cgroup: None, session: true };
        fs::set_permissions(user.host.path(""), fs::Permissions::from_mode(0o755)).expect("open the folder");
        chown(user.host.folder("home"), Some(id), Some(id)).expect("a folder of the user's own");
        run(Command::new("cp").arg(binaries::runtime()).arg(user.host.path("runtime"))).ok();
        Some(user)
    }

    /// A name that is unique on this machine.
    fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.host.name())
    }

    /// The bundle's folder: `sleep`, with root and others mapped to IDs of the user's, and `change` over it.
    fn bundle(&self, change: impl FnOnce(&mut Value)) -> String {
        let folder = self.host.path("home/bundle");
        busybox::tree(&folder.join("rootfs"));
        run(Command::new("chown").args(["-hR", &format!("{0}:{0}", self.id)]).arg(&folder)).ok();
        let folder = folder.to_str().expect("UTF-8").to_owned();
        self.call(&["spec", "--rootless", "--bundle", &folder]).ok();
        let file = format!("{folder}/config.json");
        let mut spec: Value =
            serde_json::from_slice(&fs::read(&file).expect("read the spec")).expect("it is JSON");
        spec["process"]["terminal"] = json!(false);
        spec["process"]["args"] = json!(["sleep", "1000"]);
        for kind in ["uidMappings", "gidMappings"] {
            spec["linux"][kind] = json!([
                {"containerID": 0, "hostID": self.id, "size": 1},
                {"containerID": 1, "hostID": 100_000, "size": 65536},
            ]);
        }
        change(&mut spec);
        fs::write(&file, spec.to_string()).expect("write the spec");
        folder
    }

    /// As the user, in his session.
    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("sh");
        // The shell goes first, while it still may.
        let enter = r#"[ -z "$CGROUP" ] || echo $$ > "$CGROUP/cgroup.procs" || exit; exec "$@""#;
        command.args(["-c", enter, "sh", "setpriv"]);
        command.args([format!("--reuid={}", self.id), format!("--regid={}", self.id)]);
        command.args(["--clear-groups", "--inh-caps=-all", "--"]).arg(program.as_ref());
        command.env("CGROUP", self.cgroup.as_deref().unwrap_or_else(|| Path::new("")));
        let runtime = if self.session { format!("/run/user/{}", self.id) } else { "/nowhere".to_owned() };
        command.env("HOME", self.host.path("home")).env("XDG_RUNTIME_DIR", runtime);
        command.env_remove("DBUS_SESSION_BUS_ADDRESS").current_dir(self.host.path("home"));
        command
    }

    fn call(&self, arguments: &[&str]) -> Done {
        let mut command = self.command(self.host.path("runtime"));
        run(command.arg("--root").arg(self.host.path("home/state")).args(arguments))
    }

    /// Runs the runtime without streams that a container could keep; its log comes as stderr.
    fn detached(&self, arguments: &[&str]) -> Done {
        let log = self.host.path("home/log");
        drop(fs::remove_file(&log));
        let mut command = self.command(self.host.path("runtime"));
        command.arg("--root").arg(self.host.path("home/state")).arg("--log").arg(&log).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("start the runtime");
        let status = wait(&mut child, DEADLINE).expect("the runtime ends");
        let stderr = fs::read_to_string(log).unwrap_or_default();
        Done { code: code(status), stdout: String::new(), stderr }
    }

    fn systemctl(&self, arguments: &[&str]) -> String {
        run(self.command("systemctl").arg("--user").args(arguments)).ok()
    }

    /// `NAME=VALUE` lines.
    fn properties(&self, unit: &str) -> String {
        self.systemctl(&["show", unit])
    }

    fn knows(&self, unit: &str) -> bool {
        self.systemctl(&["show", "-p", "LoadState", "--value", unit]) == "loaded"
    }

    /// What his systemd owns.
    fn own(&self) -> String {
        format!("/user.slice/user-{0}.slice/user@{0}.service", self.id)
    }

    fn state(&self, id: &str) -> Value {
        serde_json::from_str(&self.call(&["state", id]).ok()).expect("state is JSON")
    }

    /// The cgroup of the container's first process, as the kernel tells it.
    fn cgroup_of(&self, id: &str) -> String {
        cgroup_of(&self.state(id)["pid"].to_string())
    }
}

impl Drop for User {
    fn drop(&mut self) {
        for entry in fs::read_dir(self.host.path("home/state")).into_iter().flatten().flatten() {
            if let Some(id) = entry.file_name().to_str() {
                self.call(&["delete", "--force", id]);
            }
        }
    }
}

fn cgroup_of(pid: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{}/cgroup", pid.trim())).expect("it runs");
    text.trim().trim_start_matches("0::").to_owned()
}

fn control(cgroup: &str, file: &str) -> String {
    let path = format!("/sys/fs/cgroup{cgroup}/{file}");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}")).trim().to_owned()
}

fn controls(cgroup: &str, expected: &[(&str, &str)]) {
    for (file, value) in expected {
        assert_eq!(control(cgroup, file), *value, "{file}");
    }
}

fn limits() -> Value {
    json!({
        "memory": {"limit": 64 << 20, "reservation": 32 << 20},
        "cpu": {"shares": 512, "quota": 50_000, "period": 100_000, "cpus": "0"},
        "pids": {"limit": 30},
        "unified": {"memory.oom.group": "1", "memory.high": "50331648"},
    })
}

const LIMITED: &[(&str, &str)] = &[
    ("memory.max", "67108864"),
    ("memory.low", "33554432"),
    ("memory.high", "50331648"),
    ("memory.oom.group", "1"),
    ("cpu.weight", "59"),
    ("cpu.max", "50000 100000"),
    ("cpuset.cpus", "0"),
    ("pids.max", "30"),
];

const UPDATED: &[(&str, &str)] =
    &[("memory.max", "134217728"), ("cpu.max", "30000 100000"), ("pids.max", "20")];

/// A life from `create` to `delete` in `cgroup`, watched from outside; a container in it was created already.
fn lives(user: &User, id: &str, cgroup: &str) {
    assert_eq!(user.cgroup_of(id), cgroup);
    let uid = fs::metadata(format!("/proc/{}", user.state(id)["pid"])).expect("it runs").uid();
    assert_eq!(uid, user.id);
    controls(cgroup, LIMITED);
    user.call(&["start", id]).ok();
    assert_eq!(user.call(&["exec", id, "sh", "-c", "echo out; exit 3"]).exits(3).stdout, "out\n");
    let file = user.host.path("home/pid");
    let pid_file = file.to_str().expect("UTF-8");
    user.detached(&["exec", "--detach", "--pid-file", pid_file, id, "sleep", "1000"]).exits(0);
    let pid = fs::read_to_string(pid_file).expect("a pid");
    assert_eq!(cgroup_of(&pid), cgroup);
    assert_eq!(user.call(&["ps", "--format", "json", id]).ok().matches(',').count(), 1);

    user.call(&["pause", id]).ok();
    assert_eq!(user.state(id)["status"], "paused");
    assert!(control(cgroup, "cgroup.events").contains("frozen 1"));
    user.call(&["resume", id]).ok();
    assert_eq!(user.state(id)["status"], "running");

    let limits = ["--memory", "134217728", "--pids-limit", "20", "--cpu-quota", "30000"];
    user.call(&[&["update"], limits.as_slice(), &[id]].concat()).ok();
    controls(cgroup, UPDATED);
    let stats: Value = serde_json::from_str(&user.call(&["events", "--stats", id]).ok()).expect("JSON");
    assert_eq!(stats["data"]["pids"]["limit"], 20);
    assert_eq!(stats["data"]["memory"]["usage"]["limit"], 128 << 20);
}

fn ends(user: &User, id: &str, cgroup: &str) {
    user.call(&["kill", id, "KILL"]).ok();
    eventually("it stopped", || user.state(id)["status"] == "stopped");
    user.call(&["delete", id]).ok();
    assert_ne!(user.call(&["state", id]).code, 0);
    eventually("the cgroup is gone", || !Path::new(&format!("/sys/fs/cgroup{cgroup}")).exists());
}

#[test]
fn the_users_systemd_holds_the_container() {
    let Some(user) = User::new() else { return };
    let id = user.name("scope");
    let bundle = user.bundle(|spec| {
        spec["linux"]["cgroupsPath"] = json!(format!(":test:{id}"));
        spec["linux"]["resources"] = limits();
    });
    user.detached(&["--systemd-cgroup", "create", "--bundle", &bundle, &id]).exits(0);
    let unit = format!("test-{id}.scope");
    let cgroup = format!("{}/user.slice/{unit}", user.own());
    let told = user.properties(&unit);
    let place = format!("ControlGroup={cgroup}");
    for property in [
        place.as_str(),
        "Slice=user.slice",
        "Delegate=yes",
        "MemoryMax=67108864",
        "MemoryLow=33554432",
        "MemoryHigh=50331648",
        "TasksMax=30",
        "CPUWeight=59",
        "CPUQuotaPerSecUSec=500ms",
        "AllowedCPUs=0",
    ] {
        assert!(told.lines().any(|line| line == property), "{property} is not in {told}");
    }
    lives(&user, &id, &cgroup);
    user.systemctl(&["daemon-reload"]);
    controls(&cgroup, UPDATED);
    assert!(user.properties(&unit).contains("\nMemoryMax=134217728\n"));
    ends(&user, &id, &cgroup);
    eventually("the unit is gone", || !user.knows(&unit));
}

#[test]
fn an_exec_goes_into_a_cgroup_below() {
    let Some(user) = User::new() else { return };
    let id = user.name("below");
    let bundle = user.bundle(|spec| spec["linux"]["cgroupsPath"] = json!(format!("app.slice:test:{id}")));
    user.detached(&["--systemd-cgroup", "run", "--detach", "--bundle", &bundle, &id]).exits(0);
    let cgroup = format!("{}/app.slice/test-{id}.scope", user.own());
    assert_eq!(user.cgroup_of(&id), cgroup);
    // It was delegated: the user may make cgroups in it.
    let made = format!("/sys/fs/cgroup{cgroup}/inner");
    run(user.command("mkdir").arg(made)).ok();
    let file = user.host.path("home/pid");
    let exec = ["exec", "--detach", "--cgroup", "inner", "--pid-file", file.to_str().expect("UTF-8")];
    user.detached(&[&exec[..], &[&id, "sleep", "1000"]].concat()).exits(0);
    assert_eq!(cgroup_of(&fs::read_to_string(&file).expect("a pid")), format!("{cgroup}/inner"));
    // What is below goes as well.
    user.call(&["delete", "--force", &id]).ok();
    eventually("the cgroup is gone", || !Path::new(&format!("/sys/fs/cgroup{cgroup}")).exists());
}

/// What the kernel kills for want of memory leaves no failed unit in the way of the next.
#[test]
fn a_unit_that_failed_is_forgotten() {
    let Some(user) = User::new() else { return };
    let id = user.name("failed");
    let bundle = user.bundle(|spec| {
        spec["process"]["args"] = json!(["tail", "/dev/zero"]);
        spec["linux"]["cgroupsPath"] = json!(format!(":test:{id}"));
        spec["linux"]["resources"] = json!({"memory": {"limit": 16 << 20, "swap": 16 << 20}});
    });
    for _ in 0..2 {
        user.detached(&["--systemd-cgroup", "run", "--detach", "--bundle", &bundle, &id]).exits(0);
        eventually("it stopped", || user.state(&id)["status"] == "stopped");
        user.call(&["delete", &id]).ok();
        let unit = format!("test-{id}.scope");
        eventually("the unit is gone", || !user.knows(&unit));
    }
}

/// What a killed `create` leaves of a unit goes with `delete --force`.
#[test]
fn a_killed_create_leaves_no_unit() {
    let Some(user) = User::new() else { return };
    let id = user.name("killed");
    let bundle = user.bundle(|spec| {
        spec["linux"]["cgroupsPath"] = json!(format!(":test:{id}"));
        spec["hooks"] = json!({"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "1000"]}]});
    });
    let cgroup = PathBuf::from(format!("/sys/fs/cgroup{}/user.slice/test-{id}.scope", user.own()));
    let mut command = user.command(user.host.path("runtime"));
    command.arg("--root").arg(user.host.path("home/state"));
    command.args(["--systemd-cgroup", "create", "--bundle", &bundle, &id]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start");
    let hook = || {
        let children = format!("/proc/{0}/task/{0}/children", child.id());
        let children = fs::read_to_string(children).unwrap_or_default();
        let named = |pid: &&str| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == b"sleep\x001000\x00")
        };
        children.split_whitespace().find(named).map(str::to_owned)
    };
    eventually("the hook hangs", || hook().is_some());
    let hook = hook().expect("it hangs");
    assert!(!fs::read_to_string(cgroup.join("cgroup.procs")).expect("a scope").is_empty());
    child.kill().expect("kill the runtime");
    child.wait().expect("reap it");
    call("kill", &["-KILL", &hook]).ok();
    user.call(&["delete", "--force", &id]).ok();
    eventually("the cgroup is gone", || !cgroup.exists());
    let unit = format!("test-{id}.scope");
    eventually("the unit is gone", || !user.knows(&unit));
}

#[test]
fn without_a_bus_the_hint_is_runcs() {
    let Some(mut user) = User::new() else { return };
    let id = user.name("alone");
    let bundle = user.bundle(|spec| spec["linux"]["cgroupsPath"] = json!(format!(":test:{id}")));
    user.session = false;
    let refused = user.call(&["--systemd-cgroup", "run", "--bundle", &bundle, &id]);
    let text = "failed to connect to dbus (hint: for rootless containers, maybe you need to install \
        dbus-user-session package";
    assert!(refused.code != 0 && refused.stderr.contains(text), "{}", refused.stderr);
    assert!(!user.host.path(format!("home/state/{id}")).exists());
}

/// A folder below the top of the hierarchy, with all controllers, that belongs to the user; he runs in `session` there.
struct Delegated(PathBuf);

impl Delegated {
    fn to(user: &mut User) -> Self {
        let top = PathBuf::from("/sys/fs/cgroup");
        let controllers = fs::read_to_string(top.join("cgroup.controllers")).expect("read");
        for controller in controllers.split_whitespace() {
            drop(fs::write(top.join("cgroup.subtree_control"), format!("+{controller}")));
        }
        let folder = top.join(user.host.name());
        fs::create_dir_all(folder.join("session")).expect("make the cgroups");
        for cgroup in [folder.clone(), folder.join("session")] {
            for file in ["", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
                chown(cgroup.join(file), Some(user.id), Some(user.id)).expect("hand over");
            }
        }
        user.cgroup = Some(folder.join("session"));
        Self(folder)
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        drop(fs::remove_dir(self.0.join("session")));
    }
}

#[test]
fn a_folder_of_his_own_holds_the_container() {
    let Some(mut user) = User::new() else { return };
    let _folder = Delegated::to(&mut user);
    user.session = false;
    let id = user.name("folder");
    let bundle = user.bundle(|spec| {
        spec["linux"]["cgroupsPath"] = json!(format!("/{}/slice/box", user.host.name()));
        spec["linux"]["resources"] = limits();
    });
    user.detached(&["create", "--bundle", &bundle, &id]).exits(0);
    let cgroup = format!("/{}/slice/box", user.host.name());
    lives(&user, &id, &cgroup);
    ends(&user, &id, &cgroup);
    fs::remove_dir(format!("/sys/fs/cgroup/{}/slice", user.host.name())).expect("nothing is in it");
}

/// Without a path the container is beside the caller: what has processes in it can hand no controllers down.
#[test]
fn without_a_path_the_container_is_beside_its_caller() {
    let Some(mut user) = User::new() else { return };
    let _folder = Delegated::to(&mut user);
    let id = user.name("beside");
    let bundle = user.bundle(|spec| spec["linux"]["resources"] = json!({"pids": {"limit": 30}}));
    user.detached(&["run", "--detach", "--bundle", &bundle, &id]).exits(0);
    let cgroup = format!("/{}/{id}", user.host.name());
    assert_eq!(user.cgroup_of(&id), cgroup);
    assert_eq!(control(&cgroup, "pids.max"), "30");
    ends(&user, &id, &cgroup);
}

/// A place that is not the user's is refused when the spec names it.
#[test]
fn anothers_folder_is_refused() {
    let Some(mut user) = User::new() else { return };
    let _folder = Delegated::to(&mut user);
    let id = user.name("foreign");
    let bundle = user.bundle(|spec| {
        spec["linux"]["cgroupsPath"] = json!("/system.slice/box");
        spec["linux"]["resources"] = json!({"pids": {"limit": 30}});
    });
    let refused = user.call(&["run", "--bundle", &bundle, &id]);
    assert!(refused.code != 0 && refused.stderr.contains("permission denied"), "{}", refused.stderr);
    assert!(!Path::new("/sys/fs/cgroup/system.slice/box").exists());
}
