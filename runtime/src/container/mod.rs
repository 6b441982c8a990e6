//! A container as the rest of the world finds it: a folder below the root, one state document, and what the kernel
//! says about its first process.
//!
//! ```text
//! ROOT/ID/state.json   written once, before the container's own code runs ([`state::State`])
//! ROOT/ID/exec.fifo    there as long as the container waits for `start`
//! ROOT/ID/criu-root    the root file system as a mount of its own, during a restore
//! ROOT/ID/cgroup       a link that says, before there is a state document, which cgroup may exist ([`unfinished`])
//! ```
//! Status is never stored: it is derived from the process, the freezer and the fifo ([`Container::status`]).

pub(crate) mod destroy;
mod id;
mod signal;
mod state;
mod status;
pub(crate) mod unfinished;

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use dhow_linux::file::PathError;
use dhow_linux::process::Stat;
use rustix::process::Pid;

use crate::cgroup::{CgroupError, Manager, Owner};
use crate::spec::Spec;

pub(crate) use id::ContainerId;
pub(crate) use state::{Init, State};
pub(crate) use status::{OciState, Status};

/// Name of the fifo on which a created container waits.
pub(crate) const FIFO: &str = "exec.fifo";
/// The name of the mount that a restore starts from.
pub(crate) const RESTORED_ROOT: &str = "criu-root";

/// Why an operation on a container failed; the texts without a source are runc's, since engines match them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContainerError {
    /// The id is taken.
    #[error("container with given ID already exists")]
    Exists,
    /// No such container.
    #[error("container does not exist")]
    NotFound,
    /// Its first process has ended.
    #[error("container not running")]
    NotRunning,
    /// It is not frozen.
    #[error("container not paused")]
    NotPaused,
    /// It must be stopped first.
    #[error("container still running")]
    StillRunning,
    /// It must be resumed first.
    #[error("container paused")]
    Paused,
    /// The state document cannot be understood.
    #[error("invalid state of container {id}")]
    Document {
        /// Whose.
        id: ContainerId,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The state document was written by a newer version of this program.
    #[error("state of container {id} has version {version}, newer than this program knows")]
    NewerState {
        /// Whose.
        id: ContainerId,
        /// Which.
        version: u32,
    },
    /// Reading or writing below the root failed.
    #[error(transparent)]
    File(#[from] PathError),
    /// A signal could not be sent.
    #[error("unable to signal init")]
    Signal(#[source] io::Error),
    /// Cgroups.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
}

/// A container that exists.
#[derive(Debug)]
pub(crate) struct Container {
    /// Its folder below the root.
    folder: PathBuf,
    /// Its state document.
    pub(crate) state: State,
    /// Its cgroups.
    pub(crate) cgroup: Manager,
}

impl Container {
    /// Reserves `id` below `root` by making its folder.
    pub(crate) fn reserve(root: &Path, id: &ContainerId) -> Result<PathBuf, ContainerError> {
        let folder = root.join(id.as_str());
        let make = |path: &Path| DirBuilder::new().mode(0o711).create(path);
        let made = make(&folder).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o700).create(root).and_then(|()| make(&folder))
            }
            _ => Err(error),
        });
        match made {
            Ok(()) => Ok(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(ContainerError::Exists),
            Err(error) => Err(PathError::at("mkdir", &folder)(error).into()),
        }
    }

    /// Finds the container `id` below `root`.
    pub(crate) fn open(root: &Path, id: &ContainerId) -> Result<Self, ContainerError> {
        let folder = root.join(id.as_str());
        let state = State::load(&folder, id)?;
        let owner = if state.systemd_user { Owner::User } else { Owner::System };
        let cgroup = Manager::from_paths(&state.cgroup_paths)?.in_unit(state.systemd_unit.as_deref(), owner);
        Ok(Self { folder, state, cgroup })
    }

    /// The container that `state` describes, in the folder that was reserved for it.
    pub(crate) const fn new(folder: PathBuf, state: State, cgroup: Manager) -> Self {
        Self { folder, state, cgroup }
    }

    /// Its folder below the root.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the fifo is on which it waits for `start`.
    pub(crate) fn fifo(&self) -> PathBuf {
        self.folder.join(FIFO)
    }

    /// Replaces its state document.
    pub(crate) fn save(&self) -> Result<(), ContainerError> {
        self.state.save(&self.folder)
    }

    /// The configuration it was created with.
    pub(crate) fn spec(&self) -> Result<Spec, ContainerError> {
        serde_json::from_str(self.state.config.get())
            .map_err(|source| ContainerError::Document { id: self.state.id.clone(), source })
    }

    /// The first process, when it is still alive: pid and start time must both match.
    pub(crate) fn init(&self) -> Option<Pid> {
        let init = self.state.init?;
        let pid = Pid::from_raw(init.pid)?;
        let stat = Stat::of(pid).ok()?;
        (stat.start_time == init.start_time && !stat.has_ended()).then_some(pid)
    }
}
