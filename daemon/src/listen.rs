//! The sockets that the API listens on.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dhow_linux::file::PathError;
use futures_util::future::join_all;
use nix::unistd::{Gid, Group, chown};
use tokio::net::{TcpListener, UnixListener};

use crate::daemon::Daemon;
use crate::http;

/// Why an address is not listened on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    #[error("cannot listen on {0}: expected unix://PATH or tcp://ADDRESS:PORT")]
    Form(String),
    #[error(
        "refusing to listen on {0}: whoever reaches the API is root on this machine; use a loopback address or a unix socket behind ssh"
    )]
    Exposed(SocketAddr),
    #[error("cannot listen on {0}: somebody else does")]
    Taken(PathBuf),
    #[error("make a socket")]
    Socket(#[from] PathError),
    #[error("listen on {0}")]
    Tcp(SocketAddr, #[source] std::io::Error),
}

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

/// A socket that listens.
#[derive(Debug)]
pub(crate) enum Socket {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// Reads the values of `--host`.
pub(crate) fn parse(hosts: &[String]) -> Result<Vec<Address>, ListenError> {
    hosts.iter().map(|host| address(host)).collect()
}

fn address(host: &str) -> Result<Address, ListenError> {
    let unknown = || ListenError::Form(host.to_owned());
    match host.split_once("://") {
        Some(("unix", path)) if path.starts_with('/') => Ok(Address::Unix(path.into())),
        Some(("tcp", address)) => {
            let address = address.replace("localhost", "127.0.0.1");
            let address: SocketAddr = address.parse().map_err(|_| unknown())?;
            if address.ip().is_loopback() {
                Ok(Address::Tcp(address))
            } else {
                Err(ListenError::Exposed(address))
            }
        }
        _ => Err(unknown()),
    }
}

/// Listens on every address. A socket file is readable by its owner and `group`, if that group exists.
pub(crate) fn bind(addresses: &[Address], group: &str) -> Result<Vec<Socket>, ListenError> {
    addresses.iter().map(|address| bind_one(address, group)).collect()
}

fn bind_one(address: &Address, group: &str) -> Result<Socket, ListenError> {
    match address {
        Address::Unix(path) => bind_unix(path, group).map(Socket::Unix),
        Address::Tcp(address) => {
            tracing::warn!(%address, "every user of this machine can become root through this address");
            let listener = std::net::TcpListener::bind(address).and_then(|listener| {
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener)
            });
            listener.map(Socket::Tcp).map_err(|source| ListenError::Tcp(*address, source))
        }
    }
}

fn bind_unix(path: &Path, group: &str) -> Result<UnixListener, ListenError> {
    if let Some(folder) = path.parent() {
        dhow_linux::file::make_folder(folder, 0o711)?;
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(ListenError::Taken(path.to_owned()));
    }
    // Nobody answers: what lies there is left over from a daemon that was killed.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(PathError::at("remove", path)(error).into());
        }
        _ => {}
    }
    // Made under a name of our own and renamed when its permissions are right: nobody can connect before.
    let fresh = path.with_extension(format!("{}.new", std::process::id()));
    drop(std::fs::remove_file(&fresh));
    let listener = UnixListener::bind(&fresh).map_err(PathError::at("bind", &fresh))?;
    let gid = Group::from_name(group).ok().flatten().map_or(Gid::from_raw(0), |group| group.gid);
    chown(&fresh, None, Some(gid)).map_err(|error| PathError::at("change group of", &fresh)(error.into()))?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o660))
        .map_err(PathError::at("chmod", &fresh))?;
    std::fs::rename(&fresh, path).map_err(PathError::at("rename to", path))?;
    Ok(listener)
}

/// Serves every connection to every socket.
pub(crate) async fn serve(sockets: &[Socket], daemon: &Arc<Daemon>) {
    join_all(sockets.iter().map(|socket| accept(socket, daemon))).await;
}

async fn accept(socket: &Socket, daemon: &Arc<Daemon>) {
    loop {
        let accepted = match socket {
            Socket::Unix(listener) => listener.accept().await.map(|(stream, _)| {
                tokio::spawn(http::serve(Arc::clone(daemon), stream));
            }),
            Socket::Tcp(listener) => listener.accept().await.map(|(stream, _)| {
                tokio::spawn(http::serve(Arc::clone(daemon), stream));
            }),
        };
        if let Err(error) = accepted {
            // Out of file descriptors, most likely: give those who have some the time to leave.
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Removes the socket files.
pub(crate) fn unlink(addresses: &[Address]) {
    for address in addresses {
        if let Address::Unix(path) = address {
            drop(std::fs::remove_file(path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_loopback_is_listened_on() {
        assert_eq!(address("unix:///run/x.sock").ok(), Some(Address::Unix("/run/x.sock".into())));
        assert!(matches!(address("tcp://127.0.0.1:2375"), Ok(Address::Tcp(_))));
        assert!(matches!(address("tcp://localhost:2375"), Ok(Address::Tcp(_))));
        assert!(matches!(address("tcp://[::1]:2375"), Ok(Address::Tcp(_))));
        assert!(matches!(address("tcp://0.0.0.0:2375"), Err(ListenError::Exposed(_))));
        assert!(matches!(address("fd://"), Err(ListenError::Form(_))));
        assert!(matches!(address("unix://x.sock"), Err(ListenError::Form(_))));
    }

    #[tokio::test]
    async fn a_socket_is_closed_to_others_and_not_taken_from_who_listens() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("a.sock");
        std::fs::write(&path, "left over").expect("stale file");
        let listener = bind_unix(&path, "no-such-group").expect("bind");
        assert_eq!(std::fs::metadata(&path).expect("socket").permissions().mode() & 0o777, 0o660);
        assert!(matches!(bind_unix(&path, "no-such-group"), Err(ListenError::Taken(_))));
        drop(listener);
        assert!(bind_unix(&path, "no-such-group").is_ok());
    }
}
