//! One cgroup directory, held by descriptor: its control files are read and written relative to it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use dhow_linux::file::PathError;
use rustix::fs::{Mode, OFlags, openat};

use super::CgroupError;

/// Control files are small; the largest (`memory.numa_stat` of a large host) stays far below this.
const LONGEST: u64 = 4 << 20;

/// An open cgroup directory.
#[derive(Debug)]
pub(crate) struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Directory> for OwnedFd {
    fn from(directory: Directory) -> Self {
        directory.fd
    }
}

impl Directory {
    pub(super) fn open(path: &Path) -> Result<Self, CgroupError> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|error| PathError::at("open", path)(error.into()))?;
        Ok(Self { fd, path: path.to_owned() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the control file `name`.
    pub(super) fn file(&self, name: &str, flags: OFlags) -> Result<OwnedFd, CgroupError> {
        openat(&self.fd, name, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())
            .map_err(|error| PathError::at("open", self.path.join(name))(error.into()).into())
    }

    /// Writes `value` to the control file `name` in one call, as the kernel wants it.
    pub(super) fn write(&self, name: &str, value: &str) -> Result<(), CgroupError> {
        self.write_to(&self.file(name, OFlags::WRONLY)?, name, value)
    }

    /// Writes `value` to the open control file `name`: for many values, one call each.
    pub(super) fn write_to(&self, file: &OwnedFd, name: &str, value: &str) -> Result<(), CgroupError> {
        rustix::io::retry_on_intr(|| rustix::io::write(file, value.as_bytes()))
            .map_err(|error| CgroupError::write(&self.path.join(name), value, error.into()))?;
        Ok(())
    }

    /// The text of the control file `name`, without the end of its last line.
    pub(super) fn read(&self, name: &str) -> Result<String, CgroupError> {
        let mut file = File::from(self.file(name, OFlags::RDONLY)?).take(LONGEST);
        // Room for most of them in one call; the kernel does not tell their size.
        let mut text = String::with_capacity(1024);
        file.read_to_string(&mut text).map_err(PathError::at("read", self.path.join(name)))?;
        text.truncate(text.trim_end().len());
        Ok(text)
    }

    /// The number in the control file `name`; `max` is the largest there is.
    pub(super) fn read_number(&self, name: &str) -> Result<u64, CgroupError> {
        let text = self.read(name)?;
        parse_number(&text).ok_or_else(|| {
            let error = io::Error::new(io::ErrorKind::InvalidData, format!("{text:?} is not a number"));
            PathError::at("parse", self.path.join(name))(error).into()
        })
    }

    /// The value of `key` in the flat keyed control file `name`.
    pub(super) fn read_key(&self, name: &str, key: &str) -> Result<Option<u64>, CgroupError> {
        Ok(find_key(&self.read(name)?, key))
    }

    /// Whether there is a control file `name`.
    pub(super) fn has(&self, name: &str) -> bool {
        rustix::fs::accessat(&self.fd, name, rustix::fs::Access::EXISTS, rustix::fs::AtFlags::empty()).is_ok()
    }
}

/// `max` and numbers; negative ones (v1's `-1` for no limit) count as no limit too.
pub(super) fn parse_number(text: &str) -> Option<u64> {
    if text == "max" || text.starts_with('-') {
        return Some(u64::MAX);
    }
    text.parse().ok()
}

/// The value of `key` in `KEY VALUE` lines.
pub(super) fn find_key(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(' ')?;
        if found == key { parse_number(value) } else { None }
    })
}
