//! A directory tree whose content nobody trusts, changed through file descriptors only.
//!
//! Every path is resolved by the kernel with the tree as its root (`RESOLVE_IN_ROOT`): a symbolic link that says
//! `/etc` or `../../etc` leads to the `etc` of the tree, whatever the tree does meanwhile. The last component is never
//! followed.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::archive::{Device, Timestamp};
use super::path::EntryPath;
use super::whiteout::OPAQUE;

/// A tree on disk.
#[derive(Debug)]
pub(crate) struct Tree {
    root: OwnedFd,
}

/// What a name in a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occupant {
    /// A directory.
    Directory,
    /// A deletion marker of overlayfs.
    Whiteout,
    /// Anything else.
    Other {
        /// Device of its file system, and number in it.
        identity: (u64, u64),
    },
}

impl Tree {
    /// The tree at `path`.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { root: rustix::fs::openat(CWD, path, flags, Mode::empty())? })
    }

    /// The root, for metadata.
    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// A handle on the directory at `path`, symbolic links followed within the tree.
    pub(crate) fn directory(&self, path: &EntryPath) -> io::Result<OwnedFd> {
        self.resolve(path, OFlags::PATH | OFlags::DIRECTORY)
    }

    /// The same, opened so that it can be listed and its metadata changed.
    pub(crate) fn open_directory(&self, path: &EntryPath) -> io::Result<OwnedFd> {
        self.resolve(path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    fn resolve(&self, path: &EntryPath, flags: OFlags) -> io::Result<OwnedFd> {
        let bytes = if path.as_bytes().is_empty() { b"." } else { path.as_bytes() };
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        loop {
            match rustix::fs::openat2(&self.root, bytes, flags | OFlags::CLOEXEC, Mode::empty(), how) {
                // A rename somewhere on the machine made the kernel unsure about a `..`.
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }
}

/// What `name` in `directory` is; `None` when there is nothing.
pub(crate) fn occupant(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<Option<Occupant>> {
    let stat = match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(Some(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Occupant::Directory,
        FileType::CharacterDevice if stat.st_rdev == 0 => Occupant::Whiteout,
        _ => Occupant::Other { identity: (stat.st_dev, stat.st_ino) },
    }))
}

/// A new file, to be written.
pub(crate) fn create_file(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(0o600))?.into())
}

/// A new directory, opened for its metadata.
pub(crate) fn create_directory(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
    rustix::fs::mkdirat(directory, name, Mode::from_raw_mode(0o755))?;
    open_child(directory, name)
}

/// The directory `name` itself, never what a link of that name leads to.
pub(crate) fn open_child(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, name, flags, Mode::empty())?)
}

/// A new node: a device or a pipe.
pub(crate) fn create_node(
    directory: BorrowedFd<'_>,
    name: &[u8],
    kind: FileType,
    device: Device,
) -> io::Result<()> {
    let number = rustix::fs::makedev(device.major, device.minor);
    Ok(rustix::fs::mknodat(directory, name, kind, Mode::from_raw_mode(0o600), number)?)
}

/// A deletion marker of overlayfs.
pub(crate) fn create_whiteout(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::mknodat(directory, name, FileType::CharacterDevice, Mode::empty(), 0)?)
}

/// Makes `directory` hide the same directory below it.
pub(crate) fn make_opaque(directory: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::fs::fsetxattr(directory, OPAQUE, b"y", XattrFlags::empty())?)
}

/// Removes `name` and everything below it; nothing there is success.
pub(crate) fn remove(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => std::fs::remove_dir_all(child_path(directory, name)),
        Err(error) => Err(error.into()),
    }
}

/// The names in an opened directory.
pub(crate) fn names(directory: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        match entry?.file_name().to_bytes() {
            b"." | b".." => {}
            name => names.push(name.to_vec()),
        }
    }
    Ok(names)
}

/// Sets owner, then mode (a change of owner clears set-id bits), of an open file.
pub(crate) fn set_owner_and_mode(file: BorrowedFd<'_>, uid: u32, gid: u32, mode: u32) -> io::Result<()> {
    rustix::fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    Ok(rustix::fs::fchmod(file, Mode::from_raw_mode(mode))?)
}

/// Sets the owner of `name` itself.
pub(crate) fn set_owner(directory: BorrowedFd<'_>, name: &[u8], uid: u32, gid: u32) -> io::Result<()> {
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    Ok(rustix::fs::chownat(directory, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Sets the mode of `name`, which must be no link.
pub(crate) fn set_mode(directory: BorrowedFd<'_>, name: &[u8], mode: u32) -> io::Result<()> {
    Ok(rustix::fs::chmodat(directory, name, Mode::from_raw_mode(mode), AtFlags::empty())?)
}

/// Sets the times of `name` itself.
pub(crate) fn set_times(directory: BorrowedFd<'_>, name: &[u8], time: Timestamp) -> io::Result<()> {
    Ok(rustix::fs::utimensat(directory, name, &timestamps(time), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Sets the times of an open file.
pub(crate) fn set_file_times(file: BorrowedFd<'_>, time: Timestamp) -> io::Result<()> {
    Ok(rustix::fs::futimens(file, &timestamps(time))?)
}

fn timestamps(time: Timestamp) -> Timestamps {
    let time = Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}

/// Sets an attribute of an open file.
pub(crate) fn set_file_attribute(file: BorrowedFd<'_>, name: &OsStr, value: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::fsetxattr(file, name.as_bytes(), value, XattrFlags::empty())?)
}

/// Sets an attribute of `name` itself, whatever it is.
pub(crate) fn set_attribute(
    directory: BorrowedFd<'_>,
    name: &[u8],
    attribute: &OsStr,
    value: &[u8],
) -> io::Result<()> {
    let path = child_path(directory, name);
    Ok(rustix::fs::lsetxattr(path, attribute.as_bytes(), value, XattrFlags::empty())?)
}

/// What the kernel knows of `name` itself.
pub(crate) fn stat(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<Stat> {
    Ok(rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// The attributes of `name` itself, without those of overlayfs. A file system without attributes has none.
pub(crate) fn attributes(
    directory: BorrowedFd<'_>,
    name: &[u8],
) -> io::Result<Vec<(std::ffi::OsString, Vec<u8>)>> {
    let path = child_path(directory, name);
    let mut list = vec![0; 64 << 10];
    let length = match rustix::fs::llistxattr(&path, list.as_mut_slice()) {
        Err(Errno::NOTSUP) => return Ok(Vec::new()),
        other => other?,
    };
    let mut attributes = Vec::new();
    for attribute in list[..length].split(|byte| *byte == 0).filter(|attribute| !attribute.is_empty()) {
        if super::whiteout::is_overlay_attribute(attribute) {
            continue;
        }
        let mut value = vec![0; rustix::fs::lgetxattr_query(&path, attribute)?];
        let length = rustix::fs::lgetxattr(&path, attribute, value.as_mut_slice())?;
        value.truncate(length);
        attributes.push((OsStr::from_bytes(attribute).to_owned(), value));
    }
    attributes.sort();
    Ok(attributes)
}

/// A path to `name` for the few calls that take no descriptor; its last component is not followed by them.
fn child_path(directory: BorrowedFd<'_>, name: &[u8]) -> PathBuf {
    Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(OsStr::from_bytes(name))
}
