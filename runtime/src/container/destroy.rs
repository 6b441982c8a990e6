//! The end of a container: its processes, cgroups and folder, then its poststop hooks.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use dhow_linux::file::PathError;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use rustix::process::{PidfdFlags, Signal, pidfd_open};

use super::{Container, ContainerError, OciState, RESTORED_ROOT, State, Status};
use crate::cgroup::Manager;
use crate::hook::{self, Moment};
use crate::log;
use crate::spec::{NamespaceKind, Spec};

/// How long a killed process may take to end before that is an error.
const PATIENCE: Duration = Duration::from_secs(10);

impl Container {
    /// Removes a container whose first process has ended.
    pub(crate) fn destroy(&self, spec: &Spec) -> Result<(), ContainerError> {
        match self.status()? {
            Status::Paused if self.init().is_some() => return Err(ContainerError::Paused),
            Status::Running => return Err(ContainerError::StillRunning),
            Status::Paused => self.cgroup.thaw()?,
            Status::Created => drop(self.signal_init(Signal::KILL)),
            Status::Stopped | Status::Creating => {}
        }
        self.remove(spec)
    }

    /// Kills every process, waits for the end of the first, and removes the container.
    pub(crate) fn kill_and_destroy(&self) -> Result<(), ContainerError> {
        let handle = self.init().and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        // Thawed first: a frozen process would never end. The signal reaches it before it runs anything.
        drop(self.signal_init(Signal::KILL));
        if self.cgroup.is_frozen().unwrap_or(false) {
            drop(self.cgroup.thaw());
        }
        if let Some(handle) = handle {
            let timeout = Timespec { tv_sec: 10, tv_nsec: 0 };
            let mut polled = [PollFd::new(&handle, PollFlags::IN)];
            while let Err(rustix::io::Errno::INTR) = rustix::event::poll(&mut polled, Some(&timeout)) {}
        }
        if self.init().is_some() {
            log::warn("container init still running");
            return Err(ContainerError::StillRunning);
        }
        self.remove(&self.spec()?)
    }

    fn remove(&self, spec: &Spec) -> Result<(), ContainerError> {
        if !spec.creates(NamespaceKind::Pid) {
            // The kernel ended nobody with the first process.
            drop(self.cgroup.kill_all());
        }
        remove_cgroup(&self.cgroup)?;
        if let Some(class) = &self.state.resctrl {
            class.remove()?;
        }
        remove_folder(&self.folder)?;
        self.state.run_poststop(spec);
        Ok(())
    }
}

impl State {
    /// Runs the hooks that come after everything. They cannot bring it back: a failure is told, and the next one runs.
    pub(crate) fn run_poststop(&self, spec: &Spec) {
        let oci = OciState::new(self.id.as_str(), Status::Stopped, 0, &self.bundle, &spec.annotations);
        hook::run_all(spec.hooks.as_ref(), Moment::Poststop, &oci);
    }
}

/// Removes cgroups. Processes that were just killed leave them a moment later than they stop being alive.
pub(super) fn remove_cgroup(cgroups: &Manager) -> Result<(), ContainerError> {
    let start = Instant::now();
    let mut pause = Duration::from_micros(200);
    loop {
        match cgroups.remove() {
            Ok(()) => return Ok(()),
            Err(error) if start.elapsed() > PATIENCE => return Err(error.into()),
            Err(_) => {
                // Without a PID namespace a process may have forked between the list and the signal.
                drop(cgroups.kill_all());
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(50));
            }
        }
    }
}

/// Removes the folder of a container, also of one that was never finished.
pub(crate) fn remove_folder(folder: &Path) -> Result<(), PathError> {
    unmount_root(folder)?;
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(PathError::at("remove container state dir", folder)(error))
        }
        _ => Ok(()),
    }
}

/// Takes away what a killed restore left mounted: below that name lie the files of the image, not ours.
pub(crate) fn unmount_root(folder: &Path) -> Result<(), PathError> {
    let root = folder.join(RESTORED_ROOT);
    let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
    match rustix::mount::unmount(&root, flags) {
        // Not there, or nothing mounted; without rights there was no restore either.
        Ok(()) | Err(Errno::NOENT | Errno::INVAL | Errno::PERM) => Ok(()),
        Err(error) => Err(PathError::at("unmount", &root)(error.into())),
    }
}
