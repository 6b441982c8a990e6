//! Device rules as properties: systemd closes what it does not know of, at each reload.
//!
//! It only knows lists of what is allowed, by path or by a whole major number. What it cannot express is left to our
//! own rules, which come after it.

use super::super::device::{Access, Device, Kind, Rules};
use super::properties::Properties;
use crate::dbus::Value;

/// `DevicePolicy` and `DeviceAllow`; the first empties the list of an earlier time.
pub(super) fn properties(rules: &Rules) -> Properties {
    let open = rules.allow && rules.exceptions.is_empty();
    let mut list = vec![
        ("DeviceAllow".to_owned(), entries([])),
        ("DevicePolicy".to_owned(), Value::text(if open { "auto" } else { "strict" })),
    ];
    // A list of what is forbidden cannot be told: all is, until our own rules are set.
    if !rules.allow {
        let known = rules.exceptions.iter().filter_map(|(device, access)| entry(device, *access));
        list.push(("DeviceAllow".to_owned(), entries(known)));
    }
    list
}

fn entries(list: impl IntoIterator<Item = Value>) -> Value {
    Value::Array("(ss)".to_owned(), list.into_iter().collect())
}

fn entry(device: &Device, access: Access) -> Option<Value> {
    let kind = match device.kind {
        Kind::Block => "block",
        Kind::Character => "char",
    };
    let path = match (device.major, device.minor) {
        (None, None) => format!("{kind}-*"),
        (Some(major), None) => format!("{kind}-{major}"),
        (Some(major), Some(minor)) => format!("/dev/{kind}/{major}:{minor}"),
        (None, Some(_)) => return None,
    };
    Some(Value::Struct(vec![Value::String(path), Value::String(access.to_string())]))
}

#[cfg(test)]
mod tests {
    use super::super::super::device;
    use super::*;

    #[test]
    fn lists_of_what_is_allowed_are_told() {
        let rules = device::rules(None).expect("rules");
        let list = properties(&rules);
        assert_eq!(list.len(), 3);
        assert_eq!(list[1].1, Value::text("strict"));
        let told = format!("{:?}", list[2].1);
        for path in ["char-*", "block-*", "char-136", "/dev/char/1:3"] {
            assert!(told.contains(&format!("\"{path}\"")), "{path}: {told}");
        }
    }

    #[test]
    fn all_devices_are_no_policy() {
        let mut rules = Rules::default();
        rules.reset(true);
        let list = properties(&rules);
        assert_eq!(list.len(), 2);
        assert_eq!(list[1].1, Value::text("auto"));
    }
}
