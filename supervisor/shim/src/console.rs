//! The console socket: where the runtime hands over the terminal of a process it has made.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags};

use crate::reactor::{Reactor, Watched};
use crate::socket::{self, SocketError};

/// How long a runtime that has ended well may leave us without a terminal.
const PATIENCE: Duration = Duration::from_secs(10);

/// A socket that one runtime command sends one terminal to.
#[derive(Debug)]
pub(crate) struct ConsoleSocket {
    path: PathBuf,
    listener: Watched<OwnedFd>,
}

/// Why there is no terminal.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConsoleError {
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("receive the terminal from the OCI runtime")]
    Receive(#[source] Errno),
    #[error("the OCI runtime sent no terminal")]
    Missing,
}

impl ConsoleSocket {
    /// Makes a socket in `folder`, whose path must be short enough for any runtime.
    pub(crate) fn bind(reactor: &Reactor, folder: &Path) -> Result<Self, ConsoleError> {
        thread_local! { static COUNT: std::cell::Cell<u32> = const { std::cell::Cell::new(0) }; }
        let number = COUNT.get();
        COUNT.set(number + 1);
        let path = folder.join(format!("c{}.{number}", std::process::id()));
        let listener = socket::listen(&path)?;
        Ok(Self { path, listener: Watched::new(reactor, listener).map_err(ConsoleError::Receive)? })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the terminal that was sent.
    pub(crate) async fn receive(&self, reactor: &Reactor) -> Result<OwnedFd, ConsoleError> {
        let received = reactor.within(PATIENCE, async {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let connection = self.listener.reading(|fd| rustix::net::accept_with(fd, flags)).await?;
            let connection = Watched::new(reactor, connection)?;
            connection.reading(receive_fd).await
        });
        match received.await {
            Some(Ok(Some(terminal))) => Ok(terminal),
            Some(Err(error)) => Err(ConsoleError::Receive(error)),
            Some(Ok(None)) | None => Err(ConsoleError::Missing),
        }
    }
}

impl Drop for ConsoleSocket {
    fn drop(&mut self) {
        socket::remove(&self.path);
    }
}

fn receive_fd(fd: BorrowedFd<'_>) -> rustix::io::Result<Option<OwnedFd>> {
    let mut name = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let slices = &mut [IoSliceMut::new(&mut name)];
    rustix::net::recvmsg(fd, slices, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let fds = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    Ok(fds.flatten().next())
}
