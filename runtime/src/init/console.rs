//! The container's terminal, and descriptors sent to those who asked for them.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use dhow_linux::descriptor;
use dhow_linux::mount::{Depth, clone_tree, move_onto};
use rustix::fs::{FileType, Mode, OFlags, makedev};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::process::{PidfdFlags, pidfd_open};
use rustix::pty::OpenptFlags;
use rustix::termios::{OptionalActions, OutputModes, Winsize, tcgetattr, tcsetattr};

use super::{Console, InitError};

/// statfs's magic number of devpts.
const DEVPTS_MAGIC: i64 = 0x1cd1;
/// The inode that every devpts has its ptmx at.
const PTMX_INODE: u64 = 2;

/// Where a terminal is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In a container that is being made: it also becomes `/dev/console`.
    NewContainer,
    /// In a running one.
    Exec,
}

/// Opens a terminal from the container's own devpts, sends its master away, and makes it 0, 1, 2 and the controlling
/// terminal.
pub(super) fn open(console: &Console, place: Place) -> Result<(), InitError> {
    let (master, terminal) = allocate()?;
    if let Some((rows, columns)) = console.size {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&master, size)
            .map_err(InitError::step("set the size of the terminal"))?;
    }
    if console.plain_lines {
        // Here, before the program can write its first line.
        let mut modes = tcgetattr(&master).map_err(InitError::step("tcgetattr"))?;
        modes.output_modes.remove(OutputModes::ONLCR);
        tcsetattr(&master, OptionalActions::Now, &modes).map_err(InitError::step("tcsetattr"))?;
    }
    if place == Place::NewContainer {
        cover_console(&terminal)?;
    }
    send_descriptor(console.socket.as_fd(), b"/dev/ptmx", master.as_fd())
        .map_err(InitError::step("send the terminal to the console socket"))?;
    descriptor::replace_standard(&terminal).map_err(InitError::step("dup the terminal"))?;
    rustix::process::ioctl_tiocsctty(io::stdin()).map_err(InitError::step("ioctl(setctty)"))
}

/// A new pair. Everything is checked before it is used, since `/dev` is the image's (CVE-2025-52565).
fn allocate() -> Result<(OwnedFd, OwnedFd), InitError> {
    let path = "/dev/pts/ptmx";
    let handle = rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
        .map_err(InitError::step(format!("open {path}")))?;
    check_ptmx(&handle)?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let master =
        rustix::fs::open(path, flags, Mode::empty()).map_err(InitError::step(format!("open {path}")))?;
    // Opened a second time by name: the same check again, now on what was really opened.
    check_ptmx(&master)?;
    rustix::pty::unlockpt(&master).map_err(InitError::step("unlock the terminal"))?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let terminal = rustix::pty::ioctl_tiocgptpeer(&master, flags)
        .map_err(InitError::step("get the peer of the terminal"))?;
    Ok((master, terminal))
}

fn check_ptmx(handle: &OwnedFd) -> Result<(), InitError> {
    let system = rustix::fs::fstatfs(handle).map_err(InitError::step("fstatfs ptmx"))?;
    // The opened master shows the inode of the node it was opened through.
    let stat = rustix::fs::fstat(handle).map_err(InitError::step("fstat ptmx"))?;
    if system.f_type != DEVPTS_MAGIC {
        return Err(InitError::Ptmx("not on a real devpts mount"));
    }
    if stat.st_ino != PTMX_INODE {
        return Err(InitError::Ptmx("wrong inode number"));
    }
    if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice || stat.st_rdev != makedev(5, 2) {
        return Err(InitError::Ptmx("not a real char ptmx device"));
    }
    Ok(())
}

/// Shows the terminal as `/dev/console` too.
fn cover_console(terminal: &OwnedFd) -> Result<(), InitError> {
    let flags = OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let target = rustix::fs::open("/dev/console", flags, Mode::from_raw_mode(0o666))
        .map_err(InitError::step("create /dev/console mount target"))?;
    let cover = clone_tree(terminal.as_fd(), std::path::Path::new(""), Depth::One)
        .map_err(InitError::step("open_tree of the terminal"))?;
    move_onto(&cover, &target).map_err(InitError::step("mount the terminal on /dev/console"))
}

/// Sends the calling process's pidfd to `socket`.
pub(super) fn send_pidfd(socket: Option<&OwnedFd>, text: &str) -> Result<(), InitError> {
    let Some(socket) = socket else { return Ok(()) };
    let handle = pidfd_open(rustix::process::getpid(), PidfdFlags::empty())
        .map_err(InitError::step("failed to setup pidfd"))?;
    send_descriptor(socket.as_fd(), text.as_bytes(), handle.as_fd())
        .map_err(InitError::step("failed to setup pidfd"))
}

/// Sends one descriptor with a text.
pub(crate) fn send_descriptor(
    socket: BorrowedFd<'_>,
    text: &[u8],
    descriptor: BorrowedFd<'_>,
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    rustix::net::sendmsg(socket, &[IoSlice::new(text)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}
