//! A list of device rules as the state it leaves behind: a default, and the exceptions from it.

use std::collections::BTreeMap;
use std::fmt;

use super::DeviceError;

/// What a process may do with a device node, as bits of the kernel's eBPF interface.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::cgroup) struct Access(u8);

impl Access {
    pub(super) const MAKE: Self = Self(1);
    pub(super) const READ: Self = Self(2);
    pub(super) const WRITE: Self = Self(4);
    pub(super) const ALL: Self = Self(7);

    /// `rwm` in any order, and nothing else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        text.chars().try_fold(Self(0), |access, letter| Some(access.union(Self::of(letter)?)))
    }

    /// What the letters `r`, `w` and `m` in `text` say.
    pub(super) fn of_letters(text: &str) -> Self {
        text.chars().filter_map(Self::of).fold(Self(0), Self::union)
    }

    fn of(letter: char) -> Option<Self> {
        match letter {
            'r' => Some(Self::READ),
            'w' => Some(Self::WRITE),
            'm' => Some(Self::MAKE),
            _ => None,
        }
    }

    pub(super) fn bits(self) -> u8 {
        self.0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (bit, letter) in [(Self::READ, "r"), (Self::WRITE, "w"), (Self::MAKE, "m")] {
            if !self.intersection(bit).is_empty() {
                f.write_str(letter)?;
            }
        }
        Ok(())
    }
}

/// Block or character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cgroup) enum Kind {
    Block,
    Character,
}

/// A device, or all of a kind or major number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cgroup) struct Device {
    pub(in crate::cgroup) kind: Kind,
    /// None for all.
    pub(in crate::cgroup) major: Option<u32>,
    /// None for all.
    pub(in crate::cgroup) minor: Option<u32>,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Block => "b ",
            Kind::Character => "c ",
        })?;
        let number = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |number| number.to_string());
        write!(f, "{}:{}", number(self.major), number(self.minor))
    }
}

/// The state that a list of rules leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cgroup) struct Rules {
    /// Whether what no exception names is allowed.
    pub(in crate::cgroup) allow: bool,
    pub(in crate::cgroup) exceptions: BTreeMap<Device, Access>,
}

impl Rules {
    /// A rule for all devices: the default from now on, without exceptions.
    pub(in crate::cgroup) fn reset(&mut self, allow: bool) {
        *self = Self { allow, exceptions: BTreeMap::new() };
    }

    /// A rule for some devices.
    pub(super) fn apply(&mut self, device: Device, access: Access, allow: bool) -> Result<(), DeviceError> {
        if access.is_empty() {
            return Ok(());
        }
        if allow != self.allow {
            let known = self.exceptions.entry(device).or_default();
            *known = known.union(access);
            return Ok(());
        }
        // Taking an exception back: a wider one that overlaps would stay in force.
        let wider = [
            Device { major: None, ..device },
            Device { minor: None, ..device },
            Device { major: None, minor: None, ..device },
        ];
        for wildcard in wider.into_iter().filter(|wildcard| *wildcard != device) {
            let held = self.exceptions.get(&wildcard).copied().unwrap_or_default();
            if !held.intersection(access).is_empty() {
                let (rule, wildcard) = (format!("[{device} {access}]"), format!("[{wildcard} {held}]"));
                return Err(DeviceError::Hole { rule, wildcard });
            }
        }
        if let Some(held) = self.exceptions.get_mut(&device) {
            *held = held.without(access);
            if held.is_empty() {
                self.exceptions.remove(&device);
            }
        }
        Ok(())
    }

    /// What these rules say of one access to one device, as the kernel decides it.
    #[cfg(test)]
    pub(super) fn permit(&self, kind: Kind, major: u32, minor: u32, wanted: Access) -> bool {
        let matches = |device: &Device| {
            device.kind == kind
                && device.major.is_none_or(|number| number == major)
                && device.minor.is_none_or(|number| number == minor)
        };
        let mut hits = self.exceptions.iter().filter(|(device, _)| matches(device));
        if self.allow {
            hits.all(|(_, access)| access.intersection(wanted).is_empty())
        } else {
            hits.any(|(_, access)| wanted.without(*access).is_empty())
        }
    }
}
