//! Devices: `--device`, their limits and weights, rules of the cgroup, GPUs.

use std::collections::BTreeMap;

use dhow_engine_api::container::{DeviceMapping, DeviceRequest, ThrottleDevice, WeightDevice};

use super::{csv, key_values};
use crate::output::units::ram_in_bytes;

/// `HOST[:CONTAINER][:MODE]`
pub(crate) fn mapping(text: &str) -> Result<DeviceMapping, String> {
    let parts: Vec<&str> = text.split(':').collect();
    if parts.len() > 3 || parts[0].is_empty() {
        return Err(format!("bad format for path: {text}"));
    }
    let (container, mode) = match parts[..] {
        [host] => (host, "rwm"),
        [host, mode] if is_mode(mode) => (host, mode),
        [_, container] => (container, "rwm"),
        [_, _, mode] if !is_mode(mode) => return Err(format!("bad mode specified: {mode}")),
        [_, container, mode] => (container, mode),
        _ => return Err(format!("invalid device specification: {text}")),
    };
    if !container.starts_with('/') {
        return Err(format!("{container} is not an absolute path"));
    }
    Ok(DeviceMapping {
        path_on_host: parts[0].into(),
        path_in_container: container.into(),
        cgroup_permissions: mode.into(),
    })
}

/// Whether `text` is made of `r`, `w` and `m`, each at most once.
fn is_mode(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 3
        && text.chars().enumerate().all(|(index, c)| "rwm".contains(c) && !text[..index].contains(c))
}

/// Whether `text` names a device by the Container Device Interface: `vendor/class=name`.
pub(crate) fn is_qualified(text: &str) -> bool {
    let Some((kind, name)) = text.split_once('=') else { return false };
    let Some((vendor, class)) = kind.split_once('/') else { return false };
    let valid = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-.:".contains(c))
    };
    valid(vendor) && vendor.starts_with(|c: char| c.is_ascii_alphabetic()) && valid(class) && valid(name)
}

/// `TYPE MAJOR:MINOR MODE`
pub(crate) fn cgroup_rule(text: &str) -> Result<String, String> {
    let number =
        |text: &str| text == "*" || (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
    let words: Vec<&str> = text.split(' ').collect();
    let valid = match words[..] {
        ["a" | "b" | "c", numbers, mode] => {
            numbers.split_once(':').is_some_and(|(major, minor)| number(major) && number(minor))
                && (1..=3).contains(&mode.len())
                && mode.chars().all(|c| "rwm".contains(c))
        }
        _ => false,
    };
    if valid { Ok(text.to_owned()) } else { Err(format!("invalid device cgroup format '{text}'")) }
}

fn path_and_value(text: &str) -> Result<(&str, &str), String> {
    let bad = || format!("bad format: {text}");
    let (path, value) = text.split_once(':').ok_or_else(bad)?;
    if !path.starts_with("/dev/") {
        return Err(format!("bad format for device path: {text}"));
    }
    Ok((path, value))
}

/// `PATH:BYTES` a second.
pub(crate) fn bytes_rate(text: &str) -> Result<ThrottleDevice, String> {
    let (path, value) = path_and_value(text)?;
    let rate = ram_in_bytes(value).ok().and_then(|rate| u64::try_from(rate).ok());
    let rate = rate.ok_or_else(|| format!("invalid rate for device: {text}. The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb"))?;
    Ok(ThrottleDevice { path: path.into(), rate })
}

/// `PATH:OPERATIONS` a second.
pub(crate) fn operations_rate(text: &str) -> Result<ThrottleDevice, String> {
    let (path, value) = path_and_value(text)?;
    let rate = value.parse().map_err(|_| format!("invalid rate for device: {text}. The correct format is <device-path>:<number>. Number must be a positive integer"))?;
    Ok(ThrottleDevice { path: path.into(), rate })
}

/// `PATH:WEIGHT`
pub(crate) fn weight(text: &str) -> Result<WeightDevice, String> {
    let (path, value) = path_and_value(text)?;
    let weight: u16 = value.parse().map_err(|_| format!("invalid weight for device: {text}"))?;
    if weight > 0 && !(10..=1000).contains(&weight) {
        return Err(format!("invalid weight for device: {text}"));
    }
    Ok(WeightDevice { path: path.into(), weight })
}

/// `--gpus all`, `--gpus 2`, `--gpus device=0,driver=…`
pub(crate) fn gpus(text: &str) -> Result<DeviceRequest, String> {
    let count = |text: &str| -> Result<i64, String> {
        if text == "all" {
            return Ok(-1);
        }
        text.parse().map_err(|_| {
            format!("invalid count ({text}): value must be either \"all\" or an integer: invalid syntax")
        })
    };
    let mut request = DeviceRequest::default();
    let mut seen: Vec<String> = Vec::new();
    for field in csv::fields(text)? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (field.as_str(), None),
        };
        if seen.iter().any(|known| known == key) {
            return Err(format!("gpu request key '{key}' can be specified only once"));
        }
        seen.push(key.to_owned());
        let Some(value) = value else {
            seen.push("count".into());
            request.count = count(key)?;
            continue;
        };
        let words = || value.split(',').map(str::to_owned).collect::<Vec<_>>();
        match key {
            "driver" => request.driver = value.into(),
            "count" => request.count = count(value)?,
            "device" => request.device_ids = Some(words()),
            "capabilities" => {
                request.capabilities = Some(vec![words().into_iter().chain(["gpu".to_owned()]).collect()]);
            }
            "options" => request.options = Some(key_values(&csv::fields(value)?)),
            _ => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
    }
    if !seen.iter().any(|key| key == "count") && request.device_ids.is_none() {
        request.count = 1;
    }
    request.options.get_or_insert_with(BTreeMap::new);
    request.capabilities.get_or_insert_with(|| vec![vec!["gpu".into()]]);
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings() {
        let show = |text: &str| {
            mapping(text).map(|one| {
                format!("{} {} {}", one.path_on_host, one.path_in_container, one.cgroup_permissions)
            })
        };
        assert_eq!(show("/dev/fuse"), Ok("/dev/fuse /dev/fuse rwm".into()));
        assert_eq!(show("/dev/fuse:r"), Ok("/dev/fuse /dev/fuse r".into()));
        assert_eq!(show("/dev/fuse:/dev/x:rw"), Ok("/dev/fuse /dev/x rw".into()));
        assert_eq!(show("/dev/fuse:/dev/x:q"), Err("bad mode specified: q".into()));
        assert_eq!(show("fuse"), Err("fuse is not an absolute path".into()));
    }

    #[test]
    fn rules_and_rates() {
        assert_eq!(cgroup_rule("c 1:* rwm"), Ok("c 1:* rwm".into()));
        assert_eq!(cgroup_rule("c 1 rwm"), Err("invalid device cgroup format 'c 1 rwm'".into()));
        assert_eq!(bytes_rate("/dev/sda:1mb").map(|one| one.rate), Ok(1 << 20));
        assert!(operations_rate("/dev/sda:1mb").is_err());
        assert!(weight("/dev/sda:5").is_err());
        assert_eq!(weight("/sda:5"), Err("bad format for device path: /sda:5".into()));
        assert!(is_qualified("vendor.com/gpu=0") && !is_qualified("/dev/sda"));
    }

    #[test]
    fn gpu_requests() {
        assert_eq!(gpus("all").map(|request| request.count), Ok(-1));
        let request = gpus("\"device=0,1\",driver=x").expect("valid");
        assert_eq!(request.device_ids, Some(vec!["0".into(), "1".into()]));
        assert_eq!(request.count, 0);
        assert_eq!(
            gpus("many"),
            Err("invalid count (many): value must be either \"all\" or an integer: invalid syntax".into())
        );
    }
}
