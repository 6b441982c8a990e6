//! Finding the user's program in the container, as a shell would.

use std::ffi::CString;
use std::io;

use rustix::fs::{Access, AtFlags, CWD, FileType};

/// Why there is nothing to run. Engines turn these texts into exit codes 126 and 127.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    /// Nothing of that name in PATH.
    #[error("exec: {0:?}: executable file not found in $PATH")]
    NotFound(String),
    /// A path that leads nowhere.
    #[error("exec: {0:?}: stat {0}")]
    Stat(String, #[source] io::Error),
    /// A file that cannot be run.
    #[error("exec: {0:?}")]
    Refused(String, #[source] io::Error),
    /// The kernel did not take it: no program after all.
    #[error("exec {0}")]
    Exec(String, #[source] io::Error),
}

/// The path of the program `name`.
pub(super) fn find(name: &str, path: &str) -> Result<CString, ProgramError> {
    let text = |found: String| CString::new(found).map_err(|_| ProgramError::NotFound(name.to_owned()));
    if name.contains('/') {
        return match check(name) {
            Ok(()) => text(name.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(ProgramError::Stat(name.to_owned(), error))
            }
            Err(error) => Err(ProgramError::Refused(name.to_owned(), error)),
        };
    }
    for folder in path.split(':') {
        let folder = if folder.is_empty() { "." } else { folder };
        let candidate = format!("{folder}/{name}");
        if check(&candidate).is_ok() {
            return text(candidate);
        }
    }
    Err(ProgramError::NotFound(name.to_owned()))
}

fn check(path: &str) -> io::Result<()> {
    let stat = rustix::fs::stat(path)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err(rustix::io::Errno::ISDIR.into());
    }
    match rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS) {
        Ok(()) => Ok(()),
        // A filter may refuse faccessat2; the mode bits answer well enough then.
        Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) if stat.st_mode & 0o111 != 0 => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_a_shell_would() {
        assert_eq!(find("sh", "/nowhere:/bin").expect("a shell").to_string_lossy(), "/bin/sh");
        assert_eq!(find("/bin/sh", "").expect("a shell").to_string_lossy(), "/bin/sh");
    }

    #[test]
    fn says_why_not() {
        let text = |name| crate::error::chain(&find(name, "/bin").expect_err("nothing to run"));
        assert_eq!(text("made-up"), "exec: \"made-up\": executable file not found in $PATH");
        assert_eq!(text("/made-up"), "exec: \"/made-up\": stat /made-up: no such file or directory");
        assert_eq!(text("/etc/passwd"), "exec: \"/etc/passwd\": permission denied");
        assert_eq!(text("/etc"), "exec: \"/etc\": is a directory");
    }
}
