//! Which devices a container may open and make: v1's control files, and on v2 an eBPF program.
//!
//! Both come from the same reading of the spec's list ([`Rules`]): rules apply in order, the last word wins, and the
//! devices that no container can do without are allowed after them.

mod program;
mod rules;
mod v1;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

pub(super) use self::rules::{Access, Device, Kind, Rules};
pub(super) use self::v1::set as set_v1;

use super::{CgroupError, Directory};

/// A device rule that cannot be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeviceError {
    /// Rules say what they permit.
    #[error("device access at {0} field cannot be empty")]
    NoAccess(usize),
    /// Only all, block and character devices have rules.
    #[error("invalid cgroup device type {0:?}")]
    Kind(String),
    /// v1 would ignore such a rule in silence.
    #[error(
        "device rule {rule} not supported by devices cgroup v1 (cannot punch hole in wildcard rule {wildcard})"
    )]
    Hole {
        /// The rule that takes away.
        rule: String,
        /// The wider one that gives.
        wildcard: String,
    },
    /// What the kernel shows after writing is not what was written.
    #[error("resulting devices cgroup doesn't match target")]
    Mismatch,
    /// The kernel's list has a line of unknown form.
    #[error("malformed devices.list rule {0:?}")]
    List(String),
    /// The kernel refused the program.
    #[error("{action} the device filter of {}", path.display())]
    Program {
        /// `load` or `attach`.
        action: &'static str,
        /// The cgroup.
        path: std::path::PathBuf,
        /// The kernel's answer.
        source: std::io::Error,
    },
}

/// Allowed in every container: making any node, the harmless ones, terminals, and tun (callers of old rely on it).
const ALWAYS: [(Kind, Option<u32>, Option<u32>, &str); 11] = [
    (Kind::Character, None, None, "m"),
    (Kind::Block, None, None, "m"),
    (Kind::Character, Some(1), Some(3), "rwm"),
    (Kind::Character, Some(1), Some(8), "rwm"),
    (Kind::Character, Some(1), Some(7), "rwm"),
    (Kind::Character, Some(5), Some(0), "rwm"),
    (Kind::Character, Some(1), Some(5), "rwm"),
    (Kind::Character, Some(1), Some(9), "rwm"),
    (Kind::Character, Some(136), None, "rwm"),
    (Kind::Character, Some(5), Some(2), "rwm"),
    (Kind::Character, Some(10), Some(200), "rwm"),
];

/// The rules of a spec's list, with those of every container after them.
pub(super) fn rules(list: Option<&[LinuxDeviceCgroup]>) -> Result<Rules, DeviceError> {
    let mut rules = Rules::default();
    for (index, rule) in list.unwrap_or_default().iter().enumerate() {
        let text = rule.access().as_deref().unwrap_or_default();
        if text.is_empty() {
            return Err(DeviceError::NoAccess(index));
        }
        // Callers write other letters too, which never meant anything.
        let access = Access::of_letters(text);
        match rule.typ().unwrap_or_default() {
            LinuxDeviceType::A => rules.reset(rule.allow()),
            LinuxDeviceType::B => rules.apply(device(Kind::Block, rule), access, rule.allow())?,
            LinuxDeviceType::C => rules.apply(device(Kind::Character, rule), access, rule.allow())?,
            other => return Err(DeviceError::Kind(other.as_str().to_owned())),
        }
    }
    for (kind, major, minor, access) in ALWAYS {
        rules.apply(Device { kind, major, minor }, Access::of_letters(access), true)?;
    }
    Ok(rules)
}

/// A number that is missing or negative stands for all.
fn device(kind: Kind, rule: &LinuxDeviceCgroup) -> Device {
    let number = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok());
    Device { kind, major: number(rule.major()), minor: number(rule.minor()) }
}

/// Puts `rules` in force for a v2 cgroup, in place of a program that is there.
pub(super) fn set_v2(directory: &Directory, rules: &Rules) -> Result<(), CgroupError> {
    let failed = |action: &'static str| {
        let path = directory.path().to_owned();
        move |source| DeviceError::Program { action, path, source }
    };
    let program = dhow_linux::bpf::CgroupDevice::load(&program::compile(rules)).map_err(failed("load"))?;
    program.replace_on(directory).map_err(failed("attach"))?;
    Ok(())
}

#[cfg(test)]
mod tests;
