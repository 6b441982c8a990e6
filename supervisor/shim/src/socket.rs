//! Unix sockets at paths of any length.
//!
//! A socket address holds 107 bytes of path. A longer one is reached through `/proc/self/fd` of its folder.

use std::fs::{DirBuilder, Permissions};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use dhow_linux::file::PathError;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// The most bytes of a path in a socket address.
pub(crate) const PATH_LIMIT: usize = 107;
/// How many connections may wait to be accepted.
pub(crate) const BACKLOG: i32 = 64;

/// Why a socket could not be made or reached.
#[derive(Debug, thiserror::Error)]
#[error("{action} socket {path}")]
pub(crate) struct SocketError {
    pub(crate) action: &'static str,
    pub(crate) path: PathBuf,
    #[source]
    pub(crate) source: Errno,
}

impl SocketError {
    /// The same as an error of a path.
    pub(crate) fn into_path_error(self) -> PathError {
        PathError { action: self.action, path: self.path, source: self.source.into() }
    }
}

/// Who serves a socket.
#[derive(Debug)]
pub(crate) enum Place {
    /// Nobody did: here is the listener.
    Ours(OwnedFd),
    /// A living process does.
    Taken,
}

/// Listens at `path`, unless a living process does. Of any number of callers at the same moment one gets the listener.
pub(crate) fn listen_or_find(path: &Path) -> Result<Place, SocketError> {
    let failed = |source| SocketError { action: "lock folder of", path: path.to_owned(), source };
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    make_folder(path)?;
    // Between bind and listen a socket looks as if its process were dead: nobody else may look then.
    let lock = rustix::fs::open(folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let lock = lock.map_err(failed)?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).map_err(failed)?;
    match listen(path) {
        Ok(listener) => Ok(Place::Ours(listener)),
        Err(error) if error.source == Errno::ADDRINUSE => Ok(Place::Taken),
        Err(error) => Err(error),
    }
}

fn make_folder(path: &Path) -> Result<(), SocketError> {
    let Some(folder) = path.parent() else { return Ok(()) };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| SocketError {
        action: "create folder of",
        path: path.to_owned(),
        source: Errno::from_io_error(&error).unwrap_or(Errno::IO),
    })
}

/// Listens at `path`, for its owner alone; a socket that a dead process left there is replaced.
pub(crate) fn listen(path: &Path) -> Result<OwnedFd, SocketError> {
    let failed = |action| move |source| SocketError { action, path: path.to_owned(), source };
    make_folder(path)?;
    let socket = new_socket().map_err(failed("create"))?;
    let bound = with_address(path, |address| rustix::net::bind(&socket, address));
    let bound = match bound {
        Err(Errno::ADDRINUSE) if !is_served(path) => {
            remove(path);
            with_address(path, |address| rustix::net::bind(&socket, address))
        }
        other => other,
    };
    bound.map_err(failed("bind"))?;
    let private = std::fs::set_permissions(path, Permissions::from_mode(0o600));
    private.map_err(|error| failed("chmod")(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    rustix::net::listen(&socket, BACKLOG).map_err(failed("listen on"))?;
    Ok(socket)
}

/// Connects to the socket at `path`.
pub(crate) fn connect(path: &Path) -> Result<OwnedFd, SocketError> {
    let failed = |source| SocketError { action: "connect to", path: path.to_owned(), source };
    let socket = new_socket().map_err(failed)?;
    with_address(path, |address| rustix::net::connect(&socket, address)).map_err(failed)?;
    Ok(socket)
}

/// Whether a living process listens there, also one that is too busy to accept.
fn is_served(path: &Path) -> bool {
    !matches!(connect(path), Err(error) if matches!(error.source, Errno::CONNREFUSED | Errno::NOENT))
}

/// Removes the socket at `path`, unless a living process serves it.
pub(crate) fn remove_dead(path: &Path) {
    if !is_served(path) {
        remove(path);
    }
}

/// Removes the socket at `path`, if it is there.
pub(crate) fn remove(path: &Path) {
    drop(std::fs::remove_file(path));
}

fn new_socket() -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

fn with_address<T>(
    path: &Path,
    operation: impl FnOnce(&SocketAddrUnix) -> rustix::io::Result<T>,
) -> rustix::io::Result<T> {
    if path.as_os_str().len() <= PATH_LIMIT {
        return operation(&SocketAddrUnix::new(path)?);
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Err(Errno::INVAL) };
    let folder = rustix::fs::open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    operation(&SocketAddrUnix::new(short)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_longer_than_an_address_works() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("x".repeat(90)).join("y".repeat(90));
        let listener = listen(&path).expect("listen");
        connect(&path).expect("connect");
        assert!(listen(&path).is_err(), "somebody listens there");
        drop(listener);
        let again = listen_or_find(&path).expect("a dead socket is replaced");
        assert!(matches!(again, Place::Ours(_)));
        assert!(matches!(listen_or_find(&path), Ok(Place::Taken)));
    }
}
