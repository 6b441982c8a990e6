//! Undoing a container that was not finished: what exists of it is held by two guards, the later one dropped first.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxResources;
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use crate::cgroup::{CgroupError, Manager};
use crate::container::destroy::remove_folder;
use crate::container::{Container, ContainerError, ContainerId};
use crate::log;
use crate::resctrl::Class;

/// A new container's folder; dropping it removes that.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    kept: bool,
}

impl Folder {
    /// Reserves `id` below `root`.
    pub(super) fn reserve(root: &Path, id: &ContainerId) -> Result<Self, ContainerError> {
        Ok(Self { path: Container::reserve(root, id)?, kept: false })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The container is made.
    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = remove_folder(&self.path)
        {
            log::warn(&crate::error::chain(&error));
        }
    }
}

/// What the kernel has of a new container; dropping it ends and removes that.
#[derive(Debug)]
pub(super) struct Undo {
    /// Its cgroups.
    pub(super) cgroups: Manager,
    /// Its class of service, when it has one.
    pub(super) class: Option<Class>,
    /// Its first process, once there is one.
    pub(super) child: Option<OwnedFd>,
    kept: bool,
}

impl Undo {
    /// Makes the first of the cgroups.
    pub(super) fn begin(mut cgroups: Manager, limits: Option<&LinuxResources>) -> Result<Self, CgroupError> {
        cgroups.begin(limits)?;
        Ok(Self { cgroups, class: None, child: None, kept: false })
    }

    /// The container is made.
    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if let Some(child) = self.child.take() {
            let _ = pidfd_send_signal(&child, Signal::KILL);
            let _ = waitid(WaitId::PidFd(child.as_fd()), WaitIdOptions::EXITED);
        }
        drop(self.cgroups.kill_all());
        if let Err(error) = self.cgroups.remove() {
            log::warn(&format!("unable to remove container's cgroup: {}", crate::error::chain(&error)));
        }
        if let Some(Err(error)) = self.class.take().map(|class| class.remove()) {
            log::warn(&crate::error::chain(&error));
        }
    }
}
