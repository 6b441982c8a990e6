//! Loop devices: a file as a block device (loop(4), `LOOP_CONFIGURE` of Linux 5.8).

#![expect(unsafe_code, reason = "the ioctls of loop devices have no safe wrapper")]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4c82;
const LOOP_CONFIGURE: libc::Ioctl = 0x4c0a;
const LOOP_GET_STATUS64: libc::Ioctl = 0x4c05;
const LOOP_SET_STATUS64: libc::Ioctl = 0x4c04;
const LO_FLAGS_READ_ONLY: u32 = 1;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
/// How often another process may take the free device before us.
const ATTEMPTS: usize = 64;

/// `struct loop_info64` of the kernel.
#[repr(C)]
#[derive(Clone, Copy)]
struct Info {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config` of the kernel.
#[repr(C)]
struct Config {
    fd: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

impl Info {
    const EMPTY: Self = Self {
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: 0,
        size_limit: 0,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: 0,
        file_name: [0; 64],
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
    };
}

/// An attached device. The kernel detaches it when its last user is gone: the mount, or this.
#[derive(Debug)]
pub struct Attached {
    /// The open device.
    pub device: File,
    /// Its path.
    pub path: PathBuf,
}

/// Attaches the file at `path` to a free device.
///
/// # Errors
/// When the file cannot be opened, there are no loop devices, or all are in use.
pub fn attach(path: &Path, read_only: bool) -> io::Result<Attached> {
    let file = OpenOptions::new().read(true).write(!read_only).open(path)?;
    let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control")?;
    for _ in 0..ATTEMPTS {
        // SAFETY: LOOP_CTL_GET_FREE takes no argument.
        let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
        if number < 0 {
            return Err(io::Error::last_os_error());
        }
        let node = PathBuf::from(format!("/dev/loop{number}"));
        let device = OpenOptions::new().read(true).write(!read_only).open(&node)?;
        let mut info = Info { flags: LO_FLAGS_AUTOCLEAR, ..Info::EMPTY };
        if read_only {
            info.flags |= LO_FLAGS_READ_ONLY;
        }
        let name = path.as_os_str().as_encoded_bytes();
        let shown = name.len().min(info.file_name.len() - 1);
        info.file_name[..shown].copy_from_slice(&name[..shown]);
        let fd = file.as_raw_fd().unsigned_abs();
        let config = Config { fd, block_size: 0, info, reserved: [0; 8] };
        // SAFETY: the structure has the kernel's layout and lives through the call; both descriptors are open.
        let configured =
            unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, std::ptr::from_ref(&config)) };
        match io::Error::last_os_error() {
            _ if configured == 0 => return Ok(Attached { device, path: node }),
            error if error.kind() == io::ErrorKind::ResourceBusy => {}
            error => return Err(error),
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

/// Whether `device` stays attached without a user.
///
/// # Errors
/// When it is no attached loop device.
pub fn keep(device: BorrowedFd<'_>, keep: bool) -> io::Result<()> {
    let mut info = Info::EMPTY;
    // SAFETY: the kernel fills a structure of exactly this layout, which lives through the call.
    if unsafe { libc::ioctl(device.as_raw_fd(), LOOP_GET_STATUS64, std::ptr::from_mut(&mut info)) } != 0 {
        return Err(io::Error::last_os_error());
    }
    info.flags = if keep { info.flags & !LO_FLAGS_AUTOCLEAR } else { info.flags | LO_FLAGS_AUTOCLEAR };
    // SAFETY: as above; the kernel only reads it.
    match unsafe { libc::ioctl(device.as_raw_fd(), LOOP_SET_STATUS64, std::ptr::from_ref(&info)) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
