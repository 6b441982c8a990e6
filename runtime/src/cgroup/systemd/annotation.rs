//! Properties that the spec's annotations ask for: `org.systemd.property.TimeoutStopUSec: uint64 123000000`.

use std::collections::BTreeMap;

use super::SystemdError;
use super::properties::Properties;
use crate::dbus::{Value, parse};

const PREFIX: &str = "org.systemd.property.";

/// The properties in `annotations`.
pub(super) fn properties(annotations: &BTreeMap<String, String>) -> Result<Properties, SystemdError> {
    let mut list = Properties::new();
    for (key, text) in annotations {
        let Some(name) = key.strip_prefix(PREFIX) else { continue };
        check_name(name).map_err(|reason| SystemdError::AnnotationName { key: key.clone(), reason })?;
        let wrong =
            |reason: String| SystemdError::Annotation { key: key.clone(), text: text.clone(), reason };
        let value = parse(text).map_err(|error| wrong(error.to_string()))?;
        list.push(match seconds(name) {
            Some(stem) => {
                let value = microseconds(&value).ok_or_else(|| wrong("not a number".to_owned()))?;
                (format!("{stem}USec"), value)
            }
            None => (name.to_owned(), value),
        });
    }
    Ok(list)
}

fn check_name(name: &str) -> Result<(), &'static str> {
    if name.len() < 3 {
        return Err("too short");
    }
    if name.bytes().all(|letter| letter.is_ascii_alphabetic()) {
        Ok(())
    } else {
        Err("contains non-alphabetic character")
    }
}

/// What comes before `Sec` in a name as unit files have it; over the bus times are `…USec`.
fn seconds(name: &str) -> Option<&str> {
    name.strip_suffix("Sec").filter(|stem| stem.ends_with(|last: char| last.is_ascii_lowercase()))
}

fn microseconds(seconds: &Value) -> Option<Value> {
    let whole = |number: i128| u64::try_from(number.checked_mul(1_000_000)?).ok();
    let microseconds = match seconds {
        Value::Byte(number) => whole((*number).into()),
        Value::I16(number) => whole((*number).into()),
        Value::U16(number) => whole((*number).into()),
        Value::I32(number) => whole((*number).into()),
        Value::U32(number) => whole((*number).into()),
        Value::I64(number) => whole((*number).into()),
        Value::U64(number) => whole((*number).into()),
        Value::Double(number) => {
            #[expect(clippy::cast_possible_truncation, reason = "saturates, and is checked after")]
            let number = (number * 1e6) as i128;
            u64::try_from(number).ok()
        }
        _ => None,
    };
    microseconds.map(Value::U64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(key: &str, text: &str) -> Result<Properties, SystemdError> {
        properties(&BTreeMap::from([(key.to_owned(), text.to_owned())]))
    }

    #[test]
    fn annotations_become_properties() {
        let one = |key, text| of(key, text).expect("a property");
        assert_eq!(
            one("org.systemd.property.CollectMode", "'inactive-or-failed'"),
            [("CollectMode".to_owned(), Value::text("inactive-or-failed"))]
        );
        let usec = [("TimeoutStopUSec".to_owned(), Value::U64(123_000_000))];
        assert_eq!(one("org.systemd.property.TimeoutStopUSec", "uint64 123000000"), usec);
        assert_eq!(one("org.systemd.property.TimeoutStopSec", "123"), usec);
        assert_eq!(one("org.systemd.property.TimeoutStopSec", "double 123.0"), usec);
        assert_eq!(one("something.else", "x"), []);
    }

    #[test]
    fn what_is_no_property_is_refused() {
        for (key, text) in [
            ("org.systemd.property.ab", "1"),
            ("org.systemd.property.a-b", "1"),
            ("org.systemd.property.Abc", "what"),
            ("org.systemd.property.TimeoutStopSec", "'covfefe'"),
            ("org.systemd.property.TimeoutStopSec", "-1"),
        ] {
            of(key, text).expect_err(text);
        }
    }
}
