//! Room on the disk that is kept for deletions.
//!
//! A tree that is never changed in place needs room even to delete from it, so a full disk could not be emptied. A
//! file beside the store holds some; it goes when a commit finds the disk full, and comes back once there is room.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

/// How much is kept: for what a journal may have to be taken over, and for deletions, which take some ten pages each.
const BYTES: u64 = 4 << 20;
/// How much room there must be before so much is taken again.
const ENOUGH: u64 = 2 * BYTES;

/// The file that holds the room.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    spent: bool,
}

impl Reserve {
    /// Reserves room beside the store at `store`.
    pub(super) fn beside(store: &Path) -> Self {
        let mut reserve = Self { path: store.with_extension("reserve"), spent: false };
        reserve.fill();
        reserve
    }

    /// Gives the room up, if that was not done before.
    pub(super) fn spend(&mut self) -> bool {
        // What cannot be removed gives no room: the next commit says so.
        drop(std::fs::remove_file(&self.path));
        !std::mem::replace(&mut self.spent, true)
    }

    /// Whether the room was given up and there is none to take again.
    pub(super) fn is_spent(&mut self) -> bool {
        if self.spent && has_room(&self.path) {
            self.fill();
        }
        self.spent
    }

    fn fill(&mut self) {
        match allocate(&self.path) {
            Err(error) if is_full(&error) => drop(self.spend()),
            // Where files cannot be allocated there is no reserve, and nothing else is different.
            Ok(()) | Err(_) => self.spent = false,
        }
    }
}

/// Whether there is enough room where `path` is, or it cannot be told.
fn has_room(path: &Path) -> bool {
    let folder = path.parent().unwrap_or(path);
    rustix::fs::statvfs(folder).map_or(true, |disk| disk.f_bavail.saturating_mul(disk.f_frsize) >= ENOUGH)
}

fn allocate(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    let file: File = options.write(true).create(true).truncate(false).mode(0o600).open(path)?;
    Ok(rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, BYTES)?)
}

/// Whether `error` says that there is no room.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
