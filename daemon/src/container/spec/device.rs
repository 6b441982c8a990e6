//! Devices: the rules that every container has, and the host's devices that `--device` or `--privileged` add.

use std::collections::HashSet;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use dhow_engine_api::container::{DeviceMapping, HostConfig};
use oci_spec::runtime::{LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType};

/// Folders of `/dev` that belong to mounts of the container's own, or to nobody.
const NOT_DEVICES: [&str; 7] = ["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"];

/// A device that cannot be given.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeviceError {
    /// Not there, or no device.
    #[error("error gathering device information while adding custom device {path:?}")]
    Gather {
        /// As the user wrote it.
        path: String,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// A rule that does not parse.
    #[error("invalid device cgroup rule format: '{0}'")]
    Rule(String),
    /// Permissions that are none.
    #[error("invalid device mode: {0}")]
    Permissions(String),
    /// A GPU or the like.
    #[error("could not select device driver {driver:?} with capabilities: {capabilities:?}")]
    Driver {
        /// Its name.
        driver: String,
        /// What was asked of it.
        capabilities: Vec<Vec<String>>,
    },
}

/// The devices and rules of a container.
pub(super) fn gather(host: &HostConfig) -> Result<(Vec<LinuxDevice>, Vec<LinuxDeviceCgroup>), DeviceError> {
    if let Some(request) = host.resources.device_requests.iter().flatten().next() {
        let capabilities = request.capabilities.clone().unwrap_or_default();
        return Err(DeviceError::Driver { driver: request.driver.clone(), capabilities });
    }
    let mappings = host.resources.devices.as_deref().unwrap_or_default();
    if host.privileged {
        let mut devices = Vec::new();
        below(Path::new("/dev"), Path::new("/dev"), &mut devices);
        let moved = mappings.iter().filter(|mapping| mapping.path_on_host != mapping.path_in_container);
        for mapping in moved {
            devices.extend(mapped(mapping)?);
        }
        return Ok((devices, vec![rule(true, None, None, None, "rwm")]));
    }
    let mut devices = Vec::new();
    let mut rules = default_rules();
    for mapping in mappings {
        let permissions = permissions(mapping)?;
        for device in mapped(mapping)? {
            rules.push(rule(
                true,
                Some(device.typ()),
                Some(device.major()),
                Some(device.minor()),
                permissions,
            ));
            devices.push(device);
        }
    }
    for text in host.resources.device_cgroup_rules.iter().flatten() {
        rules.push(parse_rule(text).ok_or_else(|| DeviceError::Rule(text.clone()))?);
    }
    Ok((devices, rules))
}

/// Nothing, but zero, null, urandom, random, tty and console; fuse not even by an inherited rule.
fn default_rules() -> Vec<LinuxDeviceCgroup> {
    const ALLOWED: [(i64, i64); 6] = [(1, 5), (1, 3), (1, 9), (1, 8), (5, 0), (5, 1)];
    const FUSE: (i64, i64) = (10, 229);
    let character =
        |allow, (major, minor)| rule(allow, Some(LinuxDeviceType::C), Some(major), Some(minor), "rwm");
    std::iter::once(rule(false, None, None, None, "rwm"))
        .chain(ALLOWED.map(|number| character(true, number)))
        .chain([character(false, FUSE)])
        .collect()
}

fn rule(
    allow: bool,
    kind: Option<LinuxDeviceType>,
    major: Option<i64>,
    minor: Option<i64>,
    access: &str,
) -> LinuxDeviceCgroup {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(allow).set_typ(kind).set_major(major).set_minor(minor).set_access(Some(access.to_owned()));
    rule
}

/// Reads `c 7:* rmw`.
fn parse_rule(text: &str) -> Option<LinuxDeviceCgroup> {
    let mut words = text.split(' ');
    let (kind, numbers, access) = (words.next()?, words.next()?, words.next()?);
    let kind = match kind {
        "a" => LinuxDeviceType::A,
        "b" => LinuxDeviceType::B,
        "c" => LinuxDeviceType::C,
        _ => return None,
    };
    let (major, minor) = numbers.split_once(':')?;
    let number = |text: &str| {
        if text == "*" { Some(-1) } else { text.parse().ok().filter(|number: &i64| *number >= 0) }
    };
    let known = (1..=3).contains(&access.len()) && access.bytes().all(|byte| b"rwm".contains(&byte));
    (words.next().is_none() && known)
        .then(|| Some(rule(true, Some(kind), Some(number(major)?), Some(number(minor)?), access)))?
}

fn permissions(mapping: &DeviceMapping) -> Result<&str, DeviceError> {
    match mapping.cgroup_permissions.as_str() {
        "" => Ok("rwm"),
        text if text.bytes().all(|byte| b"rwm".contains(&byte)) => Ok(text),
        text => Err(DeviceError::Permissions(text.to_owned())),
    }
}

/// The device of a mapping, or the devices below it when it names a folder.
fn mapped(mapping: &DeviceMapping) -> Result<Vec<LinuxDevice>, DeviceError> {
    let fail = |source| DeviceError::Gather { path: mapping.path_on_host.clone(), source };
    let inside =
        if mapping.path_in_container.is_empty() { &mapping.path_on_host } else { &mapping.path_in_container };
    let host = std::fs::canonicalize(&mapping.path_on_host).map_err(fail)?;
    if let Some(device) = device(&host, inside.into()).map_err(fail)? {
        return Ok(vec![device]);
    }
    let mut devices = Vec::new();
    below(&host, Path::new(inside), &mut devices);
    if devices.is_empty() {
        return Err(fail(io::Error::new(io::ErrorKind::InvalidInput, "not a device node")));
    }
    Ok(devices)
}

/// Collects the devices in `folder` and below; what vanishes or cannot be read is no device.
fn below(folder: &Path, inside: &Path, found: &mut Vec<LinuxDevice>) {
    let mut seen = HashSet::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if NOT_DEVICES.iter().any(|skip| name.as_os_str() == *skip) || !seen.insert(name.clone()) {
            continue;
        }
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            below(&entry.path(), &inside.join(&name), found);
        } else if name != "console" && !kind.is_symlink() {
            found.extend(device(&entry.path(), inside.join(&name)).ok().flatten());
        }
    }
}

/// The device at `host`, to be made at `inside`; `None` when that is no device.
fn device(host: &Path, inside: PathBuf) -> io::Result<Option<LinuxDevice>> {
    const TYPE_AND_MODE: u32 = 0o7777;
    let metadata = std::fs::metadata(host)?;
    let kind = match metadata.file_type() {
        kind if kind.is_char_device() => LinuxDeviceType::C,
        kind if kind.is_block_device() => LinuxDeviceType::B,
        kind if kind.is_fifo() => LinuxDeviceType::P,
        _ => return Ok(None),
    };
    let (major, minor) = numbers(metadata.rdev());
    let mut device = LinuxDevice::default();
    device
        .set_path(inside)
        .set_typ(kind)
        .set_major(major)
        .set_minor(minor)
        .set_file_mode(Some(metadata.mode() & TYPE_AND_MODE))
        .set_uid(Some(metadata.uid()))
        .set_gid(Some(metadata.gid()));
    Ok(Some(device))
}

/// Major and minor number of the device at `path`.
pub(super) fn number(path: &str) -> io::Result<(i64, i64)> {
    Ok(numbers(std::fs::metadata(path)?.rdev()))
}

fn numbers(device: u64) -> (i64, i64) {
    (i64::from(rustix::fs::major(device)), i64::from(rustix::fs::minor(device)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_parse_as_the_kernel_takes_them() {
        let parsed = parse_rule("c 7:* rmw").expect("a rule");
        assert_eq!(
            (parsed.major(), parsed.minor(), parsed.access().as_deref()),
            (Some(7), Some(-1), Some("rmw"))
        );
        for wrong in ["", "c 7 rmw", "x 1:1 r", "c 1:1 ", "c 1:1 rwmx", "c -1:1 r", "c 1:1 r r"] {
            assert!(parse_rule(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn a_device_is_found_with_its_rule() {
        let mut host = HostConfig::default();
        let mapping = DeviceMapping {
            path_on_host: "/dev/null".into(),
            path_in_container: "/dev/nothing".into(),
            cgroup_permissions: "r".into(),
        };
        host.resources.devices = Some(vec![mapping]);
        let (devices, rules) = gather(&host).expect("gathers");
        assert_eq!(devices[0].path(), Path::new("/dev/nothing"));
        let last = rules.last().expect("a rule");
        assert_eq!((last.major(), last.minor(), last.access().as_deref()), (Some(1), Some(3), Some("r")));
    }

    #[test]
    fn what_is_no_device_is_named() {
        let mut host = HostConfig::default();
        let path_on_host = "/dev/there-is-none".to_owned();
        host.resources.devices = Some(vec![DeviceMapping { path_on_host, ..DeviceMapping::default() }]);
        let error = gather(&host).expect_err("no such device");
        assert!(error.to_string().contains("/dev/there-is-none"));
    }
}
