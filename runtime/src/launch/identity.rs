//! User and group IDs of a new user namespace.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use dhow_linux::file::PathError;
use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;

use super::LaunchError;
use crate::spec::{IdMapping, Linux};

/// Writes the maps of `pid`. Without privileges the set-user-ID programs newuidmap and newgidmap do it.
pub(super) fn write_maps(pid: Pid, linux: &Linux) -> Result<(), LaunchError> {
    let privileged = rustix::process::geteuid().is_root();
    let own = [IdMapping { container_id: 0, host_id: rustix::process::getegid().as_raw(), size: 1 }];
    if !privileged && linux.gid_mappings == own {
        // The price of mapping one's own group without help (Linux 3.19).
        write(pid, "setgroups", "deny")?;
    }
    write_map(pid, "uid_map", "newuidmap", &linux.uid_mappings, privileged)?;
    write_map(pid, "gid_map", "newgidmap", &linux.gid_mappings, privileged)
}

fn write_map(
    pid: Pid,
    file: &'static str,
    tool: &'static str,
    mappings: &[IdMapping],
    privileged: bool,
) -> Result<(), LaunchError> {
    if mappings.is_empty() {
        return Ok(());
    }
    let mut text = String::new();
    for IdMapping { container_id, host_id, size } in mappings {
        let _ = writeln!(text, "{container_id} {host_id} {size}");
    }
    match write(pid, file, &text) {
        Err(_) if !privileged => {
            let mut command = Command::new(tool);
            command.arg(pid.as_raw_nonzero().to_string()).args(text.split_whitespace());
            let status = command.status().map_err(PathError::at("run", tool))?;
            if status.success() {
                return Ok(());
            }
            Err(LaunchError::Usage(format!("{tool} failed: {status}")))
        }
        other => other,
    }
}

/// One write(2): the kernel takes a map whole or not at all.
fn write(pid: Pid, file: &'static str, text: &str) -> Result<(), LaunchError> {
    let path = format!("/proc/{}/{file}", pid.as_raw_nonzero());
    rustix::fs::open(&path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
        .and_then(|opened| rustix::io::write(&opened, text.as_bytes()))
        .map(drop)
        .map_err(|error| PathError::at("write", Path::new(&path))(error.into()).into())
}
