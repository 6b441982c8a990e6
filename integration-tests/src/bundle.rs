//! OCI bundles for tests of a runtime or a shim: a busybox root file system and a spec to change.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::busybox;
use crate::host::Host;

/// A folder with `config.json` and `rootfs`.
#[derive(Debug)]
pub struct Bundle {
    folder: PathBuf,
    /// The spec; [`Bundle::save`] writes it.
    pub spec: Value,
}

impl Bundle {
    /// Makes the bundle `name` in `host`: `sh -c script` with Docker's namespaces and mounts, no terminal.
    ///
    /// # Panics
    /// When the root file system cannot be made.
    #[must_use]
    pub fn new(host: &Host, name: &str, script: &str) -> Self {
        let folder = host.folder(format!("bundles/{name}"));
        busybox::tree(&folder.join("rootfs"));
        let bundle = Self { folder, spec: spec(&format!("{}/{name}", host.cgroup()), script) };
        bundle.save();
        bundle
    }

    /// The bundle `name` in `host` with a fresh spec, on the root file system that it has if it was made before.
    #[must_use]
    pub fn again(host: &Host, name: &str, script: &str) -> Self {
        let folder = host.folder(format!("bundles/{name}"));
        if !folder.join("rootfs").exists() {
            return Self::new(host, name, script);
        }
        let bundle = Self { folder, spec: spec(&format!("{}/{name}", host.cgroup()), script) };
        bundle.save();
        bundle
    }

    /// The bundle's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A path in the root file system, seen from outside.
    #[must_use]
    pub fn rootfs(&self, relative: &str) -> PathBuf {
        self.folder.join("rootfs").join(relative)
    }

    /// Writes `config.json`.
    ///
    /// # Panics
    /// When the folder is gone.
    pub fn save(&self) {
        fs::write(self.folder.join("config.json"), self.spec.to_string()).expect("write config.json");
    }
}

const CAPABILITIES: &[&str] = &["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SETGID", "CAP_SETUID"];

/// A spec that runs `sh -c script` in the cgroup at this absolute path, its root file system in `rootfs`.
#[must_use]
pub fn spec(cgroup: &str, script: &str) -> Value {
    let mount = |target: &str, kind: &str, options: &[&str]| json!({"destination": target, "type": kind, "source": kind, "options": options});
    json!({
        "ociVersion": "1.2.0",
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh", "-c", script],
            "env": ["PATH=/bin:/sbin:/usr/bin:/usr/sbin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {"bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES},
            "noNewPrivileges": true
        },
        "root": {"path": "rootfs", "readonly": false},
        "hostname": "bundle",
        "mounts": [
            mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
            mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
            mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"])
        ],
        "linux": {
            "cgroupsPath": cgroup,
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}],
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        }
    })
}
