//! Session keyrings (keyctl(2)).

#![expect(unsafe_code, reason = "keyctl(2) has no safe wrapper")]

use std::ffi::CStr;
use std::io;

const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
const KEYCTL_DESCRIBE: libc::c_int = 6;
const KEYCTL_SETPERM: libc::c_int = 5;

/// A key or keyring of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySerial(i64);

/// Joins the session keyring called `name`, making it when there is none.
///
/// # Errors
/// `ENOSYS` without key support, `EDQUOT` when the user owns too many keys.
pub fn join_session(name: &CStr) -> io::Result<KeySerial> {
    // SAFETY: the name is NUL-terminated and only read.
    match unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) } {
        -1 => Err(io::Error::last_os_error()),
        serial => Ok(KeySerial(serial)),
    }
}

/// Adds `bits` to the permissions of a key.
///
/// # Errors
/// When the key cannot be described or changed.
pub fn add_permission(key: KeySerial, bits: u32) -> io::Result<()> {
    let mut buffer = [0_u8; 1024];
    // SAFETY: the kernel writes at most the given length into the buffer.
    let length =
        unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_DESCRIBE, key.0, buffer.as_mut_ptr(), buffer.len()) };
    if length < 0 {
        return Err(io::Error::last_os_error());
    }
    // "type;uid;gid;perm;description", perm in hexadecimal.
    let length = usize::try_from(length).unwrap_or(0).min(buffer.len());
    let text = String::from_utf8_lossy(&buffer[..length]);
    let permission = text
        .split(';')
        .nth(3)
        .and_then(|field| u32::from_str_radix(field, 16).ok())
        .ok_or(io::ErrorKind::InvalidData)?;
    // SAFETY: integers only.
    match unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_SETPERM, key.0, permission | bits) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
