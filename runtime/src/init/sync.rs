//! What a container's first process and the runtime tell each other while it is being made.
//!
//! ```text
//! runtime                                 child
//!    │ ── Go ─────────────────────────────▶ │   only when the child needs something first: ID maps, interfaces
//!    │ ── doors ──────────────────────────▶ │   only when its cgroups were made at the same time: descriptors to enter by
//!    │ ◀────────────── Map(place, number) ── │   only for mapped mounts in a user namespace, each answered by Go
//!    │ ◀───────────────────────── Mounted ── │   only when there are hooks to run at that moment
//!    │ ── Go ─────────────────────────────▶ │
//!    │ ◀─────────────────────────── Ready ── │   all is made; rlimits are set now
//!    │ ── Go ─────────────────────────────▶ │   sent long before, if there are none and no message came before
//!    │ ◀──────────────── Listener(number) ── │   only with a seccomp listener: copied by number (pidfd_getfd)
//!    │ ── Go ─────────────────────────────▶ │
//!    │ ◀────────── Waiting, or end of file ── │   it waits for `start`, or has become its program
//! ```
//! Warnings may come at any time, and one failure ends it. A side that dies closes its end, which ends the other.
//! The socket keeps message boundaries, so one write is one message.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

/// A longer text is cut: it is meant for people.
const LONGEST: usize = 8192;
/// More v1 hierarchies than any kernel has controllers.
const MOST_DOORS: usize = 64;

/// From the child.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// The pid of the real first process, from the one that made it.
    Pid(i32),
    /// The mounts are made, the old root is still the root.
    Mounted,
    /// A detached tree (by its number in the child) wants the owners of the mount at a place in the list.
    Map(usize, i32),
    /// Nothing is left but to become the program.
    Ready,
    /// The seccomp listener, by its number in the child.
    Listener(i32),
    /// It waits for `start`: the runtime may leave.
    Waiting,
    /// To be logged.
    Warning(String),
    /// What went wrong; the child is gone.
    Failed(String),
}

/// One end.
#[derive(Debug)]
pub(crate) struct Channel(OwnedFd);

/// Both ends: the runtime's and the child's.
pub(crate) fn pair() -> io::Result<(Channel, Channel)> {
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    Ok((Channel(ours), Channel(theirs)))
}

impl Channel {
    /// Sends a message.
    pub(crate) fn send(&self, message: &Message) -> io::Result<()> {
        let (tag, text) = match message {
            Message::Pid(pid) => (b'P', pid.to_string()),
            Message::Mounted => (b'M', String::new()),
            Message::Map(place, number) => (b'O', format!("{place} {number}")),
            Message::Ready => (b'R', String::new()),
            Message::Waiting => (b'S', String::new()),
            Message::Listener(number) => (b'L', number.to_string()),
            Message::Warning(text) => (b'W', text.clone()),
            Message::Failed(text) => (b'F', text.clone()),
        };
        let mut bytes = vec![tag];
        bytes.extend_from_slice(text.as_bytes().get(..LONGEST - 1).unwrap_or(text.as_bytes()));
        self.write(&bytes)
    }

    /// Waits for a message; `None` when the other side closed its end.
    pub(crate) fn receive(&self) -> io::Result<Option<Message>> {
        let mut buffer = [0_u8; LONGEST];
        let length = self.read(&mut buffer)?;
        let Some((tag, text)) = buffer[..length].split_first() else { return Ok(None) };
        let text = String::from_utf8_lossy(text).into_owned();
        let number = || text.parse::<i32>().map_err(|_| io::Error::from(io::ErrorKind::InvalidData));
        Ok(Some(match tag {
            b'P' => Message::Pid(number()?),
            b'M' => Message::Mounted,
            b'R' => Message::Ready,
            b'O' => parse_map(&text)?,
            b'S' => Message::Waiting,
            b'L' => Message::Listener(number()?),
            b'W' => Message::Warning(text),
            b'F' => Message::Failed(text),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }))
    }

    /// Lets the other side go on.
    pub(crate) fn go(&self) -> io::Result<()> {
        self.write(b"G")
    }

    /// Waits until the other side says [`Channel::go`]; `UnexpectedEof` when it is gone.
    pub(crate) fn wait(&self) -> io::Result<()> {
        let mut byte = [0_u8; 1];
        match self.read(&mut byte)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Sends the `doors` of the cgroups, and the places of the hierarchies that are `refused`.
    pub(crate) fn send_doors(&self, refused: &[u8], doors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DOORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !ancillary.push(SendAncillaryMessage::ScmRights(doors)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let parts = [IoSlice::new(b"D"), IoSlice::new(refused)];
        rustix::net::sendmsg(&self.0, &parts, &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Waits for what [`Channel::send_doors`] sends; `UnexpectedEof` when the other side is gone.
    pub(super) fn receive_doors(&self) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DOORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut text = [0_u8; 1 + MOST_DOORS];
        let mut parts = [IoSliceMut::new(&mut text)];
        let received = rustix::io::retry_on_intr(|| {
            rustix::net::recvmsg(&self.0, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC)
        })?;
        let doors = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(doors) => Some(doors.collect()),
            _ => None,
        });
        match text[..received.bytes].split_first() {
            Some((_, refused)) => Ok((refused.to_vec(), doors.unwrap_or_default())),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// The socket itself, which must outlive the closing of everything else.
    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        loop {
            // A plain write: a seccomp filter that is already in place may trap the socket calls.
            match rustix::io::write(&self.0, bytes) {
                Err(Errno::INTR) => {}
                other => return other.map(drop).map_err(Into::into),
            }
        }
    }

    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match rustix::io::read(&self.0, &mut *buffer) {
                // The other side died with something of ours unread. That is told once, and before what it sent.
                Err(Errno::INTR | Errno::CONNRESET) => {}
                other => return other.map_err(Into::into),
            }
        }
    }
}

fn parse_map(text: &str) -> io::Result<Message> {
    let parsed =
        text.split_once(' ').and_then(|(place, number)| Some((place.parse().ok()?, number.parse().ok()?)));
    parsed.map(|(place, number)| Message::Map(place, number)).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_of_who_did_not_listen_arrive() {
        let (ours, theirs) = pair().expect("socketpair");
        ours.go().expect("go");
        theirs.send(&Message::Failed("why".to_owned())).expect("send");
        drop(theirs);
        assert_eq!(ours.receive().expect("receive"), Some(Message::Failed("why".to_owned())));
        assert_eq!(ours.receive().expect("receive"), None);
    }

    #[test]
    fn messages_arrive_as_they_were_sent() {
        let (ours, theirs) = pair().expect("socketpair");
        let failed = Message::Failed("x".repeat(3));
        for message in [
            Message::Pid(7),
            Message::Mounted,
            Message::Ready,
            Message::Waiting,
            Message::Listener(3),
            failed,
        ] {
            theirs.send(&message).expect("send");
            assert_eq!(ours.receive().expect("receive"), Some(message));
        }
        ours.go().expect("go");
        theirs.wait().expect("wait");
        drop(ours);
        assert_eq!(theirs.wait().expect_err("closed").kind(), io::ErrorKind::UnexpectedEof);
    }
}
