//! Classic BPF programs that filter system calls (seccomp(2)).

#![expect(unsafe_code, reason = "seccomp(2) has no safe wrapper")]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Kill the thread.
pub const KILL_THREAD: u32 = libc::SECCOMP_RET_KILL_THREAD;
/// Kill the process.
pub const KILL_PROCESS: u32 = libc::SECCOMP_RET_KILL_PROCESS;
/// Send SIGSYS.
pub const TRAP: u32 = libc::SECCOMP_RET_TRAP;
/// Return the errno in the low 16 bits.
pub const ERRNO: u32 = libc::SECCOMP_RET_ERRNO;
/// Ask the listener.
pub const NOTIFY: u32 = libc::SECCOMP_RET_USER_NOTIF;
/// Tell the tracer, with the low 16 bits as its message.
pub const TRACE: u32 = libc::SECCOMP_RET_TRACE;
/// Allow, and log.
pub const LOG: u32 = libc::SECCOMP_RET_LOG;
/// Allow.
pub const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

/// All threads of the process.
pub const FLAG_TSYNC: u32 = 1 << 0;
/// Log what is not allowed.
pub const FLAG_LOG: u32 = 1 << 1;
/// Leave speculation alone: mitigations cost more than they give here.
pub const FLAG_SPEC_ALLOW: u32 = 1 << 2;
/// Give back a descriptor for a listener.
pub const FLAG_NEW_LISTENER: u32 = 1 << 3;
/// Once a listener has taken a call up, only fatal signals interrupt it.
pub const FLAG_WAIT_KILLABLE: u32 = 1 << 5;

/// One classic BPF instruction, as the kernel lays it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// How many instructions to skip when a test holds.
    pub yes: u8,
    /// How many instructions to skip when it does not.
    pub no: u8,
    /// Operand.
    pub constant: u32,
}

impl Instruction {
    const fn new(code: u16, constant: u32) -> Self {
        Self { code, yes: 0, no: 0, constant }
    }

    /// Loads the word at `offset` of `struct seccomp_data`.
    #[must_use]
    pub const fn load(offset: u32) -> Self {
        Self::new(0x20, offset)
    }

    /// Keeps only the bits of `mask`.
    #[must_use]
    pub const fn and(mask: u32) -> Self {
        Self::new(0x54, mask)
    }

    /// Skips `count` instructions.
    #[must_use]
    pub const fn skip(count: u32) -> Self {
        Self::new(0x05, count)
    }

    /// Compares with `constant`: equal?
    #[must_use]
    pub const fn if_equal(constant: u32, yes: u8, no: u8) -> Self {
        Self { code: 0x15, yes, no, constant }
    }

    /// Compares with `constant`: greater?
    #[must_use]
    pub const fn if_greater(constant: u32, yes: u8, no: u8) -> Self {
        Self { code: 0x25, yes, no, constant }
    }

    /// Compares with `constant`: greater or equal?
    #[must_use]
    pub const fn if_at_least(constant: u32, yes: u8, no: u8) -> Self {
        Self { code: 0x35, yes, no, constant }
    }

    /// Ends the program with `action`.
    #[must_use]
    pub const fn end(action: u32) -> Self {
        Self::new(0x06, action)
    }
}

#[repr(C)]
struct Program {
    length: u16,
    instructions: *const Instruction,
}

/// Puts `program` in force for the calling thread and its future children; gives the listener's descriptor when
/// `flags` ask for one. Allocates nothing.
///
/// # Errors
/// Without no_new_privs or CAP_SYS_ADMIN, or when the kernel refuses the program or a flag.
pub fn install(program: &[Instruction], flags: u32) -> io::Result<Option<OwnedFd>> {
    let length = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = Program { length, instructions: program.as_ptr() };
    // SAFETY: `program` describes a live slice of instructions laid out as the kernel's; the kernel copies and checks
    // it.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    if flags & FLAG_NEW_LISTENER == 0 {
        return Ok(None);
    }
    let fd = RawFd::try_from(result).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Whether the kernel knows `flag`: it refuses unknown ones before it looks at the missing program.
#[must_use]
pub fn knows_flag(flag: u32) -> bool {
    let nothing = std::ptr::null::<Program>();
    // SAFETY: the kernel answers EFAULT to the null program, after it has checked the flags.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flag, nothing) };
    result < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT)
}
