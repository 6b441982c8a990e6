//! A route netlink socket: one request at a time, each waited for.

use std::io;
use std::os::fd::{OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

use super::message::{
    ACKNOWLEDGE, Address, Answer, IFLA_IFNAME, IFLA_NET_NS_FD, Kind, Link, Request, answers,
};

/// The kernel sends no longer part of a list.
const LONGEST: usize = 32 << 10;

/// The socket.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// A socket of the namespace that the caller is in.
    pub(super) fn open() -> io::Result<Self> {
        // Protocol 0 is NETLINK_ROUTE.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// The link called `name`.
    pub(super) fn link(&mut self, name: &str) -> io::Result<Link> {
        let request = Request::link(Kind::GetLink, 0, 0, None).attribute(IFLA_IFNAME, &terminated(name));
        let found = self.ask(request, |answer| matches!(answer, Answer::Link(_)))?;
        let mut links = found.into_iter().filter_map(|answer| match answer {
            Answer::Link(link) => Some(link),
            _ => None,
        });
        links.next().ok_or_else(|| Errno::NODEV.into())
    }

    /// The addresses of a link.
    pub(super) fn addresses(&mut self, index: i32) -> io::Result<Vec<Address>> {
        let found = self.ask(Request::all_addresses(), |_| false)?;
        let addresses = found.into_iter().filter_map(|answer| match answer {
            Answer::Address(address) if address.index == index => Some(address),
            _ => None,
        });
        Ok(addresses.collect())
    }

    /// Raises or lowers a link.
    pub(super) fn set_up(&mut self, index: i32, up: bool) -> io::Result<()> {
        self.ask(Request::link(Kind::NewLink, ACKNOWLEDGE, index, Some(up)), |_| false).map(drop)
    }

    /// Moves a link into the namespace `namespace` under a name: both in one step, so that no name can be in the way
    /// that is only in between.
    pub(super) fn move_link(&mut self, index: i32, name: &str, namespace: RawFd) -> io::Result<()> {
        let request = Request::link(Kind::NewLink, ACKNOWLEDGE, index, None)
            .attribute(IFLA_IFNAME, &terminated(name))
            .attribute(IFLA_NET_NS_FD, &namespace.to_ne_bytes());
        self.ask(request, |_| false).map(drop)
    }

    /// Gives a link an address.
    pub(super) fn add_address(&mut self, index: i32, address: &Address) -> io::Result<()> {
        self.ask(Request::address(index, address), |_| false).map(drop)
    }

    /// Sends a request; the answers up to the last: the one that says so, or the one that `is_last`.
    fn ask(&mut self, request: Request, is_last: impl Fn(&Answer) -> bool) -> io::Result<Vec<Answer>> {
        self.sequence += 1;
        send(&self.socket, &request.encoded(self.sequence), SendFlags::empty())?;
        let mut found = Vec::new();
        let mut buffer = vec![0_u8; LONGEST];
        loop {
            let length = match recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                Err(Errno::INTR) => continue,
                other => other?.1,
            };
            let received = buffer.get(..length).ok_or(io::ErrorKind::InvalidData)?;
            for answer in answers(received, self.sequence).ok_or(io::ErrorKind::InvalidData)? {
                match answer {
                    Answer::End(0) => return Ok(found),
                    Answer::End(error) => return Err(io::Error::from_raw_os_error(-error)),
                    answer if is_last(&answer) => {
                        found.push(answer);
                        return Ok(found);
                    }
                    answer => found.push(answer),
                }
            }
        }
    }
}

fn terminated(name: &str) -> Vec<u8> {
    name.bytes().chain([0]).collect()
}
