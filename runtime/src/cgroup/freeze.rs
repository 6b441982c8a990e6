//! Stopping every process of a container at once, and letting them run again.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::time::{Duration, Instant};

use dhow_linux::file::PathError;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::directory::find_key;
use super::{CgroupError, Directory, Hierarchy, Manager, Version};

/// How often a v1 freezer that stays in FREEZING is asked again.
const ATTEMPTS: usize = 1000;
/// How long a v2 cgroup may take to freeze: processes in uninterruptible sleep delay it.
const PATIENCE: Duration = Duration::from_secs(10);

impl Manager {
    /// Stops all processes of the container and waits until the kernel says that they stopped.
    ///
    /// # Errors
    /// When there is no freezer, or it does not freeze in time; the container then runs on.
    pub(crate) fn freeze(&self) -> Result<(), CgroupError> {
        let freezer = self.freezer("freeze")?;
        let directory = Directory::open(&freezer.path)?;
        let frozen = match freezer.version {
            Version::V1 => freeze_v1(&directory),
            Version::V2 => freeze_v2(&directory),
        };
        if !matches!(frozen, Ok(true)) {
            // Half frozen is the worst state of all.
            drop(self.thaw());
        }
        match frozen {
            Ok(true) => Ok(()),
            Ok(false) => Err(CgroupError::Freezer { verb: "freeze", path: freezer.path.clone() }),
            Err(error) => Err(error),
        }
    }

    /// Lets the container's processes run again.
    ///
    /// # Errors
    /// When there is no freezer or it refuses.
    pub(crate) fn thaw(&self) -> Result<(), CgroupError> {
        let freezer = self.freezer("thaw")?;
        let directory = Directory::open(&freezer.path)?;
        match freezer.version {
            Version::V1 => directory.write("freezer.state", "THAWED"),
            Version::V2 => directory.write("cgroup.freeze", "0"),
        }
    }

    /// Whether the container itself was frozen (not only something above it). A cgroup that is gone is not.
    ///
    /// # Errors
    /// When the freezer cannot be read.
    pub(crate) fn is_frozen(&self) -> Result<bool, CgroupError> {
        let Ok(freezer) = self.freezer("read") else { return Ok(false) };
        let frozen = Directory::open(&freezer.path).and_then(|directory| match freezer.version {
            Version::V1 => is_frozen_v1(&directory),
            Version::V2 => Ok(directory.read("cgroup.freeze")? == "1"),
        });
        match frozen {
            Err(error) if error.is_errno(Errno::NOENT) || error.is_errno(Errno::NODEV) => Ok(false),
            frozen => frozen,
        }
    }

    /// v1's freezer where it is mounted, else cgroup2's own.
    fn freezer(&self, verb: &'static str) -> Result<&Hierarchy, CgroupError> {
        let missing = || CgroupError::Freezer { verb, path: "freezer".into() };
        self.v1("freezer").or_else(|| self.unified()).ok_or_else(missing)
    }
}

/// FREEZING may last for ever while processes appear; asking again, with a thaw now and then, gets through.
fn freeze_v1(directory: &Directory) -> Result<bool, CgroupError> {
    for attempt in 1..=ATTEMPTS {
        if attempt % 50 == 0 {
            directory.write("freezer.state", "THAWED")?;
            std::thread::sleep(Duration::from_millis(10));
        }
        directory.write("freezer.state", "FROZEN")?;
        if attempt % 25 == 0 {
            std::thread::sleep(Duration::from_micros(10));
        }
        if directory.read("freezer.state")? == "FROZEN" {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_frozen_v1(directory: &Directory) -> Result<bool, CgroupError> {
    loop {
        match directory.read("freezer.state")?.as_str() {
            "FREEZING" => std::thread::sleep(Duration::from_millis(1)),
            // FROZEN also shows when only an ancestor is.
            "FROZEN" => return Ok(directory.read("freezer.self_freezing").map_or(true, |own| own == "1")),
            _ => return Ok(false),
        }
    }
}

/// `cgroup.events` says `frozen 1` when all stopped, and wakes its pollers then.
fn freeze_v2(directory: &Directory) -> Result<bool, CgroupError> {
    let mut events = File::from(directory.file("cgroup.events", OFlags::RDONLY)?);
    directory.write("cgroup.freeze", "1")?;
    let deadline = Instant::now() + PATIENCE;
    let mut text = String::new();
    loop {
        text.clear();
        let read = events.seek(SeekFrom::Start(0)).and_then(|_| events.read_to_string(&mut text));
        read.map_err(PathError::at("read", directory.path().join("cgroup.events")))?;
        if find_key(&text, "frozen") == Some(1) {
            return Ok(true);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let wait = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        match poll(&mut [PollFd::new(&events, PollFlags::PRI)], Some(&wait)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(PathError::at("poll", directory.path())(error.into()).into()),
        }
    }
}
