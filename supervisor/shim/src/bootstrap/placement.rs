//! Where a fresh shim belongs: its cgroup, and its place in the order in which memory is taken back.

use std::path::Path;

use dhow_linux::file::{PathError, read_limited};
use dhow_proto::containerd::runc::v1::Options;

/// Puts the shim `pid` where `options` want it, and behind its supervisor in the OOM killer's order.
pub(super) fn place(pid: u32, options: Option<&Options>) -> Result<(), PathError> {
    if let Some(cgroup) =
        options.map(|options| options.shim_cgroup.as_str()).filter(|cgroup| !cgroup.is_empty())
    {
        join_cgroup(pid, cgroup)?;
    }
    adjust_oom_score(pid);
    Ok(())
}

/// Joins `cgroup` in every hierarchy that has it.
fn join_cgroup(pid: u32, cgroup: &str) -> Result<(), PathError> {
    let relative = cgroup.trim_start_matches('/');
    let mounts = read_limited(Path::new("/proc/self/mountinfo"), 16 << 20)?;
    let mut joined = false;
    for line in String::from_utf8_lossy(&mounts).lines() {
        let Some((mount, filesystem)) = line.split_once(" - ") else { continue };
        if !filesystem.starts_with("cgroup") {
            continue;
        }
        let Some(point) = mount.split(' ').nth(4) else { continue };
        let procs = Path::new(point).join(relative).join("cgroup.procs");
        if procs.exists() {
            std::fs::write(&procs, pid.to_string()).map_err(PathError::at("write", &procs))?;
            joined = true;
        }
    }
    let missing = || PathError::at("find shim cgroup", cgroup)(std::io::ErrorKind::NotFound.into());
    if joined { Ok(()) } else { Err(missing()) }
}

/// One worse than the supervisor's. Refused without CAP_SYS_RESOURCE in some cases, and then left as inherited.
fn adjust_oom_score(pid: u32) {
    let parent = std::os::unix::process::parent_id();
    let score = std::fs::read_to_string(format!("/proc/{parent}/oom_score_adj")).ok();
    if let Some(score) = score.and_then(|text| text.trim().parse::<i32>().ok()) {
        drop(std::fs::write(format!("/proc/{pid}/oom_score_adj"), (score + 1).min(1000).to_string()));
    }
}
