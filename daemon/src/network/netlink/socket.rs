//! A blocking netlink socket. It belongs to the network namespace of the thread that opened it, for good.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt,
    socket, sockopt,
};
use nix::sys::time::TimeVal;

use super::message::Message;

const ERROR: u16 = 2;
const DONE: u16 = 3;
const HEADER: usize = 16;
/// The kernel answers at once; a longer wait means that an answer was lost.
const PATIENCE: TimeVal = TimeVal::new(5, 0);
const RECEIVE_BUFFER: usize = 64 << 10;

/// Which part of the kernel a socket speaks to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Family {
    /// Links, addresses, routes.
    Route,
    /// nf_tables.
    Netfilter,
}

/// A request that the kernel refused, or a socket that broke.
#[derive(Debug, thiserror::Error)]
#[error("netlink: {what}")]
pub(crate) struct NetlinkError {
    /// What was asked.
    what: &'static str,
    /// The kernel's answer.
    pub(crate) source: io::Error,
}

impl NetlinkError {
    fn new(what: &'static str, source: impl Into<io::Error>) -> Self {
        Self { what, source: source.into() }
    }

    /// Something that was there a moment ago is not.
    pub(crate) fn missing(what: &'static str) -> Self {
        Self::new(what, io::ErrorKind::NotFound)
    }

    /// Whether the kernel answered with this error number.
    pub(crate) fn is(&self, errno: nix::errno::Errno) -> bool {
        self.source.raw_os_error() == Some(errno as i32)
    }
}

/// One message of an answer: what follows the netlink header.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The family's header and the attributes.
    pub(crate) body: Vec<u8>,
}

/// An open socket.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    sequence: AtomicU32,
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace.
    pub(crate) fn open(family: Family) -> Result<Self, NetlinkError> {
        let protocol = match family {
            Family::Route => SockProtocol::NetlinkRoute,
            Family::Netfilter => SockProtocol::NetlinkNetFilter,
        };
        let fail = |error: nix::Error| NetlinkError::new("open socket", error);
        let fd =
            socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol).map_err(fail)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0)).map_err(fail)?;
        setsockopt(&fd, sockopt::ReceiveTimeout, &PATIENCE).map_err(fail)?;
        Ok(Self { fd, sequence: AtomicU32::new(1) })
    }

    /// Sends all `messages` at once and waits for the acknowledgement of each that asks for one.
    ///
    /// The first refusal is returned, after all answers were read.
    pub(crate) fn send(&self, messages: &[Message]) -> Result<(), NetlinkError> {
        if messages.is_empty() {
            return Ok(());
        }
        let first = self.transmit(messages)?;
        let mut waiting: Vec<bool> = messages.iter().map(Message::wants_ack).collect();
        let mut refused = None;
        let mut buffer = vec![0; RECEIVE_BUFFER];
        while waiting.iter().any(|waiting| *waiting) {
            let length = self.receive(&mut buffer, "wait for an acknowledgement")?;
            for (kind, sequence, body) in split(&buffer[..length]) {
                let Some(index) = sequence.checked_sub(first).map(|index| index as usize) else { continue };
                if kind != ERROR || index >= messages.len() {
                    continue;
                }
                let expected = std::mem::take(&mut waiting[index]);
                if let Some(error) = errno(body) {
                    refused.get_or_insert_with(|| NetlinkError::new(messages[index].what(), error));
                    // An error to the frame of a batch says that nothing of it was looked at: no more answers come.
                    if !expected {
                        waiting.fill(false);
                    }
                }
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// Sends one request that asks for a list and collects it.
    pub(crate) fn dump(&self, request: &Message) -> Result<Vec<Reply>, NetlinkError> {
        let first = self.transmit(std::slice::from_ref(request))?;
        let mut replies = Vec::new();
        let mut buffer = vec![0; RECEIVE_BUFFER];
        loop {
            let length = self.receive(&mut buffer, request.what())?;
            for (kind, sequence, body) in split(&buffer[..length]) {
                match kind {
                    _ if sequence != first => {}
                    DONE => return Ok(replies),
                    ERROR => match errno(body) {
                        Some(error) => return Err(NetlinkError::new(request.what(), error)),
                        None => return Ok(replies),
                    },
                    _ => replies.push(Reply { body: body.to_vec() }),
                }
            }
        }
    }

    /// Sends one request that has one answer.
    pub(crate) fn ask(&self, request: &Message) -> Result<Reply, NetlinkError> {
        let first = self.transmit(std::slice::from_ref(request))?;
        let mut buffer = vec![0; RECEIVE_BUFFER];
        loop {
            let length = self.receive(&mut buffer, request.what())?;
            for (kind, sequence, body) in split(&buffer[..length]) {
                match (kind, sequence == first) {
                    (ERROR, true) => {
                        let error = errno(body).unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into());
                        return Err(NetlinkError::new(request.what(), error));
                    }
                    (_, true) => return Ok(Reply { body: body.to_vec() }),
                    (_, false) => {}
                }
            }
        }
    }

    fn transmit(&self, messages: &[Message]) -> Result<u32, NetlinkError> {
        let count = u32::try_from(messages.len()).unwrap_or(u32::MAX);
        let first = self.sequence.fetch_add(count, Ordering::Relaxed);
        let mut bytes = Vec::new();
        for (sequence, message) in (first..).zip(messages) {
            message.finish(sequence, &mut bytes);
        }
        send(self.fd.as_raw_fd(), &bytes, MsgFlags::empty())
            .map_err(|error| NetlinkError::new(messages[0].what(), error))?;
        Ok(first)
    }

    fn receive(&self, buffer: &mut [u8], what: &'static str) -> Result<usize, NetlinkError> {
        loop {
            match recv(self.fd.as_raw_fd(), buffer, MsgFlags::empty()) {
                Err(nix::Error::EINTR) => {}
                other => return other.map_err(|error| NetlinkError::new(what, error)),
            }
        }
    }
}

/// The messages in what was received: type, sequence number, what follows the header.
fn split(mut bytes: &[u8]) -> impl Iterator<Item = (u16, u32, &[u8])> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
        let message = bytes.get(..length).filter(|message| message.len() >= HEADER)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        let kind = u16::from_ne_bytes([message[4], message[5]]);
        let sequence = u32::from_ne_bytes(*message[8..].first_chunk()?);
        Some((kind, sequence, &message[HEADER..]))
    })
}

/// The error in the body of an acknowledgement; `None` for success.
fn errno(body: &[u8]) -> Option<io::Error> {
    let number = body.first_chunk().copied().map_or(-(nix::errno::Errno::EIO as i32), i32::from_ne_bytes);
    (number != 0).then(|| io::Error::from_raw_os_error(-number))
}
