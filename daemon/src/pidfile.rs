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
    (pid != std::process::id() && name(pid).is_some() && name(pid) == name(std::process::id())).then_some(pid)
}

/// The name of a living process; one that nobody has waited for yet is dead.
fn name(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (front, back) = stat.rsplit_once(") ")?;
    let (_, name) = front.split_once('(')?;
    (!back.starts_with(['Z', 'X'])).then(|| name.to_owned())
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_that_is_only_not_reaped_holds_nothing() {
        let mut child = Command::new("true").spawn().expect("true");
        let gone = || {
            std::fs::read_to_string(format!("/proc/{}/stat", child.id()))
                .is_ok_and(|stat| stat.contains(") Z"))
        };
        while !gone() {
            std::thread::yield_now();
        }
        assert_eq!(name(child.id()), None);
        assert!(name(std::process::id()).is_some());
        child.wait().expect("reap");
    }

    #[test]
    fn a_pidfile_goes_with_its_holder() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("pid");
        std::fs::write(&path, "4194305").expect("stale");
        let pidfile = take(&path).expect("nobody has that number");
        assert_eq!(std::fs::read_to_string(&path).expect("pid"), std::process::id().to_string());
        drop(pidfile);
        assert!(!path.exists());
    }
}
