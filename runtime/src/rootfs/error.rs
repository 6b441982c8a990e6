//! What can go wrong with a root file system.

use std::io;

/// A step of making the container's view of files failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RootfsError {
    /// One of the spec's mounts.
    #[error("error mounting {source_name:?} to rootfs at {target:?}")]
    Mount {
        /// The mount's source.
        source_name: String,
        /// The mount's destination.
        target: String,
        /// Why.
        source: Box<MountFailure>,
    },
    /// A step on the whole.
    #[error("{step}")]
    Step {
        /// What was being done.
        step: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A step on one path in the container.
    #[error("{action} {path:?}")]
    Path {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A device node that the spec asks for has a type nobody knows.
    #[error("{kind:?} is not a valid device type for device {path}")]
    DeviceType {
        /// The type.
        kind: String,
        /// The node.
        path: String,
    },
    /// `/dev/null` of the container is something else.
    #[error("container's /dev/null is invalid")]
    FalseNull,
}

impl RootfsError {
    /// An adapter for `map_err`.
    pub(super) fn step<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Step { step, source: source.into() }
    }

    /// An adapter for `map_err`.
    pub(super) fn path<E: Into<io::Error>>(action: &'static str, path: &str) -> impl FnOnce(E) -> Self {
        move |source| Self::Path { action, path: path.to_owned(), source: source.into() }
    }
}

/// Why one mount could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MountFailure {
    /// A call failed.
    #[error("{0}")]
    Call(&'static str, #[source] io::Error),
    /// proc and sysfs go onto real directories only: a link could lead them where masks do not reach.
    #[error("filesystem {0:?} must be mounted on ordinary directory")]
    NotOrdinary(String),
    /// Something else than proc on `/proc`.
    #[error("{0:?} cannot be mounted because it is not of type proc")]
    NotProc(String),
    /// A mount inside `/proc`, where it could fake the kernel's answers.
    #[error("{0:?} cannot be mounted because it is inside /proc")]
    InsideProc(String),
    /// A link led out of the root file system.
    #[error("mountpoint {target:?} is outside of rootfs {root:?}")]
    Outside {
        /// Where it led.
        target: String,
        /// The root.
        root: String,
    },
    /// A mount that would hide the root.
    #[error("mountpoint {0:?} is on the top of rootfs")]
    OnRoot(String),
    /// A flag of the source's mount that this user namespace may not clear.
    #[error("cannot clear locked flags")]
    Locked(#[source] io::Error),
    /// Flags that the caller asked for.
    #[error("failed to set user-requested vfs flags on bind-mount")]
    Flags(#[source] Box<Self>),
    /// Copying what a tmpfs hides.
    #[error("tmpcopyup: failed to copy {0}")]
    CopyUp(String, #[source] io::Error),
}

impl MountFailure {
    /// An adapter for `map_err`.
    pub(super) fn call<E: Into<io::Error>>(call: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Call(call, source.into())
    }
}
