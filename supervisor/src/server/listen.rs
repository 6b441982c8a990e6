//! The socket: made for root and its group, and never taken from somebody who still serves on it.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use dhow_linux::file::PathError;
use tokio::net::UnixListener;

use crate::options::Owner;

/// Why we cannot listen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    #[error("somebody serves on {0} already: stop it, or give another --address")]
    InUse(PathBuf),
    #[error("{0} exists and is not a socket")]
    NotASocket(PathBuf),
    #[error(transparent)]
    Path(#[from] PathError),
}

/// Listens on `path`, for root and `owner`; a socket that nobody answers at is replaced.
pub(crate) fn listen(path: &Path, owner: Owner) -> Result<UnixListener, ListenError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(PathError::at("create", folder))?;
    }
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(ListenError::NotASocket(path.to_owned())),
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            return Err(ListenError::InUse(path.to_owned()));
        }
        Ok(_) => std::fs::remove_file(path).map_err(PathError::at("remove stale socket", path))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(PathError::at("stat", path)(error).into()),
    }
    // Nobody but us may connect before the permissions are right.
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(path);
    rustix::process::umask(before);
    let listener = listener.map_err(PathError::at("listen on", path))?;
    std::os::unix::fs::chown(path, owner.uid, owner.gid).map_err(PathError::at("chown", path))?;
    let permissions = std::fs::Permissions::from_mode(0o660);
    std::fs::set_permissions(path, permissions).map_err(PathError::at("chmod", path))?;
    Ok(listener)
}
