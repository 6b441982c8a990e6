//! What a process in a container will be, decoded from the spec before it exists: names become numbers here, where an
//! error can still be told in full.

use std::ffi::CString;
use std::os::fd::OwnedFd;

use dhow_linux::sched::Policy;
use oci_spec::runtime::LinuxSeccomp;

use super::CapabilitySets;
use crate::spec::{Capabilities, IoPriority, Linux, MemoryPolicy, Personality, Process, Scheduler};
use crate::{log, seccomp};

/// A process to be.
#[derive(Debug)]
pub(crate) struct Task<'a> {
    /// The `process` object.
    pub(crate) process: &'a Process,
    /// Its arguments.
    pub(crate) arguments: Vec<CString>,
    /// Its capabilities; none leaves them as they are.
    pub(crate) capabilities: Option<CapabilitySets>,
    /// Its system call filter.
    pub(crate) seccomp: Option<seccomp::Filter>,
    /// Its scheduling policy.
    pub(crate) scheduler: Option<Policy>,
    /// Whether its cgroup gives it some of the CPUs only: deadlines cannot be kept then.
    pub(crate) pinned: bool,
    /// Class and level of its I/O.
    pub(crate) io_priority: Option<(u16, u16)>,
    /// Its execution domain.
    pub(crate) personality: Option<u32>,
    /// Its NUMA mode and nodes.
    pub(crate) memory_policy: Option<(i32, Vec<u64>)>,
    /// Its session keyring; none to keep the caller's.
    pub(crate) keyring: Option<Keyring>,
    /// Its terminal.
    pub(crate) console: Option<Console>,
    /// Who wants its pidfd.
    pub(crate) pidfd_socket: Option<OwnedFd>,
    /// How many descriptors it keeps, the standard ones among them.
    pub(crate) descriptors: i32,
    /// Whether it may set its groups: not when the runtime itself has no right to.
    pub(crate) sets_groups: bool,
}

/// A new terminal.
#[derive(Debug)]
pub(crate) struct Console {
    /// Who gets the other end.
    pub(crate) socket: OwnedFd,
    /// Rows and columns.
    pub(crate) size: Option<(u16, u16)>,
    /// Whether lines end as the program writes them: a relaying caller's own terminal adds what it needs.
    pub(crate) plain_lines: bool,
}

/// A session keyring.
#[derive(Debug)]
pub(crate) struct Keyring {
    /// Its name.
    pub(crate) name: CString,
    /// Permissions to add, for the process that makes it.
    pub(crate) permission: Option<u32>,
}

/// The spec asks for something that does not exist.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    /// An argument with a NUL in it.
    #[error("process args contain a nul byte")]
    NulByte,
    /// A word that is not in a list.
    #[error("invalid {0}")]
    Word(String),
    /// The filter.
    #[error(transparent)]
    Seccomp(#[from] seccomp::SeccompError),
}

impl<'a> Task<'a> {
    /// Decodes `process` in a container configured by `linux`; the rest is filled in by the caller.
    pub(crate) fn new(process: &'a Process, linux: &Linux) -> Result<Self, TaskError> {
        let arguments = process.args.iter().map(|argument| CString::new(argument.as_str()));
        Ok(Self {
            process,
            arguments: arguments.collect::<Result<_, _>>().map_err(|_| TaskError::NulByte)?,
            capabilities: process.capabilities.as_ref().map(sets),
            seccomp: linux.seccomp.as_ref().map(compile).transpose()?,
            scheduler: process.scheduler.as_ref().map(policy).transpose()?,
            pinned: pinned(linux),
            io_priority: process.io_priority.as_ref().map(io_priority).transpose()?,
            personality: linux.personality.as_ref().map(personality).transpose()?,
            memory_policy: linux.memory_policy.as_ref().map(memory_policy).transpose()?,
            keyring: None,
            console: None,
            pidfd_socket: None,
            descriptors: 3,
            sets_groups: true,
        })
    }
}

fn compile(profile: &LinuxSeccomp) -> Result<seccomp::Filter, seccomp::SeccompError> {
    let filter = seccomp::compile(profile)?;
    log::debug(&format!("seccomp filter flags: {}", filter.flags()));
    Ok(filter)
}

impl Task<'_> {
    /// Closes what was only needed to make the process.
    pub(super) fn drop_sockets(&mut self) {
        self.console = None;
        self.pidfd_socket = None;
    }
}

fn pinned(linux: &Linux) -> bool {
    let cpu = linux.resources.as_ref().and_then(|resources| resources.cpu().as_ref());
    cpu.and_then(|cpu| cpu.cpus().as_deref()).is_some_and(|cpus| !cpus.is_empty())
}

fn sets(capabilities: &Capabilities) -> CapabilitySets {
    let (sets, unknown) = CapabilitySets::parse(capabilities);
    if !unknown.is_empty() {
        crate::log::warn(&format!("ignoring unknown or unavailable capabilities: [{}]", unknown.join(" ")));
    }
    sets
}

fn word<T: Copy>(list: &[(&str, T)], word: &str, what: &str) -> Result<T, TaskError> {
    let found = list.iter().find(|(name, _)| *name == word).map(|(_, value)| *value);
    found.ok_or_else(|| TaskError::Word(format!("{what} {word:?}")))
}

fn policy(scheduler: &Scheduler) -> Result<Policy, TaskError> {
    const POLICIES: [(&str, u32); 7] = [
        ("SCHED_OTHER", 0),
        ("SCHED_FIFO", 1),
        ("SCHED_RR", 2),
        ("SCHED_BATCH", 3),
        ("SCHED_ISO", 4),
        ("SCHED_IDLE", 5),
        ("SCHED_DEADLINE", 6),
    ];
    const FLAGS: [(&str, u64); 7] = [
        ("SCHED_FLAG_RESET_ON_FORK", 0x01),
        ("SCHED_FLAG_RECLAIM", 0x02),
        ("SCHED_FLAG_DL_OVERRUN", 0x04),
        ("SCHED_FLAG_KEEP_POLICY", 0x08),
        ("SCHED_FLAG_KEEP_PARAMS", 0x10),
        ("SCHED_FLAG_UTIL_CLAMP_MIN", 0x20),
        ("SCHED_FLAG_UTIL_CLAMP_MAX", 0x40),
    ];
    let Scheduler { policy, nice, priority, flags, runtime, deadline, period } = scheduler;
    let mut bits = 0;
    for flag in flags {
        bits |= word(&FLAGS, flag, "scheduler flag")?;
    }
    Ok(Policy {
        policy: word(&POLICIES, policy, "scheduler policy")?,
        flags: bits,
        nice: *nice,
        priority: u32::try_from(*priority)
            .map_err(|_| TaskError::Word(format!("scheduler priority {priority}")))?,
        runtime: *runtime,
        deadline: *deadline,
        period: *period,
    })
}

fn io_priority(asked: &IoPriority) -> Result<(u16, u16), TaskError> {
    const CLASSES: [(&str, u16); 3] =
        [("IOPRIO_CLASS_RT", 1), ("IOPRIO_CLASS_BE", 2), ("IOPRIO_CLASS_IDLE", 3)];
    let level = u16::try_from(asked.priority).ok().filter(|level| *level <= 7);
    let level = level.ok_or_else(|| TaskError::Word(format!("ioPriority.Priority: {}", asked.priority)))?;
    Ok((word(&CLASSES, &asked.class, "ioPriority.Class:")?, level))
}

fn personality(asked: &Personality) -> Result<u32, TaskError> {
    if !asked.flags.is_empty() {
        crate::log::warn(&format!("ignoring unsupported personality flags: [{}]", asked.flags.join(" ")));
    }
    word(&[("LINUX", 0), ("LINUX32", 8)], &asked.domain, "personality domain")
}

/// The NUMA modes, by their names in the spec.
const MEMORY_MODES: [(&str, i32); 7] = [
    ("MPOL_DEFAULT", 0),
    ("MPOL_PREFERRED", 1),
    ("MPOL_BIND", 2),
    ("MPOL_INTERLEAVE", 3),
    ("MPOL_LOCAL", 4),
    ("MPOL_PREFERRED_MANY", 5),
    ("MPOL_WEIGHTED_INTERLEAVE", 6),
];
/// The flags of NUMA modes, by their names in the spec.
const MEMORY_FLAGS: [(&str, i32); 3] = [
    ("MPOL_F_NUMA_BALANCING", 1 << 13),
    ("MPOL_F_RELATIVE_NODES", 1 << 14),
    ("MPOL_F_STATIC_NODES", 1 << 15),
];

fn memory_policy(asked: &MemoryPolicy) -> Result<(i32, Vec<u64>), TaskError> {
    let mut mode = word(&MEMORY_MODES, &asked.mode, "memory policy mode")?;
    let nodes = number_list(&asked.nodes)
        .ok_or_else(|| TaskError::Word(format!("memory policy nodes {:?}", asked.nodes)))?;
    let count: u32 = nodes.iter().map(|part| part.count_ones()).sum();
    match mode {
        0 | 4 if count != 0 => {
            return Err(TaskError::Word(format!("memory policy mode requires 0 nodes but got {count}")));
        }
        2 | 3 | 5 | 6 if count == 0 => {
            let text = "memory policy mode requires at least one node but got 0".to_owned();
            return Err(TaskError::Word(text));
        }
        _ => {}
    }
    for flag in &asked.flags {
        mode |= word(&MEMORY_FLAGS, flag, "memory policy flag")?;
    }
    Ok((mode, nodes))
}

/// `0-3,7` as a bit mask.
pub(crate) fn number_list(text: &str) -> Option<Vec<u64>> {
    /// Above any machine, and small enough for a mask of 1 KiB.
    const HIGHEST: usize = 8192;
    let mut mask = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse::<usize>().ok()?, last.trim().parse::<usize>().ok()?);
        if last < first || last >= HIGHEST {
            return None;
        }
        if mask.len() <= last / 64 {
            mask.resize(last / 64 + 1, 0);
        }
        for number in first..=last {
            *mask.get_mut(number / 64)? |= 1 << (number % 64);
        }
    }
    Some(mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_lists() {
        assert_eq!(number_list("0-2, 5"), Some(vec![0b10_0111]));
        assert_eq!(number_list("64"), Some(vec![0, 1]));
        assert_eq!(number_list(""), Some(vec![]));
        for bad in ["3-1", "x", "1-", "9999999999"] {
            assert_eq!(number_list(bad), None, "{bad}");
        }
    }
}
