//! Names of containers: which are allowed, and what a nameless one is called.

use dhow_proto::error::Kind;

use crate::error::Failure;

/// A name that cannot be given.
#[derive(Debug, thiserror::Error)]
#[error("Invalid container name ({0}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")]
pub(crate) struct NameError(String);

impl Failure for NameError {
    fn kind(&self) -> Kind {
        Kind::InvalidArgument
    }
}

/// Checks a name; the `/` that the API puts before it may be there.
pub(crate) fn check(name: &str) -> Result<&str, NameError> {
    let plain = name.strip_prefix('/').unwrap_or(name);
    let mut bytes = plain.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = bytes.len() > 0 && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if first && rest { Ok(plain) } else { Err(NameError(name.to_owned())) }
}

const HOW: [&str; 48] = [
    "amber", "ancient", "azure", "bold", "brave", "breezy", "bright", "brisk", "calm", "clever", "copper",
    "coral", "crisp", "daring", "deft", "distant", "eager", "early", "fabled", "fearless", "gentle",
    "gilded", "golden", "hardy", "hidden", "honest", "humble", "ivory", "jolly", "keen", "lively", "lucky",
    "mellow", "nimble", "noble", "patient", "placid", "proud", "quiet", "roving", "salty", "silver",
    "steady", "stormy", "sunny", "swift", "trusty", "windward",
];

const WHAT: [&str; 48] = [
    "albatross",
    "anchor",
    "astrolabe",
    "beacon",
    "boom",
    "bosun",
    "bow",
    "bulwark",
    "buoy",
    "capstan",
    "cargo",
    "clove",
    "compass",
    "cutter",
    "dhow",
    "dolphin",
    "felucca",
    "galley",
    "gull",
    "halyard",
    "harbour",
    "heron",
    "hull",
    "jetty",
    "jib",
    "keel",
    "lagoon",
    "lateen",
    "lighthouse",
    "mainsail",
    "mast",
    "monsoon",
    "navigator",
    "oar",
    "osprey",
    "pilot",
    "plank",
    "prow",
    "quay",
    "rigging",
    "rudder",
    "sextant",
    "shoal",
    "skipper",
    "sloop",
    "spar",
    "tiller",
    "yard",
];

/// A name for a container that was given none; a later attempt adds a number.
pub(crate) fn invent(attempt: u32) -> Result<String, getrandom::Error> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes)?;
    let [how, what, high, low] = bytes;
    let name = format!("{}_{}", HOW[usize::from(how) % HOW.len()], WHAT[usize::from(what) % WHAT.len()]);
    Ok(if attempt < 3 { name } else { format!("{name}{}", u16::from_be_bytes([high, low])) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_names_are_allowed_and_nothing_else() {
        for good in ["web", "/web", "a1", "A_b.c-d", "0x"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "a", "-a", "a b", "a/b", "ä1", "a\n"] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
        assert!((0..6).all(|attempt| check(&invent(attempt).expect("random")).is_ok()));
    }
}
