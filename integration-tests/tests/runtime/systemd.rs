//! `--systemd-cgroup`: the unit that systemd holds for a container, its properties, and what is left of it.

use std::path::PathBuf;

use dhow_integration_tests::bundle::Bundle;
use dhow_integration_tests::needs;
use dhow_integration_tests::process::{Done, call, eventually};
use dhow_integration_tests::runtime::Runtime;
use serde_json::json;

/// A container in a unit of its own: `system.slice:PREFIX:ID`.
pub(super) struct Unit {
    pub(super) runtime: Runtime,
    pub(super) id: String,
    pub(super) bundle: Bundle,
}

impl Unit {
    pub(super) fn new(name: &str, script: &str) -> Self {
        let runtime = Runtime::new();
        let id = runtime.id(name);
        let mut bundle = runtime.bundle(name, script);
        bundle.spec["linux"]["cgroupsPath"] = json!(format!("system.slice:test:{id}"));
        Self { runtime, id, bundle }
    }

    pub(super) fn name(&self) -> String {
        format!("test-{}.scope", self.id)
    }

    pub(super) fn run_detached(&self) -> Done {
        self.bundle.save();
        let folder = self.bundle.folder().to_str().expect("UTF-8");
        let output = std::fs::File::create(self.runtime.host().path("output")).expect("a file");
        let status = self
            .runtime
            .command(&["--systemd-cgroup", "run", "-d", "--bundle", folder, &self.id])
            .stdout(output.try_clone().expect("a copy"))
            .stderr(output)
            .status()
            .expect("start the runtime");
        let stderr = std::fs::read_to_string(self.runtime.host().path("output")).expect("its output");
        Done { code: status.code().unwrap_or(-1), stdout: String::new(), stderr }
    }

    pub(super) fn property(&self, name: &str) -> String {
        call("systemctl", &["show", "-p", name, "--value", &self.name()]).ok()
    }

    fn control(&self, file: &str) -> String {
        let path = PathBuf::from("/sys/fs/cgroup/system.slice").join(self.name()).join(file);
        let text = std::fs::read_to_string(&path);
        text.unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim().to_owned()
    }

    pub(super) fn is_known(&self) -> bool {
        call("systemctl", &["show", "-p", "LoadState", "--value", &self.name()]).ok() == "loaded"
    }
}

#[test]
fn a_scope_holds_the_container_and_survives_a_reload() {
    if !needs::systemd() || !needs::cgroup2() {
        return;
    }
    let mut unit = Unit::new("reload", "sleep 1000");
    unit.bundle.spec["linux"]["resources"] = json!({
        "devices": [
            {"allow": false, "access": "rwm"},
            {"allow": true, "type": "c", "major": 1, "minor": 11, "access": "r"},
        ],
        "memory": {"limit": 64 << 20, "swap": 96 << 20, "reservation": 32 << 20},
        "cpu": {"shares": 512, "quota": 50_000, "period": 100_000, "cpus": "0"},
        "pids": {"limit": 30},
    });
    unit.run_detached().exits(0);
    assert_eq!(unit.property("Slice"), "system.slice");
    assert_eq!(unit.property("Delegate"), "yes");
    assert_eq!(unit.property("MemoryMax"), (64 << 20).to_string());
    assert_eq!(unit.property("MemorySwapMax"), (32 << 20).to_string());
    assert_eq!(unit.property("MemoryLow"), (32 << 20).to_string());
    assert_eq!(unit.property("CPUWeight"), unit.control("cpu.weight"));
    assert_eq!(unit.property("CPUQuotaPerSecUSec"), "500ms");
    assert_eq!(unit.property("AllowedCPUs"), "0");
    assert_eq!(unit.property("TasksMax"), "30");
    assert_eq!(unit.property("DevicePolicy"), "strict");
    assert!(unit.property("DeviceAllow").contains("/dev/char/1:11 r"), "{}", unit.property("DeviceAllow"));

    call("systemctl", &["daemon-reload"]).ok();
    for (file, value) in [
        ("memory.max", "67108864"),
        ("memory.swap.max", "33554432"),
        ("cpu.max", "50000 100000"),
        ("cpuset.cpus", "0"),
        ("pids.max", "30"),
    ] {
        assert_eq!(unit.control(file), value, "{file}");
    }
    let exec = |script: &str| unit.runtime.call(&["exec", &unit.id, "sh", "-c", script]);
    exec("echo > /dev/null").ok();
    unit.runtime.call(&["kill", &unit.id, "KILL"]).ok();
    unit.runtime.wait_for(&unit.id, "stopped");
    unit.runtime.call(&["delete", &unit.id]).ok();
    eventually("the unit is gone", || !unit.is_known());
}

#[test]
fn an_update_is_told_to_systemd() {
    if !needs::systemd() || !needs::cgroup2() {
        return;
    }
    let mut unit = Unit::new("told", "sleep 1000");
    unit.bundle.spec["linux"]["resources"]["memory"] = json!({"limit": 64 << 20});
    unit.run_detached().exits(0);
    let changes = ["update", "--memory", "128m", "--pids-limit", "20", "--cpu-quota", "30000", &unit.id];
    unit.runtime.call(&changes).ok();
    assert_eq!(unit.property("MemoryMax"), (128 << 20).to_string());
    assert_eq!(unit.property("TasksMax"), "20");
    assert_eq!(unit.property("CPUQuotaPerSecUSec"), "300ms");
    call("systemctl", &["daemon-reload"]).ok();
    assert_eq!(unit.control("memory.max"), (128 << 20).to_string());
    assert_eq!(unit.control("pids.max"), "20");
    assert_eq!(unit.control("cpu.max"), "30000 100000");
    unit.runtime.call(&["delete", "--force", &unit.id]).ok();
    eventually("the unit is gone", || !unit.is_known());
}

#[test]
fn annotations_are_properties_of_the_unit() {
    if !needs::systemd() {
        return;
    }
    let mut unit = Unit::new("noted", "sleep 1000");
    unit.bundle.spec["annotations"] = json!({
        "org.systemd.property.CollectMode": "'inactive-or-failed'",
        "org.systemd.property.TimeoutStopSec": "double 123.0",
        "org.systemd.property.After": "['basic.target']",
    });
    unit.run_detached().exits(0);
    assert_eq!(unit.property("CollectMode"), "inactive-or-failed");
    assert_eq!(unit.property("TimeoutStopUSec"), "2min 3s");
    assert!(unit.property("After").contains("basic.target"));
    unit.runtime.call(&["delete", "--force", &unit.id]).ok();

    unit.bundle.spec["annotations"] = json!({"org.systemd.property.TimeoutStopSec": "'covfefe'"});
    let refused = unit.run_detached();
    let text = "annotation org.systemd.property.TimeoutStopSec='covfefe' value parse error: not a number";
    assert!(refused.code != 0 && refused.stderr.contains(text), "{}", refused.stderr);
    unit.bundle.spec["annotations"] = json!({"org.systemd.property.NoSuchThing": "1"});
    let refused = unit.run_detached();
    assert!(refused.code != 0 && refused.stderr.contains("NoSuchThing"), "{}", refused.stderr);
    assert!(!unit.is_known(), "nothing is left of a unit that was refused");
}

/// A container that dies of its limit leaves a failed unit, which must not be in the way of the next of that name.
#[test]
fn a_failed_unit_is_forgotten() {
    if !needs::systemd() {
        return;
    }
    let mut unit = Unit::new("failed", "tail /dev/zero");
    unit.bundle.spec["linux"]["resources"]["memory"] = json!({"limit": 16 << 20, "swap": 16 << 20});
    for _ in 0..2 {
        unit.run_detached().exits(0);
        unit.runtime.wait_for(&unit.id, "stopped");
        unit.runtime.call(&["delete", &unit.id]).ok();
        eventually("the unit is gone", || !unit.is_known());
    }
}

#[test]
fn slices_nest_and_are_named_by_the_path() {
    if !needs::systemd() {
        return;
    }
    let mut unit = Unit::new("nested", "sleep 1000");
    let stem = unit.runtime.host().name().to_owned();
    unit.bundle.spec["linux"]["cgroupsPath"] = json!(format!("{stem}-inner.slice:test:{}", unit.id));
    unit.run_detached().exits(0);
    assert_eq!(unit.property("ControlGroup"), format!("/{stem}.slice/{stem}-inner.slice/{}", unit.name()));
    unit.runtime.call(&["delete", "--force", &unit.id]).ok();
    call("systemctl", &["stop", &format!("{stem}.slice")]).ok();
    eventually("the unit is gone", || !unit.is_known());

    unit.bundle.spec["linux"]["cgroupsPath"] = json!("/not/a/slice");
    let refused = unit.run_detached();
    let text = r#"expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups"#;
    assert!(refused.stderr.contains(text), "{}", refused.stderr);
}
