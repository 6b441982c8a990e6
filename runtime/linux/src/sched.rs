//! Scheduling: policy (sched_setattr), I/O priority, memory policy, execution domain.

#![expect(unsafe_code, reason = "these calls have no safe wrapper")]

use std::io;
use std::os::raw::c_long;

/// sched_setattr's argument.
#[derive(Debug, Clone, Copy, Default)]
pub struct Policy {
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// Nice value for the ordinary policies.
    pub nice: i32,
    /// Priority for the real-time policies.
    pub priority: u32,
    /// Deadline policy, in nanoseconds.
    pub runtime: u64,
    /// Deadline policy, in nanoseconds.
    pub deadline: u64,
    /// Deadline policy, in nanoseconds.
    pub period: u64,
}

fn check(result: c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sets the scheduling policy of the calling process.
///
/// # Errors
/// What the kernel refuses.
pub fn set_policy(policy: Policy) -> io::Result<()> {
    /// The first version of the structure, 48 bytes, known to every kernel that has the call.
    #[repr(C)]
    struct SchedAttr {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }
    let Policy { policy, flags, nice, priority, runtime, deadline, period } = policy;
    let size = u32::try_from(size_of::<SchedAttr>()).unwrap_or(48);
    let attributes = SchedAttr { size, policy, flags, nice, priority, runtime, deadline, period };
    // SAFETY: the structure lives through the call and says its own size.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, std::ptr::from_ref(&attributes), 0) })
}

/// Sets class (1 real time, 2 best effort, 3 idle) and level of the calling process's I/O.
///
/// # Errors
/// What the kernel refuses.
pub fn set_io_priority(class: u16, level: u16) -> io::Result<()> {
    const WHO_PROCESS: c_long = 1;
    let value = c_long::from(class) << 13 | c_long::from(level);
    // SAFETY: integers only.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0 as c_long, value) })
}

/// Sets the NUMA policy of the calling process: a mode with its flags, and the nodes as a bit mask.
///
/// # Errors
/// What the kernel refuses.
pub fn set_memory_policy(mode: i32, nodes: &[u64]) -> io::Result<()> {
    let bits = nodes.len() * 64;
    // The kernel reads one bit less than it is told.
    let (pointer, length) = if bits == 0 { (std::ptr::null(), 0) } else { (nodes.as_ptr(), bits + 1) };
    // SAFETY: the mask holds the number of bits given (less one), and is only read.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, pointer, length) })
}

/// Sets the execution domain (`PER_LINUX`, `PER_LINUX32`).
///
/// # Errors
/// What the kernel refuses.
pub fn set_personality(domain: u32) -> io::Result<()> {
    // SAFETY: an integer only.
    check(unsafe { libc::syscall(libc::SYS_personality, domain) })
}

/// Gives the calling thread a core scheduling group of its own, which its children are born into: strangers never run on
/// the same core at the same time.
///
/// # Errors
/// `EINVAL` from a kernel without core scheduling, `ENODEV` on a machine without threads in its cores.
pub fn isolate_core() -> io::Result<()> {
    const SCOPE_THREAD: libc::c_ulong = 0;
    // SAFETY: integers only.
    let result = unsafe {
        libc::prctl(libc::PR_SCHED_CORE, libc::PR_SCHED_CORE_CREATE, 0, SCOPE_THREAD, 0 as libc::c_ulong)
    };
    check(result.into())
}

/// Lets process `pid` (0: the caller) run on the CPUs of the bit mask, as far as its cpuset allows.
///
/// # Errors
/// What the kernel refuses.
pub fn set_affinity(pid: i32, cpus: &[u64]) -> io::Result<()> {
    // SAFETY: the mask is as long as said, and only read.
    check(unsafe { libc::syscall(libc::SYS_sched_setaffinity, pid, size_of_val(cpus), cpus.as_ptr()) })
}
