//! The file that names the process of a daemon, and keeps a second one away.

use std::path::{Path, PathBuf};

use dhow_linux::file::{self, Durability, PathError};

/// Why the pidfile could not be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PidfileError {
    #[error("process {pid} runs already; delete {path} if it is no dhowd")]
    Taken { pid: u32, path: PathBuf },
    #[error("write the pidfile")]
    Write(#[from] PathError),
}

/// A pidfile that is removed when dropped.
#[derive(Debug)]
pub(crate) struct Pidfile(PathBuf);

/// Writes our process ID to `path`, unless the process named there lives and runs this program.
pub(crate) fn take(path: &Path) -> Result<Pidfile, PidfileError> {
    if let Some(pid) = holder(path) {
        return Err(PidfileError::Taken { pid, path: path.to_owned() });
    }
    if let Some(folder) = path.parent() {
        file::make_folder(folder, 0o711)?;
    }
    file::replace(path, std::process::id().to_string().as_bytes(), 0o644, Durability::Process)?;
    Ok(Pidfile(path.to_owned()))
}

/// The living process of our name in the pidfile; process IDs are used again, so the name counts.
fn holder(path: &Path) -> Option<u32> {
    let text = file::read_limited(path, 64).ok()?;
    let pid: u32 = String::from_utf8(text).ok()?.trim().parse().ok()?;
    let name = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).ok();
    (pid != std::process::id() && name(pid).is_some() && name(pid) == name(std::process::id())).then_some(pid)
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}
