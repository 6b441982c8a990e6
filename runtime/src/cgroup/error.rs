//! What can go wrong with a container's cgroups.

use std::io;
use std::path::{Path, PathBuf};

use dhow_linux::file::PathError;

use super::device::DeviceError;
use super::limit::LimitError;
use super::systemd::SystemdError;

/// An operation on a container's cgroups failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CgroupError {
    /// The host's hierarchies could not be told apart.
    #[error("find the cgroup hierarchies of this host")]
    Detect(#[source] PathError),
    /// Nothing is mounted that could hold a container.
    #[error("no cgroup mount found in mountinfo")]
    NotMounted,
    /// The devices controller is missing, without which a container could reach every device of the host.
    #[error("cgroup controller devices is not mounted, and a container without it could use every device")]
    NoDevices,
    /// A path that would leave its hierarchy, or is not what the driver expects.
    #[error("invalid cgroup path {}: {reason}", path.display())]
    Path {
        /// The path that was asked for.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A control file could not be read, or a directory not made or removed.
    #[error(transparent)]
    File(#[from] PathError),
    /// A control file refused a value.
    #[error("failed to write {value:?}: write {}", file.display())]
    Write {
        /// The control file.
        file: PathBuf,
        /// What was to be written.
        value: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A limit cannot be set.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// Device rules cannot be set.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Another container's processes are in the cgroup that was asked for.
    #[error("container's cgroup is not empty: {0} process(es) found")]
    NotEmpty(usize),
    /// The cgroup that was asked for is frozen: the container could never start.
    #[error("container's cgroup unexpectedly frozen")]
    Frozen,
    /// The freezer did not reach the state that was asked for.
    #[error("unable to {verb} {}", path.display())]
    Freezer {
        /// `freeze` or `thaw`.
        verb: &'static str,
        /// The cgroup.
        path: PathBuf,
    },
    /// systemd refused.
    #[error(transparent)]
    Systemd(#[from] SystemdError),
}

impl CgroupError {
    pub(super) fn write(file: &Path, value: &str, source: io::Error) -> Self {
        Self::Write { file: file.to_owned(), value: value.to_owned(), source }
    }

    /// The kernel's answer, when there was one.
    #[must_use]
    pub(crate) fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Detect(error) | Self::File(error) => Some(&error.source),
            Self::Write { source, .. } | Self::Device(DeviceError::Program { source, .. }) => Some(source),
            _ => None,
        }
    }

    pub(super) fn is_errno(&self, errno: rustix::io::Errno) -> bool {
        self.io().and_then(io::Error::raw_os_error) == Some(errno.raw_os_error())
    }

    /// Whether the kernel withheld permission: what a rootless caller may expect.
    pub(super) fn is_permission(&self) -> bool {
        use rustix::io::Errno;
        [Errno::PERM, Errno::ACCESS, Errno::ROFS].iter().any(|errno| self.is_errno(*errno))
    }
}
