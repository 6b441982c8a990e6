//! Volumes whose options name a device: `type`, `o` and `device`, as mount(8) takes them.

use std::collections::BTreeMap;
use std::net::ToSocketAddrs;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount as mount2, umount2};

use super::error::VolumeError;

type Options = BTreeMap<String, String>;

fn option<'a>(options: Option<&'a Options>, name: &str) -> &'a str {
    options.and_then(|options| options.get(name)).map_or("", String::as_str)
}

/// Refuses options that cannot be mounted: a device is needed, and a file system unless it is a bind.
pub(super) fn check(options: Option<&Options>) -> Result<(), VolumeError> {
    let Some(given) = options else { return Ok(()) };
    let missing = |name: &str| VolumeError::Invalid(format!("missing required option: {name:?}"));
    for name in ["device", "type"] {
        if option(Some(given), name).is_empty() && !given.is_empty() {
            return Err(missing(name));
        }
    }
    Ok(())
}

/// Mounts what `options` name at `target`, unless something is mounted there.
pub(super) fn mount(options: Option<&Options>, target: &Path) -> Result<(), VolumeError> {
    if option(options, "device").is_empty() || is_mounted(target) {
        return Ok(());
    }
    let (device, kind, written) = (option(options, "device"), option(options, "type"), option(options, "o"));
    let (mut flags, mut data) = parse(written);
    if kind == "nfs" || kind.starts_with("cifs") {
        resolve_address(&mut data);
    }
    if kind == "none" && !flags.contains(MsFlags::MS_BIND) {
        flags |= MsFlags::MS_BIND;
    }
    let read_only_bind = flags.contains(MsFlags::MS_BIND | MsFlags::MS_RDONLY);
    let fail = |error: nix::Error| VolumeError::Mount {
        device: device.to_owned(),
        target: target.to_owned(),
        options: written.to_owned(),
        source: error.into(),
    };
    mount2(Some(device), target, Some(kind), flags, Some(data.as_str())).map_err(fail)?;
    if read_only_bind {
        // The kernel ignores it when a bind is made.
        let remount = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount2(None::<&str>, target, None::<&str>, remount, None::<&str>).map_err(fail)?;
    }
    Ok(())
}

/// Unmounts what is mounted at `target`, if anything.
pub(super) fn unmount(target: &Path) -> Result<(), VolumeError> {
    while is_mounted(target) {
        umount2(target, MntFlags::MNT_DETACH)
            .map_err(|error| dhow_linux::file::PathError::at("unmount", target)(error.into()))?;
    }
    Ok(())
}

fn is_mounted(target: &Path) -> bool {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table.lines().any(|line| line.split(' ').nth(4).is_some_and(|place| Path::new(place) == target))
}

/// Splits `ro,nosuid,size=1m` into flags and what the file system reads itself.
fn parse(options: &str) -> (MsFlags, String) {
    let mut flags = MsFlags::empty();
    let mut data = Vec::new();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "bind" => flags |= MsFlags::MS_BIND,
            "rbind" => flags |= MsFlags::MS_BIND | MsFlags::MS_REC,
            "ro" => flags |= MsFlags::MS_RDONLY,
            "nosuid" => flags |= MsFlags::MS_NOSUID,
            "nodev" => flags |= MsFlags::MS_NODEV,
            "noexec" => flags |= MsFlags::MS_NOEXEC,
            "noatime" => flags |= MsFlags::MS_NOATIME,
            "nodiratime" => flags |= MsFlags::MS_NODIRATIME,
            "relatime" => flags |= MsFlags::MS_RELATIME,
            "strictatime" => flags |= MsFlags::MS_STRICTATIME,
            "sync" => flags |= MsFlags::MS_SYNCHRONOUS,
            "rw" | "defaults" | "suid" | "dev" | "exec" | "atime" | "async" => {}
            other => data.push(other),
        }
    }
    (flags, data.join(","))
}

/// The kernel wants an address where people write a name (`addr=nas.lan`).
fn resolve_address(data: &mut String) {
    let Some(name) = data.split(',').find_map(|option| option.strip_prefix("addr=")) else { return };
    let resolved = (name, 0).to_socket_addrs().ok().and_then(|mut found| found.next());
    if let Some(address) = resolved {
        *data = data.replace(&format!("addr={name}"), &format!("addr={}", address.ip()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_data_part() {
        let (flags, data) = parse("ro,size=1m,nosuid,,mode=700");
        assert_eq!((flags, data.as_str()), (MsFlags::MS_RDONLY | MsFlags::MS_NOSUID, "size=1m,mode=700"));
    }

    #[test]
    fn half_of_a_device_is_refused() {
        let options =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        assert!(check(Some(&options(&[("type", "tmpfs")]))).is_err());
        assert!(check(Some(&options(&[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m")]))).is_ok());
        assert!(check(None).is_ok());
    }
}
