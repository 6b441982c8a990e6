//! Being told when the kernel kills for want of memory: v1's eventfd, v2's watched `memory.events`.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use dhow_linux::file::PathError;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{OFlags, inotify};

use super::{CgroupError, Directory, Hierarchy, Manager, Version};

/// What a wake-up meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OomEvent {
    /// So many processes died of it since the last look.
    Killed(u64),
    /// The container's cgroup is gone or empty: nothing more will come.
    Gone,
}

/// A watch over a container's memory cgroup. Poll it for input, then [`OomWatch::read`].
#[derive(Debug)]
pub(crate) struct OomWatch {
    wake: File,
    directory: Directory,
    version: Version,
    path: PathBuf,
    seen: u64,
    /// v1 remembers the watch only as long as this file is open.
    _control: Option<OwnedFd>,
}

impl AsFd for OomWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

impl Manager {
    /// Watches for out-of-memory kills in the container.
    ///
    /// # Errors
    /// When the memory controller is missing, or the kernel refuses the watch.
    pub(crate) fn watch_oom(&self) -> Result<OomWatch, CgroupError> {
        let hierarchy = self.memory().ok_or(super::limit::LimitError::NoController("memory"))?;
        let directory = Directory::open(&hierarchy.path)?;
        let path = hierarchy.path.clone();
        let seen = count(&directory, hierarchy.version)?;
        let (wake, control) = match hierarchy.version {
            Version::V1 => watch_v1(&directory)?,
            Version::V2 => (watch_v2(&directory)?, None),
        };
        Ok(OomWatch { wake, directory, version: hierarchy.version, path, seen, _control: control })
    }

    /// How many processes of the container the kernel killed for want of memory.
    ///
    /// # Errors
    /// When the memory controller is missing or cannot be read.
    pub(crate) fn oom_kills(&self) -> Result<u64, CgroupError> {
        let hierarchy = self.memory().ok_or(super::limit::LimitError::NoController("memory"))?;
        count(&Directory::open(&hierarchy.path)?, hierarchy.version)
    }

    fn memory(&self) -> Option<&Hierarchy> {
        self.v1("memory").or_else(|| self.unified().filter(|_| self.is_v2()))
    }
}

impl OomWatch {
    /// Takes the wake-up and says what it meant. Waits for one if there is none.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    pub(crate) fn read(&mut self) -> Result<OomEvent, CgroupError> {
        let mut buffer = [0; 4096];
        let taken = self.wake.read(&mut buffer).map_err(PathError::at("watch", &self.path))?;
        if taken == 0 || !self.path.is_dir() {
            return Ok(OomEvent::Gone);
        }
        if self.version == Version::V1 {
            // The kernel tells before it kills: its count is behind.
            return Ok(OomEvent::Killed(1));
        }
        if self.directory.read_key("cgroup.events", "populated")? == Some(0) {
            return Ok(OomEvent::Gone);
        }
        let now = count(&self.directory, self.version)?;
        let killed = now.saturating_sub(self.seen);
        self.seen = now;
        Ok(OomEvent::Killed(killed))
    }
}

fn count(directory: &Directory, version: Version) -> Result<u64, CgroupError> {
    let file = match version {
        Version::V1 => "memory.oom_control",
        Version::V2 => "memory.events",
    };
    Ok(directory.read_key(file, "oom_kill")?.unwrap_or(0))
}

/// The kernel signals the eventfd at each kill, and once more when the cgroup goes.
fn watch_v1(directory: &Directory) -> Result<(File, Option<OwnedFd>), CgroupError> {
    let failed = |error: rustix::io::Errno| PathError::at("make eventfd for", directory.path())(error.into());
    let wake = eventfd(0, EventfdFlags::CLOEXEC).map_err(failed)?;
    let control = directory.file("memory.oom_control", OFlags::RDONLY)?;
    let line = format!("{} {}", wake.as_raw_fd(), control.as_raw_fd());
    let mut register = File::from(directory.file("cgroup.event_control", OFlags::WRONLY)?);
    register
        .write_all(line.as_bytes())
        .map_err(|error| CgroupError::write(&directory.path().join("cgroup.event_control"), &line, error))?;
    Ok((File::from(wake), Some(control)))
}

/// The kernel marks both files as modified when their numbers change.
fn watch_v2(directory: &Directory) -> Result<File, CgroupError> {
    let failed = |error: rustix::io::Errno| PathError::at("watch", directory.path())(error.into());
    let wake = inotify::init(inotify::CreateFlags::CLOEXEC).map_err(failed)?;
    for name in ["memory.events", "cgroup.events"] {
        inotify::add_watch(&wake, directory.path().join(name), inotify::WatchFlags::MODIFY)
            .map_err(failed)?;
    }
    Ok(File::from(wake))
}
