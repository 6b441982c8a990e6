//! The loopback interface of a new network namespace: present, but down until somebody raises it.

#![expect(unsafe_code, reason = "the interface ioctls have no safe wrapper")]

use std::io;

use rustix::ioctl::{Opcode, Setter};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

/// The C libraries do not agree on the type of a request.
const SET_FLAGS: Opcode = libc::SIOCSIFFLAGS as Opcode;

/// Raises `lo` of the calling process's network namespace.
///
/// # Errors
/// When the namespace has none, or the caller may not.
pub fn raise() -> io::Result<()> {
    let socket =
        rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: ifreq is plain data; zero is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(b"lo") {
        *place = byte.cast_signed();
    }
    #[expect(clippy::cast_possible_truncation, reason = "both flags are below 2^15")]
    let flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    request.ifr_ifru.ifru_flags = flags;
    // SAFETY: SIOCSIFFLAGS reads an ifreq and writes nothing.
    unsafe { rustix::ioctl::ioctl(&socket, Setter::<SET_FLAGS, libc::ifreq>::new(request)) }
        .map_err(Into::into)
}
