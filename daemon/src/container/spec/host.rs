//! What a `HostConfig` names on this host, looked up: device numbers, and how sources of binds propagate.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dhow_engine_api::container::HostConfig;
use oci_spec::runtime::{LinuxDevice, LinuxDeviceCgroup};

use super::device::{self, DeviceError};
use super::mount::{Content, MountError, MountPlan};

/// How a mount of the host passes mounts on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Propagation {
    mount: PathBuf,
    shared: bool,
    slave: bool,
}

/// The host's side of one container's settings.
#[derive(Debug, Clone, Default)]
pub(crate) struct HostFacts {
    /// Devices to make.
    pub(crate) devices: Vec<LinuxDevice>,
    /// Rules of the device cgroup.
    pub(crate) device_rules: Vec<LinuxDeviceCgroup>,
    numbers: BTreeMap<String, (i64, i64)>,
    propagation: BTreeMap<PathBuf, Propagation>,
}

impl HostFacts {
    /// Looks everything up.
    ///
    /// # Errors
    /// When a device is missing or is none.
    pub(crate) fn gather(host: &HostConfig, mounts: &[MountPlan]) -> Result<Self, DeviceError> {
        let (devices, device_rules) = device::gather(host)?;
        let limits = &host.resources;
        let throttled = [
            &limits.blkio_device_read_bps,
            &limits.blkio_device_write_bps,
            &limits.blkio_device_read_iops,
            &limits.blkio_device_write_iops,
        ];
        let throttled = throttled.into_iter().flatten().flatten().map(|device| &device.path);
        let weighed = limits.blkio_weight_device.iter().flatten().map(|device| &device.path);
        let mut numbers = BTreeMap::new();
        for path in throttled.chain(weighed) {
            let number =
                device::number(path).map_err(|source| DeviceError::Gather { path: path.clone(), source })?;
            numbers.insert(path.clone(), number);
        }
        Ok(Self { devices, device_rules, numbers, propagation: propagation(mounts) })
    }

    /// Numbers of a device that a limit names.
    pub(super) fn number(&self, path: &str) -> Result<(i64, i64), DeviceError> {
        self.numbers.get(path).copied().ok_or_else(|| DeviceError::Gather {
            path: path.to_owned(),
            source: std::io::ErrorKind::NotFound.into(),
        })
    }

    /// Refuses propagation that the host's own mounts do not do: the kernel would take it and do nothing.
    pub(super) fn check_propagation(&self, source: &Path, wanted: &str) -> Result<(), MountError> {
        let (shared_only, wanted) = match wanted {
            "shared" | "rshared" => (true, "shared"),
            "slave" | "rslave" => (false, "shared or slave"),
            _ => return Ok(()),
        };
        match self.propagation.get(source) {
            Some(found) if found.shared || (!shared_only && found.slave) => Ok(()),
            found => Err(MountError::NotPropagated {
                path: source.to_owned(),
                mount: found.map_or_else(|| "/".into(), |found| found.mount.clone()),
                wanted,
            }),
        }
    }
}

/// The propagation of every source that is to be shared or a slave; most containers have none.
fn propagation(plans: &[MountPlan]) -> BTreeMap<PathBuf, Propagation> {
    let sources = plans.iter().filter_map(|plan| match &plan.content {
        Content::Bind { source, propagation, .. }
            if propagation.ends_with("shared") || propagation.ends_with("slave") =>
        {
            Some(source)
        }
        _ => None,
    });
    let sources: Vec<&PathBuf> = sources.collect();
    if sources.is_empty() {
        return BTreeMap::new();
    }
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let find = |source: &PathBuf| {
        let real = std::fs::canonicalize(source).unwrap_or_else(|_| source.clone());
        mount_of(&table, &real).map(|found| (source.clone(), found))
    };
    sources.into_iter().filter_map(find).collect()
}

/// The mount that holds `path`: the last of the deepest in a mountinfo table.
fn mount_of(table: &str, path: &Path) -> Option<Propagation> {
    let mounts = table.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let mount = PathBuf::from(words.nth(4)?);
        let optional: Vec<&str> = words.skip(1).take_while(|word| *word != "-").collect();
        let has = |prefix| optional.iter().any(|word| word.starts_with(prefix));
        Some(Propagation { mount, shared: has("shared:"), slave: has("master:") })
    });
    mounts.filter(|found| path.starts_with(&found.mount)).max_by_key(|found| found.mount.components().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:5 / /mnt rw master:7 - tmpfs tmpfs rw
31 22 0:6 / /mnt/own rw - tmpfs tmpfs rw";

    #[test]
    fn the_deepest_mount_decides() {
        let at = |path: &str| mount_of(TABLE, Path::new(path)).expect("some mount");
        assert!(at("/etc").shared);
        assert!(at("/mnt/a").slave && !at("/mnt/a").shared);
        assert!(!at("/mnt/own/x").shared && !at("/mnt/own/x").slave);
    }

    #[test]
    fn sharing_needs_a_shared_mount() {
        let propagation = ["/etc", "/mnt/a"]
            .map(|path| (PathBuf::from(path), mount_of(TABLE, Path::new(path)).expect("found")))
            .into();
        let facts = HostFacts { propagation, ..HostFacts::default() };
        assert!(facts.check_propagation(Path::new("/etc"), "rshared").is_ok());
        assert!(facts.check_propagation(Path::new("/mnt/a"), "rslave").is_ok());
        let error = facts.check_propagation(Path::new("/mnt/a"), "shared").expect_err("a slave");
        assert_eq!(error.to_string(), "path /mnt/a is mounted on /mnt but it is not a shared mount");
    }
}
