//! clone3(2): one call that makes a process in all of its new namespaces, and in its cgroup.
//!
//! The child is a copy of the caller (no shared memory), so it may run ordinary code, as long as the caller had one
//! thread: otherwise a lock held by another thread would stay locked for ever in the copy. [`clone3`] checks that.

#![expect(unsafe_code, reason = "clone3(2) and setns(2) by flags have no safe wrapper")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::process::Pid;

/// Which new namespaces a child gets, as the `CLONE_NEW*` bits of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NamespaceFlags(u64);

impl NamespaceFlags {
    /// `CLONE_NEWNS`.
    pub const MOUNT: Self = Self(libc::CLONE_NEWNS as u64);
    /// `CLONE_NEWCGROUP`.
    pub const CGROUP: Self = Self(libc::CLONE_NEWCGROUP as u64);
    /// `CLONE_NEWUTS`.
    pub const UTS: Self = Self(libc::CLONE_NEWUTS as u64);
    /// `CLONE_NEWIPC`.
    pub const IPC: Self = Self(libc::CLONE_NEWIPC as u64);
    /// `CLONE_NEWUSER`.
    pub const USER: Self = Self(libc::CLONE_NEWUSER as u64);
    /// `CLONE_NEWPID`.
    pub const PID: Self = Self(libc::CLONE_NEWPID as u64);
    /// `CLONE_NEWNET`.
    pub const NETWORK: Self = Self(libc::CLONE_NEWNET as u64);
    /// `CLONE_NEWTIME`.
    pub const TIME: Self = Self(0x80);

    /// Both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set without the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether no namespace is named.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The kernel's bits; all of them fit an `int`.
    #[must_use]
    pub const fn bits(self) -> i32 {
        #[expect(clippy::cast_possible_truncation, reason = "CLONE_NEW* are int flags")]
        let bits = self.0 as i32;
        bits
    }
}

/// What a child is made with.
#[derive(Debug, Default)]
pub struct Options<'fd> {
    /// The namespaces it starts in.
    pub namespaces: NamespaceFlags,
    /// The cgroup2 directory it starts in (`CLONE_INTO_CGROUP`): joining later would wait for an RCU grace period.
    pub cgroup: Option<BorrowedFd<'fd>>,
    /// Make the child a sibling (`CLONE_PARENT`): whoever waits for the caller will wait for it.
    pub sibling: bool,
}

/// Which side of [`clone3`] this is.
#[derive(Debug)]
pub enum Side {
    /// The new process.
    Child,
    /// The caller, with the pid of the child as the caller sees it, and a handle that no other process can reuse.
    Parent {
        /// The child.
        pid: Pid,
        /// The child's pidfd.
        pidfd: OwnedFd,
    },
}

/// Makes a child process.
///
/// # Errors
/// `EINVAL` when the caller has more than one thread, or whatever the kernel refuses.
pub fn clone3(options: &Options<'_>) -> io::Result<Side> {
    // SAFETY: with CLONE_VM alone unshare changes nothing; it only answers EINVAL to a process with several threads.
    if unsafe { libc::unshare(libc::CLONE_VM) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut pidfd: libc::c_int = -1;
    let mut flags = options.namespaces.0 | libc::CLONE_PIDFD as u64;
    if options.sibling {
        flags |= libc::CLONE_PARENT as u64;
    }
    // SAFETY: clone_args is plain integers; zero is a valid value of each.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    if let Some(cgroup) = options.cgroup {
        flags |= 0x2_0000_0000; // CLONE_INTO_CGROUP
        arguments.cgroup = cgroup.as_raw_fd() as u64;
    }
    arguments.flags = flags;
    arguments.pidfd = std::ptr::from_mut(&mut pidfd) as u64;
    // With CLONE_PARENT the kernel demands no exit signal: the child has that of the caller.
    arguments.exit_signal = if options.sibling { 0 } else { libc::SIGCHLD as u64 };
    // SAFETY: the arguments live through the call, no memory is shared with the child (no CLONE_VM, no stack given),
    // and the caller has a single thread (checked above), so the copy is as consistent as the original.
    let result = unsafe {
        libc::syscall(libc::SYS_clone3, std::ptr::from_ref(&arguments), size_of::<libc::clone_args>())
    };
    match result {
        0 => Ok(Side::Child),
        raw if raw > 0 => {
            #[expect(clippy::cast_possible_truncation, reason = "a pid is an int")]
            let pid = Pid::from_raw(raw as i32).ok_or(io::ErrorKind::InvalidData)?;
            // SAFETY: CLONE_PIDFD stored a new descriptor there, which nobody else owns.
            Ok(Side::Parent { pid, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } })
        }
        _ => Err(io::Error::last_os_error()),
    }
}

/// unshare(2) for namespaces.
///
/// # Errors
/// What the kernel refuses.
pub fn unshare(namespaces: NamespaceFlags) -> io::Result<()> {
    // SAFETY: namespace flags do not touch memory, and leave the descriptor table alone.
    match unsafe { libc::unshare(namespaces.bits()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// setns(2): joins the namespace that `handle` is (or, when it is a pidfd, all of `namespaces` of that process).
///
/// # Errors
/// What the kernel refuses.
pub fn join(handle: BorrowedFd<'_>, namespaces: NamespaceFlags) -> io::Result<()> {
    // SAFETY: setns takes integers only.
    match unsafe { libc::setns(handle.as_raw_fd(), namespaces.bits()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
