//! A user namespace that only a descriptor keeps: what an idmapped mount takes its owners from.

#![expect(
    unsafe_code,
    reason = "clone3(2) from a process with threads, and waitid(2) for a child without a signal"
)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::process::{Pid, Signal, pidfd_send_signal};

/// Makes a user namespace with these maps, in the form of `/proc/PID/uid_map`: lines of `inside outside count`.
///
/// # Errors
/// What the kernel refuses: without privileges most maps.
pub fn mapped(uids: &str, gids: &str) -> io::Result<OwnedFd> {
    let child = Child::start()?;
    let folder = format!("/proc/{}", child.pid.as_raw_nonzero());
    std::fs::write(format!("{folder}/uid_map"), uids)?;
    std::fs::write(format!("{folder}/gid_map"), gids)?;
    Ok(File::open(format!("{folder}/ns/user"))?.into())
}

/// A process that lives in the new namespace and does nothing; dropping it ends it.
struct Child {
    pid: Pid,
    handle: OwnedFd,
}

impl Child {
    fn start() -> io::Result<Self> {
        let mut handle: libc::c_int = -1;
        // SAFETY: clone_args is plain integers; zero is a valid value of each.
        let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
        arguments.flags = (libc::CLONE_NEWUSER | libc::CLONE_PIDFD) as u64;
        arguments.pidfd = std::ptr::from_mut(&mut handle) as u64;
        // No exit signal: it is nobody's business but ours, not even of a reaper of all children.
        // SAFETY: the arguments live through the call and no memory is shared. The child, a copy of one thread of
        // maybe many, makes two system calls and touches nothing else.
        let result = unsafe {
            libc::syscall(libc::SYS_clone3, std::ptr::from_ref(&arguments), size_of::<libc::clone_args>())
        };
        match result {
            0 => {
                // SAFETY: prctl with integers only.
                unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
                loop {
                    // SAFETY: pause takes nothing.
                    unsafe { libc::pause() };
                }
            }
            pid if pid > 0 => {
                // SAFETY: CLONE_PIDFD stored a new descriptor there, which nobody else owns.
                let handle = unsafe { OwnedFd::from_raw_fd(handle) };
                let pid =
                    i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
                Ok(Self { pid, handle })
            }
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It ends of nothing else, so both succeed.
        let _ = pidfd_send_signal(&self.handle, Signal::KILL);
        let id = self.handle.as_raw_fd().unsigned_abs();
        // SAFETY: waitid may be given no place for its answer.
        unsafe { libc::waitid(libc::P_PIDFD, id, std::ptr::null_mut(), libc::WEXITED | libc::__WALL) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_outlives_its_child() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let namespace = mapped("0 100000 65536\n", "0 100000 65536\n").expect("make a namespace");
        let link = format!("/proc/self/fd/{}", namespace.as_raw_fd());
        let name = std::fs::read_link(link).expect("read link");
        assert!(name.to_string_lossy().starts_with("user:["), "{name:?}");
        assert_ne!(name, std::fs::read_link("/proc/self/ns/user").expect("read link"));
        mapped("nonsense", "0 0 1").expect_err("a map that is none");
    }
}
