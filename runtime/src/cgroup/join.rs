//! Entering the cgroups without waiting for the kernel.
//!
//! Writing a pid to `cgroup.procs` takes the kernel's thread-group lock and waits for a whole RCU grace period,
//! milliseconds on an idle machine. Two ways do not: a single-threaded process that writes `0` into the v1 file
//! `tasks` (it moves only itself), and, on v2, being born inside (`CLONE_INTO_CGROUP`).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::{CgroupError, Directory, Manager, Version};

/// Descriptors through which a process enters a container's cgroups.
#[derive(Debug)]
pub(crate) struct Join {
    tasks: Vec<OwnedFd>,
    unified: Option<Directory>,
}

impl Join {
    /// The doors that another process opened.
    pub(crate) fn through(tasks: Vec<OwnedFd>) -> Self {
        Self { tasks, unified: None }
    }

    /// The doors of v1, to be handed to the process that enters.
    pub(crate) fn doors(&self) -> Vec<BorrowedFd<'_>> {
        self.tasks.iter().map(AsFd::as_fd).collect()
    }

    /// The cgroup2 directory, for `CLONE_INTO_CGROUP`.
    pub(crate) fn unified(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().map(AsFd::as_fd)
    }

    /// Moves the calling process into the v1 cgroups; it must be single-threaded. Allocates nothing, so that a child
    /// may call it between clone and exec.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub(crate) fn enter_v1(&self) -> Result<(), Errno> {
        self.tasks.iter().try_for_each(|tasks| rustix::io::write(tasks, b"0").map(drop))
    }
}

impl Manager {
    /// The cgroup2 directory that the container's first process is born into, unless systemd has to move it in.
    ///
    /// # Errors
    /// When it is missing or closed to the caller.
    pub(crate) fn birthplace(&self) -> Result<Option<Directory>, CgroupError> {
        let birthplace = self.unified().filter(|_| !self.is_of_user());
        birthplace.map(|hierarchy| Directory::open(&hierarchy.path)).transpose()
    }

    /// Has systemd move process `pid` in, or into the cgroup `below`: the container's own user has no right to move
    /// it out of where the session is.
    ///
    /// # Errors
    /// When systemd refuses.
    pub(crate) fn attach(&self, below: &str, pid: i32) -> Result<(), CgroupError> {
        self.unit.as_ref().map_or(Ok(()), |unit| unit.attach(below, pid).map_err(Into::into))
    }

    /// Opens the doors of the container's cgroups.
    ///
    /// # Errors
    /// When a directory is missing or closed to the caller.
    pub(crate) fn join(&self) -> Result<Join, CgroupError> {
        self.join_below(|_| None)
    }

    /// Opens the doors of sub-cgroups: `below` names one, relative to the container's, per controller (`""` for
    /// cgroup2), or none for the container's own.
    ///
    /// # Errors
    /// When a directory is missing or closed to the caller, or a sub-cgroup's path leaves the container's.
    pub(crate) fn join_below(&self, below: impl Fn(&str) -> Option<String>) -> Result<Join, CgroupError> {
        let mut join = Join { tasks: Vec::with_capacity(self.hierarchies.len()), unified: None };
        for hierarchy in &self.hierarchies {
            let controllers = hierarchy.controllers.iter().map(String::as_str);
            let sub = match hierarchy.version {
                Version::V1 => controllers.into_iter().find_map(&below),
                Version::V2 => below(""),
            };
            let path = match sub {
                Some(sub) => {
                    super::layout::join_inner(&hierarchy.path, &super::layout::clean(Path::new(&sub)))
                }
                None => hierarchy.path.clone(),
            };
            match hierarchy.version {
                Version::V1 => join.tasks.push(Directory::open(&path)?.file("tasks", OFlags::WRONLY)?),
                Version::V2 => join.unified = Some(Directory::open(&path)?),
            }
        }
        Ok(join)
    }
}
