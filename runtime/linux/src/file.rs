//! Documents on disk: replaced as a whole or not at all, and io errors that always carry their path.
//!
//! [`replace`] writes beside the target, then renames over it: a reader sees the old text or the new one, also after
//! `kill -9` ([`Durability::Process`]) or a power cut ([`Durability::Disk`]).

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// An io error with the action and the path that it met.
#[derive(Debug, thiserror::Error)]
#[error("{action} {path}")]
pub struct PathError {
    /// What was being done, such as `read`.
    pub action: &'static str,
    /// To what.
    pub path: PathBuf,
    /// The kernel's answer.
    #[source]
    pub source: io::Error,
}

impl PathError {
    /// An adapter for `map_err`: `File::open(p).map_err(PathError::at("open", p))`.
    pub fn at(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self { action, path, source }
    }

    /// Whether the path does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// What a document must survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The death of every process: for what ends with the boot anyway (`/run`).
    Process,
    /// A power cut: data and name are synced before the call returns.
    Disk,
}

/// Puts `content` at `path` with permission bits `mode`, atomically.
///
/// The temporary file is `.NAME.PID.tmp` in the same folder; a crash leaves at most that.
///
/// # Errors
/// When the folder is missing or not writable; the old document is then still whole.
pub fn replace(path: &Path, content: &[u8], mode: u32, durability: Durability) -> Result<(), PathError> {
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let written = write_new(&temporary, content, mode, durability)
        .and_then(|()| std::fs::rename(&temporary, path).map_err(PathError::at("rename over", path)));
    if written.is_err() {
        drop(std::fs::remove_file(&temporary));
        return written;
    }
    if durability == Durability::Disk {
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(PathError::at("sync folder", folder))?;
    }
    Ok(())
}

fn write_new(path: &Path, content: &[u8], mode: u32, durability: Durability) -> Result<(), PathError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    let mut file = options.open(path).map_err(PathError::at("create", path))?;
    file.write_all(content).map_err(PathError::at("write", path))?;
    if durability == Durability::Disk {
        file.sync_all().map_err(PathError::at("sync", path))?;
    }
    Ok(())
}

/// Makes the folder `path` with permission bits `mode`, and the folders above it; one that exists stays as it is.
///
/// # Errors
/// When something else is there, or the folder above is not writable.
pub fn make_folder(path: &Path, mode: u32) -> Result<(), PathError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(PathError::at("make folder", path))
}

/// Reads at most `limit` bytes of the file at `path`.
///
/// # Errors
/// When it cannot be read, or is longer than `limit` (`FileTooLarge`).
pub fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>, PathError> {
    let file = File::open(path).map_err(PathError::at("open", path))?;
    // Most documents fit: one call reads them, one finds the end.
    let mut content = Vec::with_capacity(16 << 10);
    file.take(limit + 1).read_to_end(&mut content).map_err(PathError::at("read", path))?;
    if content.len() as u64 > limit {
        let error = io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {limit} bytes"));
        return Err(PathError::at("read", path)(error));
    }
    Ok(content)
}

/// An exclusive lock on a file, held until dropped or the process dies (flock(2)).
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held for its lock")] File);

impl Lock {
    /// Takes the lock at `path` without waiting; `None` when somebody else holds it.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub fn try_take(path: &Path) -> Result<Option<Self>, PathError> {
        let file = open_lock(path)?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(PathError::at("lock", path)(error.into())),
        }
    }

    /// Takes the lock at `path`, waiting for whoever holds it.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub fn take(path: &Path) -> Result<Self, PathError> {
        let file = open_lock(path)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
            .map_err(|error| PathError::at("lock", path)(error.into()))?;
        Ok(Self(file))
    }
}

fn open_lock(path: &Path) -> Result<File, PathError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(PathError::at("open lock", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_replace_keeps_the_old_document() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("state.json");
        replace(&path, b"old", 0o600, Durability::Disk).expect("first write");
        let error = replace(&folder.path().join("missing/state.json"), b"new", 0o600, Durability::Process)
            .expect_err("the folder is missing");
        assert!(error.is_not_found());
        assert_eq!(read_limited(&path, 10).expect("read"), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).expect("list").count(), 1, "no temporary file stays");
    }

    #[test]
    fn reading_stops_at_the_limit() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("big");
        replace(&path, &[0; 11], 0o600, Durability::Process).expect("write");
        let error = read_limited(&path, 10).expect_err("too long");
        assert_eq!(error.source.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_lock_excludes_a_second_one_until_dropped() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("lock");
        let held = Lock::try_take(&path).expect("lock file").expect("free");
        assert!(Lock::try_take(&path).expect("lock file").is_none());
        drop(held);
        assert!(Lock::try_take(&path).expect("lock file").is_some());
    }
}
