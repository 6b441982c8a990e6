//! File trees, walked by file descriptor: nothing in them is followed or trusted.

use std::collections::HashSet;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use dhow_linux::file::PathError;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};

/// What a tree takes on its disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) size: i64,
    pub(crate) inodes: i64,
}

/// Opens the root of a tree.
pub(super) fn open(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
}

/// Opens a directory without following a link.
pub(super) fn open_directory(at: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty())
}

/// Shows `visit` each entry of the open `directory`, with its status.
pub(super) fn each(
    directory: BorrowedFd<'_>,
    visit: &mut dyn FnMut(&CStr, &Stat) -> rustix::io::Result<()>,
) -> rustix::io::Result<()> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) => visit(name, &status)?,
            // A live tree changes while it is walked.
            Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Measures the tree at `path`; an inode with many names counts once.
pub(crate) fn usage(path: &Path) -> Result<Usage, PathError> {
    measure(path).map_err(|error| PathError::at("measure", path)(error.into()))
}

fn measure(path: &Path) -> rustix::io::Result<Usage> {
    let root = open(path)?;
    let mut total = Total::default();
    total.add(&rustix::fs::fstat(&root)?);
    total.descend(root.as_fd())?;
    Ok(total.usage)
}

#[derive(Default)]
struct Total {
    usage: Usage,
    linked: HashSet<(u64, u64)>,
}

impl Total {
    fn add(&mut self, status: &Stat) {
        if status.st_nlink > 1
            && FileType::from_raw_mode(status.st_mode) != FileType::Directory
            && !self.linked.insert((status.st_dev, status.st_ino))
        {
            return;
        }
        self.usage.inodes += 1;
        self.usage.size += status.st_blocks * 512;
    }

    fn descend(&mut self, directory: BorrowedFd<'_>) -> rustix::io::Result<()> {
        each(directory, &mut |name, status| {
            self.add(status);
            if FileType::from_raw_mode(status.st_mode) != FileType::Directory {
                return Ok(());
            }
            match open_directory(directory, name) {
                Ok(inner) => self.descend(inner.as_fd()),
                Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => Ok(()),
                Err(error) => Err(error),
            }
        })
    }
}

/// Writes out everything that the file system of `path` still has in memory.
pub(super) fn sync(path: &Path) -> Result<(), PathError> {
    open(path).and_then(rustix::fs::syncfs).map_err(|error| PathError::at("sync", path)(error.into()))
}
