//! Seccomp profiles, compiled into BPF by us: a program of a few hundred instructions in a fraction of a millisecond.
//!
//! ```text
//! profile ─ rules per machine ([`policy`]) ─ one binary search per machine ([`emit`]) ─ Filter
//! ```
//! The meaning is libseccomp's, whose users wrote the profiles: a rule without arguments outweighs those with some; the
//! native machine is always included; other machines' calls are killed; calls newer than the newest that the profile
//! names fail with ENOSYS instead of the default action, so that C libraries fall back.
//!
//! Does not own: installing ([`dhow_linux::seccomp::install`]) and handing the listener over.

mod arch;
mod emit;
mod policy;
mod table;

use dhow_linux::seccomp::{self as kernel, Instruction};
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSeccompFilterFlag};

use self::arch::Machine;

/// A profile that cannot be compiled.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum SeccompError {
    /// Every call would wait for the listener, also those that hand the listener over.
    #[error("SCMP_ACT_NOTIFY cannot be used as default action")]
    NotifyDefault,
    /// The runtime itself writes to hand the listener over.
    #[error("SCMP_ACT_NOTIFY cannot be used for the write syscall")]
    NotifyWrite,
    /// A rule without a name.
    #[error("empty string is not a valid syscall")]
    NoName,
    /// System calls have six arguments.
    #[error(
        "error creating seccomp syscall condition for syscall {name}: syscalls have at most 6 arguments, not {index}"
    )]
    Argument {
        /// The call.
        name: String,
        /// The argument's index.
        index: usize,
    },
    /// The kernel is too old for a flag.
    #[error("seccomp flag {0} is not supported by this kernel")]
    Flag(&'static str),
    /// The kernel takes 4096 instructions.
    #[error("seccomp profile makes a program of {0} instructions, more than the 4096 that the kernel takes")]
    TooLong(usize),
}

/// A compiled profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    program: Vec<Instruction>,
    flags: u32,
}

impl Filter {
    /// The instructions.
    pub(crate) fn program(&self) -> &[Instruction] {
        &self.program
    }

    /// Flags for the kernel.
    pub(crate) fn flags(&self) -> u32 {
        self.flags
    }
}

/// The names of a profile's actions.
pub(crate) const ACTIONS: [&str; 9] = [
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];
/// The names of its comparisons.
pub(crate) const OPERATORS: [&str; 7] = [
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_LE",
    "SCMP_CMP_LT",
    "SCMP_CMP_MASKED_EQ",
    "SCMP_CMP_NE",
];
/// The machines that have rules of their own here.
pub(crate) const ARCHITECTURES: [&str; 4] =
    ["SCMP_ARCH_AARCH64", "SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64"];
/// The names of its flags.
pub(crate) const FLAGS: [&str; 4] = [
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

/// The flags that this kernel knows too.
pub(crate) fn supported_flags() -> Vec<&'static str> {
    let bits = [kernel::FLAG_TSYNC, kernel::FLAG_SPEC_ALLOW, kernel::FLAG_LOG, kernel::FLAG_WAIT_KILLABLE];
    FLAGS.into_iter().zip(bits).filter(|(_, bit)| is_known(*bit)).map(|(name, _)| name).collect()
}

fn is_known(bit: u32) -> bool {
    // It means something with a listener only, and is refused without.
    let companion = if bit == kernel::FLAG_WAIT_KILLABLE { kernel::FLAG_NEW_LISTENER } else { 0 };
    kernel::knows_flag(bit | companion)
}

/// The kernel's own limit (`BPF_MAXINSNS`).
const LONGEST: usize = 4096;

/// Compiles `profile`.
///
/// # Errors
/// When the profile cannot work, or the kernel cannot do what it asks for.
pub(crate) fn compile(profile: &LinuxSeccomp) -> Result<Filter, SeccompError> {
    let (action, rules) = (profile.default_action(), profile.syscalls().as_deref().unwrap_or_default());
    if action == LinuxSeccompAction::ScmpActNotify {
        return Err(SeccompError::NotifyDefault);
    }
    let notify = rules.iter().filter(|rule| rule.action() == LinuxSeccompAction::ScmpActNotify);
    let mut flags = flags(profile)?;
    for rule in notify {
        if rule.names().iter().any(|name| name == "write") {
            return Err(SeccompError::NotifyWrite);
        }
        flags |= kernel::FLAG_NEW_LISTENER;
    }
    if flags & kernel::FLAG_NEW_LISTENER == 0 {
        flags &= !kernel::FLAG_WAIT_KILLABLE;
    }
    let program = program(profile, Machine::NATIVE)?;
    Ok(Filter { program, flags })
}

/// The program for `profile` on a machine of kind `native`.
fn program(profile: &LinuxSeccomp, native: Machine) -> Result<Vec<Instruction>, SeccompError> {
    let mut machines = vec![native];
    for arch in profile.architectures().as_deref().unwrap_or_default() {
        // What this machine cannot execute needs no rules.
        if let Some(machine) = Machine::of(*arch, native).filter(|machine| !machines.contains(machine)) {
            machines.push(machine);
        }
    }
    let policies = policy::read(profile, &machines)?;
    let program = emit::program(&policies);
    if program.len() > LONGEST { Err(SeccompError::TooLong(program.len())) } else { Ok(program) }
}

/// Without a list of flags, speculation is left alone where the kernel can.
fn flags(profile: &LinuxSeccomp) -> Result<u32, SeccompError> {
    let Some(list) = profile.flags() else {
        let spec_allow = kernel::FLAG_SPEC_ALLOW;
        return Ok(if is_known(spec_allow) { spec_allow } else { 0 });
    };
    let mut flags = 0;
    for flag in list {
        let (name, bit) = match flag {
            // The filter is installed while there is one thread only.
            LinuxSeccompFilterFlag::SeccompFilterFlagTsync => continue,
            LinuxSeccompFilterFlag::SeccompFilterFlagLog => ("SECCOMP_FILTER_FLAG_LOG", kernel::FLAG_LOG),
            LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => {
                ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", kernel::FLAG_SPEC_ALLOW)
            }
            LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => {
                ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", kernel::FLAG_WAIT_KILLABLE)
            }
        };
        if !is_known(bit) {
            return Err(SeccompError::Flag(name));
        }
        flags |= bit;
    }
    Ok(flags)
}

#[cfg(test)]
mod tests;
