//! What a test may need of the machine beyond being root. Where it is missing the test is skipped, with a line that
//! says why; in the virtual machine of `make test-vm`, which has it all, the test fails instead.
//!
//! ```no_run
//! if !dhow_integration_tests::needs::systemd() {
//!     return;
//! }
//! ```

use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::binaries::in_path;

/// systemd runs here and owns the cgroups.
#[must_use]
#[track_caller]
pub fn systemd() -> bool {
    need("a running systemd", Path::new("/run/systemd/system").is_dir())
}

/// The controllers are those of cgroup v2.
#[must_use]
#[track_caller]
pub fn cgroup2() -> bool {
    need_where(|machine| machine == "v2", "the controllers of cgroup v2", is_cgroup2())
}

/// Every controller has a cgroup v1 hierarchy, and systemd owns them.
#[must_use]
#[track_caller]
pub fn systemd_on_cgroup1() -> bool {
    let there = Path::new("/run/systemd/system").is_dir() && !is_cgroup2();
    let promised = |machine: &str| matches!(machine, "hybrid" | "v1");
    need_where(promised, "systemd on the controllers of cgroup v1", there)
}

/// The user for rootless containers: one who may log in, has IDs to give away, and a systemd of his own.
#[must_use]
#[track_caller]
pub fn session_user() -> Option<u32> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = passwd.lines().find_map(|line| line.strip_prefix("vm-user:"));
    let user = line.and_then(|line| line.split(':').nth(1)?.parse().ok());
    need("a user vm-user below systemd", user.is_some() && Path::new("/run/systemd/system").is_dir());
    user
}

/// Whether the controllers are those of cgroup v2: for tests that run on both.
#[must_use]
pub fn is_cgroup2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// AppArmor is enabled and its parser installed.
#[must_use]
#[track_caller]
pub fn apparmor() -> bool {
    let enabled = std::fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    need(
        "AppArmor",
        enabled.is_ok_and(|enabled| enabled.trim() == "Y") && in_path("apparmor_parser").is_some(),
    )
}

/// CRIU is installed and can work on this kernel.
#[must_use]
#[track_caller]
pub fn criu() -> bool {
    let works = Command::new("criu").arg("check").output().is_ok_and(|output| output.status.success());
    need("a working CRIU", works)
}

/// The kernel can make network devices of type `dummy`.
#[must_use]
#[track_caller]
pub fn dummy_device() -> bool {
    // In a network namespace of its own, where nobody sees it.
    let mut make = Command::new("unshare");
    make.args(["--net", "ip", "link", "add", "dummy0", "type", "dummy"]);
    need("network devices of type dummy", make.output().is_ok_and(|output| output.status.success()))
}

/// Something that the virtual machine has, whatever its cgroups are.
#[track_caller]
fn need(what: &str, there: bool) -> bool {
    need_where(|machine| !machine.is_empty(), what, there)
}

/// Something that the virtual machines have whose name (`v2`, `hybrid`, `v1`) is `promised`.
#[track_caller]
fn need_where(promised: impl Fn(&str) -> bool, what: &str, there: bool) -> bool {
    if !there {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let machine = std::env::var("DHOW_VM").unwrap_or_default();
        assert!(!promised(&machine), "{test} needs {what}, and the virtual machine has none");
        // Not through eprintln!, which the test harness keeps to itself when a test passes.
        let told = writeln!(std::io::stderr(), "skipped: {test} needs {what}; `make test-vm` has it");
        drop(told);
    }
    there
}
