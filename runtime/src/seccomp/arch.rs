//! The kinds of system calls that one kernel may see.

use oci_spec::runtime::Arch;

use super::table::{MULTIPLEXED, TABLE};

/// x32 calls are x86_64's with this bit.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// A system call convention; the discriminant is its column in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Machine {
    X86_64 = 0,
    X86 = 1,
    X32 = 2,
    Aarch64 = 3,
}

impl Machine {
    #[cfg(target_arch = "x86_64")]
    pub(super) const NATIVE: Self = Self::X86_64;
    #[cfg(target_arch = "aarch64")]
    pub(super) const NATIVE: Self = Self::Aarch64;

    /// The convention that `arch` names, if a machine of kind `native` executes it.
    pub(super) fn of(arch: Arch, native: Self) -> Option<Self> {
        match (arch, native) {
            (Arch::ScmpArchNative, _) => Some(native),
            (Arch::ScmpArchX86_64, Self::X86_64) => Some(Self::X86_64),
            (Arch::ScmpArchX86, Self::X86_64) => Some(Self::X86),
            (Arch::ScmpArchX32, Self::X86_64) => Some(Self::X32),
            (Arch::ScmpArchAarch64, Self::Aarch64) => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// What `seccomp_data.arch` holds.
    pub(super) fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
        }
    }

    /// Whether arguments have 32 bits: what profiles say beyond them cannot match.
    pub(super) fn is_narrow(self) -> bool {
        self == Self::X86
    }

    /// The number of a row on this machine.
    pub(super) fn number(self, row: &[i16; 4]) -> Option<u32> {
        let number = u32::try_from(row[self as usize]).ok()?;
        Some(if self == Self::X32 { number | X32_BIT } else { number })
    }
}

/// The numbers of the call `name`, if it is known.
pub(super) fn row(name: &str) -> Option<&'static [i16; 4]> {
    TABLE
        .binary_search_by(|(known, _)| (*known).cmp(name))
        .ok()
        .and_then(|at| TABLE.get(at))
        .map(|(_, row)| row)
}

/// x86's number and first argument by which `name` is reached too.
pub(super) fn multiplexed(name: &str) -> Option<(u32, u64)> {
    let at = MULTIPLEXED.binary_search_by(|(known, ..)| (*known).cmp(name)).ok()?;
    let (_, number, argument) = MULTIPLEXED.get(at)?;
    Some((u32::from(*number), u64::from(*argument)))
}
