//! Removing the directories, children first.

use std::path::Path;
use std::time::Duration;

use dhow_linux::file::PathError;
use rustix::io::Errno;

use super::process::{children, is_gone};
use super::{CgroupError, Directory, Manager};

/// Waits between attempts: the last process leaves its cgroup a moment after it was reaped.
const WAITS: [u64; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];

impl Manager {
    /// Removes the container's directories and whatever it made below them; what is gone already is fine.
    ///
    /// # Errors
    /// The first directory that stays, after all were tried.
    pub(crate) fn remove(&self) -> Result<(), CgroupError> {
        let mut result = Ok(());
        for hierarchy in &self.hierarchies {
            let removed = remove_patiently(&hierarchy.path);
            result = result.and(removed);
        }
        if let Some(unit) = &self.unit {
            let stopped = unit.stop().map_err(CgroupError::from);
            result = result.and(stopped);
        }
        result
    }
}

fn remove_patiently(path: &Path) -> Result<(), CgroupError> {
    let mut waits = WAITS.iter();
    loop {
        match remove_tree(path) {
            Err(error) if error.is_errno(Errno::BUSY) => match waits.next() {
                Some(wait) => std::thread::sleep(Duration::from_millis(*wait)),
                None => return Err(error),
            },
            result => return result,
        }
    }
}

fn remove_tree(path: &Path) -> Result<(), CgroupError> {
    match rustix::fs::rmdir(path) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        // The kernel says BUSY for children and for processes alike.
        Err(Errno::BUSY | Errno::NOTEMPTY) => {}
        Err(error) => return Err(PathError::at("rmdir", path)(error.into()).into()),
    }
    let directory = match Directory::open(path) {
        Err(error) if is_gone(&error) => return Ok(()),
        directory => directory?,
    };
    for child in children(&directory)? {
        remove_tree(&path.join(child))?;
    }
    match rustix::fs::rmdir(path) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(PathError::at("rmdir", path)(error.into()).into()),
    }
}
