//! `--systemd-cgroup` on cgroup v1: systemd makes the unit in every hierarchy, and what it cannot limit we do.

use std::fs;
use std::path::{Path, PathBuf};

use dhow_integration_tests::needs;
use dhow_integration_tests::process::{call, eventually};
use serde_json::{Value, json};

use super::systemd::Unit;

/// The unit's folder in the hierarchy of `controller`.
fn folder(unit: &Unit, controller: &str) -> PathBuf {
    Path::new("/sys/fs/cgroup").join(controller).join("system.slice").join(unit.name())
}

fn controls(unit: &Unit, expected: &[(&str, &str, &str)]) {
    for (controller, file, value) in expected {
        let path = folder(unit, controller).join(file);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(text.trim(), *value, "{}", path.display());
    }
}

/// Every line of `/proc/PID/cgroup` names the unit.
fn is_inside(unit: &Unit, pid: &str) {
    let text = fs::read_to_string(format!("/proc/{}/cgroup", pid.trim())).expect("it runs");
    let place = format!(":/system.slice/{}", unit.name());
    for line in text.lines() {
        // systemd's own tree is all that cgroup2 holds beside v1.
        assert!(line.ends_with(&place), "{line} of {text}");
    }
    assert!(text.lines().count() > 8, "{text}");
}

fn folders(unit: &Unit) -> Vec<PathBuf> {
    let hierarchies = fs::read_dir("/sys/fs/cgroup").expect("list").flatten();
    let inside = |hierarchy: fs::DirEntry| hierarchy.path().join("system.slice").join(unit.name());
    hierarchies.map(inside).filter(|folder| folder.is_dir()).collect()
}

#[test]
fn a_scope_is_in_every_hierarchy_and_survives_a_reload() {
    if !needs::systemd_on_cgroup1() {
        return;
    }
    let mut unit = Unit::new("every", "exec sleep 1000");
    unit.bundle.spec["linux"]["resources"] = json!({
        "devices": [
            {"allow": false, "access": "rwm"},
            {"allow": true, "type": "c", "major": 1, "minor": 11, "access": "r"},
        ],
        "memory": {"limit": 64 << 20, "reservation": 32 << 20},
        "cpu": {"shares": 512, "quota": 50_000, "period": 100_000, "cpus": "0", "mems": "0"},
        "pids": {"limit": 30},
    });
    unit.run_detached().exits(0);
    is_inside(&unit, &unit.runtime.state(&unit.id)["pid"].to_string());
    assert_eq!(unit.property("Slice"), "system.slice");
    assert_eq!(unit.property("Delegate"), "yes");
    assert_eq!(unit.property("MemoryLimit"), (64 << 20).to_string());
    assert_eq!(unit.property("CPUShares"), "512");
    assert_eq!(unit.property("CPUQuotaPerSecUSec"), "500ms");
    assert_eq!(unit.property("TasksMax"), "30");
    assert_eq!(unit.property("DevicePolicy"), "strict");
    let limits = [
        ("memory", "memory.limit_in_bytes", "67108864"),
        ("memory", "memory.soft_limit_in_bytes", "33554432"),
        ("cpu", "cpu.shares", "512"),
        ("cpu", "cpu.cfs_quota_us", "50000"),
        ("cpu", "cpu.cfs_period_us", "100000"),
        ("cpuset", "cpuset.cpus", "0"),
        ("pids", "pids.max", "30"),
    ];
    controls(&unit, &limits);
    call("systemctl", &["daemon-reload"]).ok();
    controls(&unit, &limits);
    let devices = fs::read_to_string(folder(&unit, "devices").join("devices.list")).expect("read");
    assert!(devices.contains("c 1:11 r") && !devices.contains("a *:* rwm"), "{devices}");

    unit.runtime.call(&["exec", &unit.id, "sh", "-c", "echo > /dev/null"]).ok();
    let file = unit.runtime.host().path("pid");
    let exec = ["exec", "--detach", "--pid-file", file.to_str().expect("UTF-8"), &unit.id, "sleep", "1000"];
    let mut exec = unit.runtime.command(&exec);
    exec.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    assert!(exec.stderr(std::process::Stdio::null()).status().expect("start").success());
    is_inside(&unit, &fs::read_to_string(&file).expect("a pid"));

    unit.runtime.call(&["pause", &unit.id]).ok();
    assert_eq!(unit.runtime.status(&unit.id), "paused");
    controls(&unit, &[("freezer", "freezer.state", "FROZEN")]);
    unit.runtime.call(&["resume", &unit.id]).ok();
    let stats: Value =
        serde_json::from_str(&unit.runtime.call(&["events", "--stats", &unit.id]).ok()).expect("JSON");
    assert_eq!(stats["data"]["pids"]["limit"], 30);
    unit.runtime.call(&["kill", &unit.id, "KILL"]).ok();
    unit.runtime.wait_for(&unit.id, "stopped");
    unit.runtime.call(&["delete", &unit.id]).ok();
    eventually("the unit is gone", || !unit.is_known());
    eventually("its folders are gone", || folders(&unit).is_empty());
}

#[test]
fn an_update_is_told_to_systemd_and_the_kernel() {
    if !needs::systemd_on_cgroup1() {
        return;
    }
    let mut unit = Unit::new("change", "exec sleep 1000");
    unit.bundle.spec["linux"]["resources"]["memory"] = json!({"limit": 64 << 20});
    unit.run_detached().exits(0);
    let changes = ["--memory", "128m", "--pids-limit", "20", "--cpu-quota", "30000", "--cpu-share", "256"];
    unit.runtime.call(&[&["update"], &changes[..], &[&unit.id]].concat()).ok();
    assert_eq!(unit.property("MemoryLimit"), (128 << 20).to_string());
    assert_eq!(unit.property("TasksMax"), "20");
    assert_eq!(unit.property("CPUQuotaPerSecUSec"), "300ms");
    assert_eq!(unit.property("CPUShares"), "256");
    call("systemctl", &["daemon-reload"]).ok();
    controls(
        &unit,
        &[
            ("memory", "memory.limit_in_bytes", "134217728"),
            ("pids", "pids.max", "20"),
            ("cpu", "cpu.cfs_quota_us", "30000"),
            ("cpu", "cpu.shares", "256"),
        ],
    );
    unit.runtime.call(&["delete", "--force", &unit.id]).ok();
    eventually("the unit is gone", || !unit.is_known());
    eventually("its folders are gone", || folders(&unit).is_empty());
}
