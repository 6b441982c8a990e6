//! Capabilities: five sets, put on in the order that keeps the right to change them until the end.

use std::str::FromStr;

use caps::{CapSet, Capability};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::InitError;
use super::sync::{Channel, Message};
use crate::spec::Capabilities;

/// The sets as bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sets {
    bounding: u64,
    effective: u64,
    permitted: u64,
    inheritable: u64,
    ambient: Vec<Capability>,
}

impl Sets {
    /// Decodes names; also gives those that nobody knows.
    pub(crate) fn parse(names: &Capabilities) -> (Self, Vec<String>) {
        let mut unknown = Vec::new();
        let mut list = |names: &[String]| -> Vec<Capability> {
            let known = names
                .iter()
                .filter_map(|name| Capability::from_str(name).map_err(|_| unknown.push(name.clone())).ok());
            known.collect()
        };
        let bits =
            |list: Vec<Capability>| list.iter().fold(0, |bits, capability| bits | capability.bitmask());
        let sets = Self {
            bounding: bits(list(&names.bounding)),
            effective: bits(list(&names.effective)),
            permitted: bits(list(&names.permitted)),
            inheritable: bits(list(&names.inheritable)),
            ambient: list(&names.ambient),
        };
        unknown.sort_unstable();
        unknown.dedup();
        (sets, unknown)
    }

    /// Takes away what the process could ever gain. Before the user changes: it needs CAP_SETPCAP.
    pub(super) fn limit_bounding(&self) -> Result<(), InitError> {
        for capability in caps::all() {
            if self.bounding & capability.bitmask() != 0 {
                continue;
            }
            // Those that an older kernel does not know, or that are gone already, need no dropping.
            let dropped = caps::drop(None, CapSet::Bounding, capability);
            if dropped.is_err() && caps::has_cap(None, CapSet::Bounding, capability).unwrap_or(false) {
                dropped
                    .map_err(|error| std::io::Error::other(error.to_string()))
                    .map_err(InitError::step("unable to apply bounding set"))?;
            }
        }
        Ok(())
    }

    /// Puts the sets on. What the runtime itself does not have cannot be given: it is left out, with a warning.
    pub(super) fn apply(&self, channel: &Channel) -> Result<(), InitError> {
        let own = rustix::thread::capabilities(None).map_err(InitError::step("capget"))?.permitted.bits();
        let missing = (self.permitted | self.effective) & !own;
        if missing != 0 {
            let names: Vec<String> = caps::all()
                .iter()
                .filter(|one| one.bitmask() & missing != 0)
                .map(ToString::to_string)
                .collect();
            let text =
                format!("leaving out capabilities that this host does not have: [{}]", names.join(" "));
            drop(channel.send(&Message::Warning(text)));
        }
        let kept = |bits: u64| CapabilitySet::from_bits_retain(bits & own);
        let sets = CapabilitySets {
            effective: kept(self.effective),
            permitted: kept(self.permitted),
            inheritable: kept(self.inheritable),
        };
        rustix::thread::set_capabilities(None, sets)
            .map_err(InitError::step("unable to apply caps: can't apply capabilities"))?;
        rustix::thread::clear_ambient_capability_set()
            .map_err(InitError::step("clear ambient capabilities"))?;
        for capability in &self.ambient {
            if let Err(error) = caps::raise(None, CapSet::Ambient, *capability) {
                // Older runtimes ignored this; containers depend on it.
                let reason = match std::io::Error::last_os_error().raw_os_error() {
                    Some(1) => "operation not permitted".to_owned(),
                    _ => error.to_string(),
                };
                let text = format!("can't raise ambient capability {capability}: {reason}");
                drop(channel.send(&Message::Warning(text)));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_are_told_once_and_left_out() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let names = Capabilities {
            bounding: list(&["CAP_KILL", "CAP_MADE_UP"]),
            effective: list(&["CAP_MADE_UP", "kill"]),
            ..Capabilities::default()
        };
        let (sets, unknown) = Sets::parse(&names);
        assert_eq!(sets.bounding, 1 << 5);
        assert_eq!(unknown, ["CAP_MADE_UP", "kill"]);
    }
}
