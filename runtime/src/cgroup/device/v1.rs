//! v1: `devices.allow` and `devices.deny`, written so that a running container never loses a device that it keeps.

use rustix::fs::OFlags;

use super::super::{CgroupError, Directory};
use super::DeviceError;
use super::rules::{Access, Device, Kind, Rules};

/// Puts `rules` in force, from whatever is in force now, and looks whether the kernel took them.
pub(in crate::cgroup) fn set(directory: &Directory, rules: &Rules) -> Result<(), CgroupError> {
    let current = parse(&directory.read("devices.list")?)?;
    let writes = transition(&current, rules);
    for part in writes.chunk_by(|(file, _), (next, _)| file == next) {
        let Some((name, _)) = part.first() else { continue };
        let file = directory.file(name, OFlags::WRONLY)?;
        part.iter().try_for_each(|(_, line)| directory.write_to(&file, name, line))?;
    }
    let after = parse(&directory.read("devices.list")?)?;
    // The kernel does not list what is forbidden, so only a list of what is allowed can be compared whole.
    let same = if rules.allow { after.allow } else { after == *rules };
    if same { Ok(()) } else { Err(DeviceError::Mismatch.into()) }
}

/// The writes that lead from `current` to `target`.
pub(super) fn transition(current: &Rules, target: &Rules) -> Vec<(&'static str, String)> {
    let (exception, back) =
        if target.allow { ("devices.deny", "devices.allow") } else { ("devices.allow", "devices.deny") };
    let mut writes = Vec::new();
    // What is forbidden cannot be read back: only a reset is sure.
    let reset = current.allow || current.allow != target.allow;
    if reset {
        writes.push((back, "a *:* rwm".to_owned()));
    }
    let old =
        |device: &Device| current.exceptions.get(device).copied().filter(|_| !reset).unwrap_or_default();
    if !reset {
        for (device, held) in &current.exceptions {
            let kept = target.exceptions.get(device).copied().unwrap_or_default();
            let dropped = held.without(kept);
            if !dropped.is_empty() {
                writes.push((back, format!("{device} {dropped}")));
            }
        }
    }
    for (device, access) in &target.exceptions {
        let missing = access.without(old(device));
        if !missing.is_empty() {
            writes.push((exception, format!("{device} {missing}")));
        }
    }
    writes
}

/// `devices.list`: `a *:* rwm` when everything is allowed, else one allowed device a line.
pub(super) fn parse(list: &str) -> Result<Rules, DeviceError> {
    let mut rules = Rules::default();
    for line in list.lines() {
        let malformed = || DeviceError::List(line.to_owned());
        let mut fields = line.split([' ', ':']);
        let kind = match fields.next() {
            Some("a") => {
                rules.reset(true);
                continue;
            }
            Some("b") => Kind::Block,
            Some("c") => Kind::Character,
            _ => return Err(malformed()),
        };
        let mut number = || match fields.next() {
            Some("*") => Ok(None),
            Some(number) => number.parse().map(Some).map_err(|_| malformed()),
            None => Err(malformed()),
        };
        let device = Device { kind, major: number()?, minor: number()? };
        let access = fields.next().and_then(Access::parse).ok_or_else(malformed)?;
        rules.apply(device, access, true)?;
    }
    Ok(rules)
}
