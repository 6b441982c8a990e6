//! Undoing a container that was not finished.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use crate::cgroup::Manager;
use crate::container::destroy::remove_folder;
use crate::log;
use crate::resctrl::Class;

/// What exists so far of a new container; dropping it removes that.
#[derive(Debug)]
pub(super) struct Undo {
    folder: Option<PathBuf>,
    /// Its cgroups, once they may exist.
    pub(super) cgroups: Option<Manager>,
    /// Its class of service, once there may be one.
    pub(super) class: Option<Class>,
    /// Its first process, once there is one.
    pub(super) child: Option<OwnedFd>,
}

impl Undo {
    /// Begins with the folder.
    pub(super) const fn new(folder: PathBuf) -> Self {
        Self { folder: Some(folder), cgroups: None, class: None, child: None }
    }

    /// The container is made: nothing is to be undone.
    pub(super) fn disarm(mut self) {
        self.folder = None;
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        let Some(folder) = self.folder.take() else { return };
        if let Some(child) = self.child.take() {
            let _ = pidfd_send_signal(&child, Signal::KILL);
            use std::os::fd::AsFd;
            let _ = waitid(WaitId::PidFd(child.as_fd()), WaitIdOptions::EXITED);
        }
        if let Some(cgroups) = self.cgroups.take() {
            drop(cgroups.kill_all());
            if let Err(error) = cgroups.remove() {
                log::warn(&format!("unable to remove container's cgroup: {}", crate::error::chain(&error)));
            }
        }
        if let Some(Err(error)) = self.class.take().map(|class| class.remove()) {
            log::warn(&crate::error::chain(&error));
        }
        if let Err(error) = remove_folder(&folder) {
            log::warn(&crate::error::chain(&error));
        }
    }
}
