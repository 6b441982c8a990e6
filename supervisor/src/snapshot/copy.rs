//! Whole trees copied, as `cp -a` would: owners, modes, times, links, devices and extended attributes.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use dhow_linux::file::PathError;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::tree;

/// The most bytes of one extended attribute, and of all their names.
const XATTR_LIMIT: usize = 64 << 10;

/// Makes the empty root of a tree.
pub(super) fn create(path: &Path) -> Result<(), PathError> {
    std::fs::DirBuilder::new().mode(0o755).create(path).map_err(PathError::at("create", path))?;
    let permissions = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(path, permissions).map_err(PathError::at("chmod", path))
}

/// Copies the tree at `from` to `to`, which must not exist.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), PathError> {
    create(to)?;
    let open = |path: &Path| tree::open(path).map_err(|error| PathError::at("open", path)(error.into()));
    let (source, target) = (open(from)?, open(to)?);
    let mut copier = Copier { linked: HashMap::new(), root: target.as_fd(), at: PathBuf::new() };
    let copied = copier.descend(source.as_fd(), target.as_fd()).and_then(|()| {
        let status = rustix::fs::fstat(&source)?;
        settle(source.as_fd(), target.as_fd(), c".", &status)
    });
    copied.map_err(|error| PathError::at("copy", from.join(copier.at))(error.into()))
}

struct Copier<'a> {
    /// Where a file with many names was copied to first.
    linked: HashMap<(u64, u64), PathBuf>,
    root: BorrowedFd<'a>,
    /// What is being copied, below the root.
    at: PathBuf,
}

impl Copier<'_> {
    fn descend(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> rustix::io::Result<()> {
        tree::each(from, &mut |name, status| {
            self.at.push(std::ffi::OsStr::from_bytes(name.to_bytes()));
            self.entry(from, to, name, status)?;
            self.at.pop();
            Ok(())
        })
    }

    fn entry(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
        status: &Stat,
    ) -> rustix::io::Result<()> {
        let kind = FileType::from_raw_mode(status.st_mode);
        if kind != FileType::Directory && status.st_nlink > 1 {
            let inode = (status.st_dev, status.st_ino);
            if let Some(first) = self.linked.get(&inode) {
                return rustix::fs::linkat(self.root, first, to, name, AtFlags::empty());
            }
            self.linked.insert(inode, self.at.clone());
        }
        match kind {
            FileType::Directory => {
                rustix::fs::mkdirat(to, name, Mode::RWXU)?;
                let (inner, target) = (tree::open_directory(from, name)?, tree::open_directory(to, name)?);
                self.descend(inner.as_fd(), target.as_fd())?;
            }
            FileType::RegularFile => file(from, to, name)?,
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(from, name, Vec::new())?;
                rustix::fs::symlinkat(target, to, name)?;
            }
            _ => rustix::fs::mknodat(to, name, kind, Mode::empty(), status.st_rdev)?,
        }
        settle(from, to, name, status)
    }
}

fn file(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<()> {
    let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let write = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let source: OwnedFd = rustix::fs::openat(from, name, read, Mode::empty())?;
    let target: OwnedFd = rustix::fs::openat(to, name, write, Mode::RUSR | Mode::WUSR)?;
    if rustix::fs::ioctl_ficlone(&target, &source).is_ok() {
        return Ok(());
    }
    std::io::copy(&mut File::from(source), &mut File::from(target))
        .map(drop)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// A path to `name` in an open directory, for calls that take no directory.
fn descriptor(directory: BorrowedFd<'_>, name: &CStr) -> CString {
    let mut path = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
    path.extend(name.to_bytes());
    CString::new(path).unwrap_or_default()
}

/// Copies extended attributes, but for those that this file system or this process may not have.
fn attributes(from: &CStr, to: &CStr) -> rustix::io::Result<()> {
    let mut names = vec![0u8; XATTR_LIMIT];
    let length = match rustix::fs::llistxattr(from, names.as_mut_slice()) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut value = vec![0u8; if length == 0 { 0 } else { XATTR_LIMIT }];
    for name in names[..length].split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        let size = rustix::fs::lgetxattr(from, name, value.as_mut_slice())?;
        match rustix::fs::lsetxattr(to, name, &value[..size], XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Gives a copy its owner, attributes, mode and times, in the order in which none undoes another: a change of owner
/// takes file capabilities and set-id bits away.
fn settle(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, status: &Stat) -> rustix::io::Result<()> {
    let nofollow = AtFlags::SYMLINK_NOFOLLOW;
    let (owner, group) = (Uid::from_raw(status.st_uid), Gid::from_raw(status.st_gid));
    rustix::fs::chownat(to, name, Some(owner), Some(group), nofollow)?;
    attributes(&descriptor(from, name), &descriptor(to, name))?;
    if FileType::from_raw_mode(status.st_mode) != FileType::Symlink {
        rustix::fs::chmodat(to, name, Mode::from_raw_mode(status.st_mode), AtFlags::empty())?;
    }
    let time = |seconds: i64, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanoseconds).unwrap_or(0),
    };
    let times = Timestamps {
        last_access: time(status.st_atime, status.st_atime_nsec),
        last_modification: time(status.st_mtime, status.st_mtime_nsec),
    };
    rustix::fs::utimensat(to, name, &times, nofollow)
}
