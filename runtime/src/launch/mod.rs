//! Making processes: a new container's first one, and further ones in a running container. The runtime's side.
//!
//! ```text
//! container   folder → bundle → cgroups → setup → clone → dialogue → state document → (wait)
//! exec        process → clone into the container's namespaces and cgroups → dialogue → (wait)
//! ```
//! What fails half-way is undone by the guards in [`undo`]; what is killed half-way is found by `delete --force`.

mod bundle;
mod container;
mod dialogue;
mod exec;
mod foreground;
mod identity;
mod limits;
mod mapping;
mod restore;
mod setup;
mod spawn;
mod stdio;
mod undo;

use std::io;
use std::path::{Path, PathBuf};

use dhow_linux::file::PathError;

use crate::cgroup::CgroupError;
use crate::container::ContainerError;
use crate::criu::CriuError;
use crate::hook::HookError;
use crate::init::TaskError;
use crate::network::NetDeviceError;
use crate::notify::NotifyError;
use crate::resctrl::ResctrlError;
use crate::spec::LoadError;
use crate::validate::Invalid;

pub(crate) use container::{Creation, launch};
pub(crate) use exec::{Execution, exec};
pub(crate) use restore::{Restoration, restore};

/// A process could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    /// The configuration cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The configuration asks for what cannot be.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The process cannot be as asked.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// The container's folder or state.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// The container's cgroups.
    #[error("unable to start container process")]
    Cgroup(#[from] CgroupError),
    /// The container's cgroups, for a process that is to join them.
    #[error("unable to start container process: error adding pid to cgroups: adding pid to cgroup")]
    Join(#[source] CgroupError),
    /// What the new process says.
    #[error("unable to start container process: error during container init: {0}")]
    Init(String),
    /// What the new process of a running container says.
    #[error("unable to start container process: {0}")]
    Exec(String),
    /// A hook of the runtime's side.
    #[error("unable to start container process: error during container init")]
    Hook(#[from] HookError),
    /// A hook that comes after the start.
    #[error(transparent)]
    Poststart(HookError),
    /// A network device.
    #[error("unable to start container process: error during container init")]
    NetDevice(#[from] NetDeviceError),
    /// The socket for readiness.
    #[error(transparent)]
    Notify(#[from] NotifyError),
    /// The class of service.
    #[error("unable to start container process")]
    Resctrl(#[from] ResctrlError),
    /// A restore.
    #[error(transparent)]
    Criu(#[from] CriuError),
    /// A file of the caller.
    #[error(transparent)]
    File(#[from] PathError),
    /// One or a few kernel calls.
    #[error("{action}")]
    Call {
        /// What was being done.
        action: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// What the caller asked for contradicts itself.
    #[error("{0}")]
    Usage(String),
}

impl LaunchError {
    /// The error of an exec: its process is no container's init, and callers know the text without one.
    fn of_exec(self) -> Self {
        match self {
            Self::Init(text) => Self::Exec(text),
            other => other,
        }
    }

    /// An adapter for `map_err`.
    fn call<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Call { action, source: source.into() }
    }
}

/// Makes this program's file unwritable for whoever finds it through the process that is about to be made.
pub(crate) fn seal() -> Result<(), LaunchError> {
    match dhow_linux::seal::seal() {
        Ok(()) => {
            crate::log::debug("runc exeseal: using /proc/self/exe clone (a read-only mount, in place)");
            // What readers of the log look for where a runtime mounts an overlay instead.
            crate::log::debug("runc exeseal: using overlayfs for sealed /proc/self/exe is not necessary");
            Ok(())
        }
        Err(error) => {
            crate::log::debug(&format!("sealing by a copy, since not in place: {error}"));
            // Nothing was done yet that a second start would do again.
            Err(LaunchError::call("seal the runtime's own file")(dhow_linux::seal::run_sealed_copy()))
        }
    }
}

/// How a process is connected to the caller; the flags that create, run and exec share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connection {
    /// Who gets the terminal's master.
    pub(crate) console_socket: Option<PathBuf>,
    /// Who gets the process's pidfd.
    pub(crate) pidfd_socket: Option<PathBuf>,
    /// Where the pid is written.
    pub(crate) pid_file: Option<PathBuf>,
    /// How many descriptors after the standard ones (and systemd's) the process keeps.
    pub(crate) preserve_fds: i32,
    /// Whether the runtime leaves while the process runs.
    pub(crate) detach: bool,
}

impl Connection {
    /// Makes the paths independent of the working directory, which is about to change.
    pub(crate) fn absolute(mut self) -> Result<Self, LaunchError> {
        for path in
            [&mut self.console_socket, &mut self.pidfd_socket, &mut self.pid_file].into_iter().flatten()
        {
            *path = std::path::absolute(&*path).map_err(PathError::at("resolve", &*path))?;
        }
        Ok(self)
    }

    /// Refuses combinations that cannot work.
    fn check(&self, terminal: bool) -> Result<(), LaunchError> {
        if self.detach && terminal && self.console_socket.is_none() {
            let text = "cannot allocate tty if runc will detach without setting console socket";
            return Err(LaunchError::Usage(text.to_owned()));
        }
        if self.console_socket.is_some() && !(self.detach && terminal) {
            let text = "cannot use console socket if runc will not detach or allocate tty";
            return Err(LaunchError::Usage(text.to_owned()));
        }
        Ok(())
    }

    /// Writes the pid file: whole or not at all, under its final name only once it is whole.
    fn write_pid(&self, pid: i32) -> Result<(), LaunchError> {
        let Some(path) = &self.pid_file else { return Ok(()) };
        use dhow_linux::file::{Durability, replace};
        replace(Path::new(path), pid.to_string().as_bytes(), 0o644, Durability::Process).map_err(Into::into)
    }
}
