//! The processes in a container's cgroups: listed, signalled, killed.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::Path;

use dhow_linux::file::{PathError, read_limited};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::fs::{Dir, FileType};
use rustix::io::Errno;

use super::layout::{join_inner, parse_own};
use super::{CgroupError, Directory, Manager};

/// Deeper trees than any container makes; a limit all the same, since a container may own its subtree.
const DEEPEST: usize = 64;

impl Manager {
    /// The processes of the container, with those of cgroups that it made below its own when `recursive`. None when
    /// the cgroup is gone.
    ///
    /// # Errors
    /// When a list cannot be read.
    pub(crate) fn pids(&self, recursive: bool) -> Result<BTreeSet<i32>, CgroupError> {
        let mut pids = BTreeSet::new();
        if let Some(main) = self.main() {
            collect(&main.path, if recursive { DEEPEST } else { 0 }, &mut pids)?;
        }
        Ok(pids)
    }

    /// The cgroup2 directory that a process of the container is in, if it is the container's or below.
    pub(crate) fn of_process(&self, pid: i32) -> Option<OwnedFd> {
        let text = read_limited(Path::new(&format!("/proc/{pid}/cgroup")), 1 << 16).ok()?;
        let own = parse_own(&String::from_utf8_lossy(&text)).remove("")?;
        let hierarchy = self.unified()?;
        let path = join_inner(&hierarchy.top, &own);
        let below = path.starts_with(&hierarchy.path) && path != hierarchy.path;
        below.then(|| Directory::open(&path).ok()).flatten().map(Into::into)
    }

    /// Kills every process of the container: by one write where the kernel offers it, else frozen first, so that none
    /// escapes by forking.
    ///
    /// # Errors
    /// When the processes cannot be listed.
    pub(crate) fn kill_all(&self) -> Result<(), CgroupError> {
        let killed = self.unified().is_some_and(|unified| {
            Directory::open(&unified.path).is_ok_and(|directory| directory.write("cgroup.kill", "1").is_ok())
        });
        if killed && self.is_v2() {
            return Ok(());
        }
        // Hybrid: v1's freezer would keep the dead from dying, and whoever left cgroup2 is still listed here.
        self.signal_all(Signal::SIGKILL)
    }

    /// Sends `signal` to every process of the container. SIGKILL also ends those of a frozen one.
    ///
    /// # Errors
    /// When the processes cannot be listed.
    pub(crate) fn signal_all(&self, signal: Signal) -> Result<(), CgroupError> {
        let frozen_before = self.is_frozen().unwrap_or(false);
        let pids = self.pids(true)?;
        if pids.is_empty() {
            return if frozen_before && signal == Signal::SIGKILL { self.thaw() } else { Ok(()) };
        }
        // Frozen, no process can fork, exit or hand its pid to another between the list and the signal.
        let frozen = frozen_before || self.freeze().is_ok();
        let pids = if frozen { self.pids(true)? } else { pids };
        for pid in pids {
            // One that is gone already needs no signal.
            let _ = kill(Pid::from_raw(pid), signal);
        }
        if frozen && (!frozen_before || signal == Signal::SIGKILL) {
            self.thaw()?;
        }
        Ok(())
    }
}

fn collect(path: &Path, depth: usize, pids: &mut BTreeSet<i32>) -> Result<(), CgroupError> {
    let directory = match Directory::open(path) {
        Err(error) if is_gone(&error) => return Ok(()),
        directory => directory?,
    };
    // A threaded v2 cgroup lists threads only.
    let list = match directory.read("cgroup.procs") {
        Err(error) if error.is_errno(Errno::OPNOTSUPP) => directory.read("cgroup.threads"),
        list => list,
    };
    match list {
        Ok(list) => pids.extend(list.lines().filter_map(|line| line.parse::<i32>().ok())),
        Err(error) if is_gone(&error) => return Ok(()),
        Err(error) => return Err(error),
    }
    if depth == 0 {
        return Ok(());
    }
    for child in children(&directory)? {
        collect(&path.join(child), depth - 1, pids)?;
    }
    Ok(())
}

/// The names of the cgroups directly below `directory`.
pub(super) fn children(directory: &Directory) -> Result<Vec<String>, CgroupError> {
    let failed = |error: Errno| PathError::at("list", directory.path())(error.into());
    let mut names = Vec::new();
    for entry in Dir::read_from(directory).map_err(failed)? {
        let entry = match entry {
            Ok(entry) => entry,
            Err(Errno::NOENT | Errno::NODEV) => break,
            Err(error) => return Err(failed(error).into()),
        };
        let name = entry.file_name().to_string_lossy();
        if entry.file_type() == FileType::Directory && name != "." && name != ".." {
            names.push(name.into_owned());
        }
    }
    Ok(names)
}

/// Whether the cgroup vanished between two looks.
pub(super) fn is_gone(error: &CgroupError) -> bool {
    error.is_errno(Errno::NOENT) || error.is_errno(Errno::NODEV)
}
