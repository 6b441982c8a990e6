//! mount_setattr(2), and the few mount calls by descriptor that are built on it.
//!
//! Everything else of the new mount API (open_tree, fsopen, fsmount, move_mount) is rustix's; [`move_onto`] and
//! [`clone_tree`] only name the usual combination of flags.

#![expect(unsafe_code, reason = "mount_setattr(2) has no safe wrapper")]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::mount::{MoveMountFlags, OpenTreeFlags};

/// What [`set_attributes`] changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `MOUNT_ATTR_*` bits to set.
    pub set: u64,
    /// `MOUNT_ATTR_*` bits to clear.
    pub clear: u64,
    /// `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`, `MS_UNBINDABLE`, or 0 to leave it.
    pub propagation: u64,
}

/// `MOUNT_ATTR_RDONLY`.
pub const READ_ONLY: u64 = 0x1;
/// `MOUNT_ATTR_NOSUID`.
pub const NO_SUID: u64 = 0x2;
/// `MOUNT_ATTR_NODEV`.
pub const NO_DEV: u64 = 0x4;
/// `MOUNT_ATTR_NOEXEC`.
pub const NO_EXEC: u64 = 0x8;
/// `MOUNT_ATTR__ATIME`, the mask of the three access time settings.
pub const ACCESS_TIME: u64 = 0x70;
/// `MOUNT_ATTR_RELATIME`.
pub const RELATIME: u64 = 0;
/// `MOUNT_ATTR_NOATIME`.
pub const NO_ATIME: u64 = 0x10;
/// `MOUNT_ATTR_STRICTATIME`.
pub const STRICT_ATIME: u64 = 0x20;
/// `MOUNT_ATTR_NODIRATIME`.
pub const NO_DIRATIME: u64 = 0x80;
/// `MOUNT_ATTR_NOSYMFOLLOW`.
pub const NO_SYMFOLLOW: u64 = 0x20_0000;
const ID_MAP: u64 = 0x10_0000;

/// Whether a change reaches the mounts below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Only the mount itself.
    One,
    /// The mount and all mounts below it, or none of them.
    Tree,
}

/// Changes the mount that `mount` is the root of.
///
/// # Errors
/// `EINVAL` when it is not the root of a mount, `EPERM` for locked attributes.
pub fn set_attributes(mount: BorrowedFd<'_>, attributes: Attributes, depth: Depth) -> io::Result<()> {
    mount_setattr(mount, attributes, 0, depth)
}

/// Shows the files of a detached mount (tree) with the owners that user namespace `mapping` gives them.
///
/// # Errors
/// `EINVAL` when the file system cannot be mapped or the mount is attached already.
pub fn map_owners(mount: BorrowedFd<'_>, mapping: BorrowedFd<'_>, depth: Depth) -> io::Result<()> {
    let mapping = u64::try_from(mapping.as_raw_fd()).map_err(|_| io::ErrorKind::InvalidInput)?;
    mount_setattr(mount, Attributes { set: ID_MAP, ..Attributes::default() }, mapping, depth)
}

fn mount_setattr(mount: BorrowedFd<'_>, attributes: Attributes, user: u64, depth: Depth) -> io::Result<()> {
    const EMPTY: &CStr = c"";
    let Attributes { set, clear, propagation } = attributes;
    let argument = libc::mount_attr { attr_set: set, attr_clr: clear, propagation, userns_fd: user };
    let mut flags = libc::AT_EMPTY_PATH;
    if depth == Depth::Tree {
        flags |= libc::AT_RECURSIVE;
    }
    // SAFETY: the empty path and the structure live through the call, and its true size is given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            EMPTY.as_ptr(),
            flags,
            std::ptr::from_ref(&argument),
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A detached copy of the mount at `path` (seen from `folder`), from that path down.
///
/// # Errors
/// What the kernel refuses.
pub fn clone_tree(folder: BorrowedFd<'_>, path: &Path, depth: Depth) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if path.as_os_str().is_empty() {
        flags |= OpenTreeFlags::AT_EMPTY_PATH;
    }
    if depth == Depth::Tree {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    rustix::mount::open_tree(folder, path, flags).map_err(Into::into)
}

/// Attaches a detached mount on the very inode that `target` is open on.
///
/// # Errors
/// What the kernel refuses.
pub fn move_onto(mount: impl AsFd, target: impl AsFd) -> io::Result<()> {
    rustix::mount::move_mount(
        mount,
        "",
        target,
        "",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH,
    )
    .map_err(Into::into)
}
