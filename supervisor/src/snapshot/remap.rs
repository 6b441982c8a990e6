//! Snapshots for user namespaces: the labels that say who owns what inside, and what becomes of them.
//!
//! ```text
//! containerd.io/snapshot/uidmapping = inside:outside:count[,...]
//! containerd.io/snapshot/gidmapping = inside:outside:count[,...]
//! ```
//! The root of a new snapshot belongs to root inside; what is below is mapped when it is mounted.

use super::{SnapshotError, StateError};
use crate::label::Labels;

const USERS: &str = "containerd.io/snapshot/uidmapping";
const GROUPS: &str = "containerd.io/snapshot/gidmapping";

/// Whose files are whose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remap {
    users: String,
    groups: String,
    /// The user and group outside that are root inside.
    pub(super) root: (u32, u32),
}

impl Remap {
    /// What `labels` ask for.
    pub(super) fn of(labels: &Labels) -> Result<Option<Self>, SnapshotError> {
        let (users, groups) = (labels.get(USERS), labels.get(GROUPS));
        if users.is_none() && groups.is_none() {
            return Ok(None);
        }
        let root = |label: &'static str, map: Option<&String>| {
            let map = map.map(String::as_str).unwrap_or_default();
            outside(map, 0).ok_or_else(|| StateError::Mapping { label, map: map.to_owned() })
        };
        let root = (root(USERS, users)?, root(GROUPS, groups)?);
        let (users, groups) = (users.cloned().unwrap_or_default(), groups.cloned().unwrap_or_default());
        Ok(Some(Self { users, groups, root }))
    }

    /// The options of a mount that maps what is below.
    pub(super) fn options(&self) -> [String; 2] {
        [format!("uidmap={}", self.users), format!("gidmap={}", self.groups)]
    }
}

/// Who `inside` is outside; `None` when the map has no such id, or is none.
fn outside(map: &str, inside: u32) -> Option<u32> {
    let mut found = None;
    for range in map.split(',') {
        let numbers: Vec<u32> = range.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
        let [first, outside, count] = numbers[..] else { return None };
        let offset = inside.checked_sub(first).filter(|offset| *offset < count);
        let this = offset.and_then(|offset| outside.checked_add(offset));
        found = found.or(this);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_maps_must_have_a_root() {
        let labels = |users: &str, groups: &str| {
            Labels::from([(USERS.to_owned(), users.to_owned()), (GROUPS.to_owned(), groups.to_owned())])
        };
        assert_eq!(Remap::of(&Labels::new()).expect("nothing to map"), None);
        let remap = Remap::of(&labels("1:7:9,0:1000:1", "0:2000:3")).expect("maps").expect("to map");
        assert_eq!(remap.root, (1000, 2000));
        assert_eq!(remap.options(), ["uidmap=1:7:9,0:1000:1", "gidmap=0:2000:3"]);
        for (users, groups) in [("", "0:1:1"), ("1:1:1", "0:1:1"), ("0:1", "0:1:1"), ("0:1:1", "x")] {
            assert!(Remap::of(&labels(users, groups)).is_err(), "{users} {groups}");
        }
    }
}
