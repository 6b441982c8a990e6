//! Images into processes.

use std::path::{Path, PathBuf};

use dhow_linux::file::{PathError, read_limited};

use super::request::{Kind, Name};
use super::service::{Notification, Service};
use super::{Common, CriuError, DESCRIPTORS, at_least, external, journal, service, usable_version};
use crate::cgroup::Manager;
use crate::spec::{NamespaceKind, Spec};

const LOG: &str = "restore.log";
/// The first version that takes another LSM profile than the image's.
const OTHER_PROFILE: u32 = 31_600;
/// The first version that restores into a time namespace of its own.
const MAKES_TIME_NAMESPACE: u32 = 31_400;
/// The first descriptor of the CRIU process after the standard ones and its socket.
const FIRST_EXTRA: i32 = 4;
/// Three names.
const LONGEST: u64 = 64 << 10;

/// What `restore` asks for, and what the new container has by now.
#[derive(Debug)]
pub(crate) struct Restore<'a> {
    /// Folders, and what checkpoint has as well.
    pub(crate) common: &'a Common,
    /// `TYPE:NAME` of another LSM profile.
    pub(crate) lsm_profile: Option<&'a str>,
    /// Another context of mounts.
    pub(crate) lsm_mount_context: Option<&'a str>,
    /// The configuration.
    pub(crate) spec: &'a Spec,
    /// The bundle, to which sources of mounts are relative.
    pub(crate) bundle: &'a Path,
    /// The root file system.
    pub(crate) rootfs: PathBuf,
    /// The same, as a mount of its own.
    pub(crate) root: &'a Path,
    /// The cgroups, made and empty.
    pub(crate) cgroups: &'a Manager,
    /// Whether the standard streams are the caller's.
    pub(crate) streams: bool,
}

/// Restores the processes; the first becomes a child of this one. `heard` gets what CRIU tells on the way. Gives
/// whether the processes are in a time namespace that the configuration does not name.
pub(crate) fn restore<E: From<CriuError>>(
    restore: &Restore<'_>,
    heard: impl FnMut(Notification) -> Result<(), E>,
) -> Result<bool, E> {
    let version = usable_version()?;
    let folders = restore.common.open()?;
    let mut options = restore.common.options(restore.spec, &folders, LOG, restore.root);
    options.flag(Name::EvasiveDevices, true).flag(Name::RstSibling, true);
    if let Some(profile) = restore.lsm_profile {
        at_least(version, OTHER_PROFILE, "--lsm-profile")?;
        options.text(Name::LsmProfile, profile);
    }
    if let Some(context) = restore.lsm_mount_context {
        at_least(version, OTHER_PROFILE, "--lsm-mount-context")?;
        options.text(Name::LsmMountContext, context);
    }
    let extra = external::join_namespaces(restore.spec, FIRST_EXTRA, &mut options)?;
    for mount in external::mounts(restore.spec, &restore.rootfs, restore.bundle, restore.cgroups)? {
        options.external_mount(&mount.inside, &mount.outside);
    }
    if !restore.spec.linux.masked_paths.is_empty() {
        options.external_mount("/dev/null", "/dev/null");
    }
    for (number, name) in (0..).zip(descriptors(&restore.common.images)?) {
        if name.contains("pipe:") {
            options.inherited(&name, number);
        }
    }
    let service = Service::start(restore.streams, extra)?;
    restore.cgroups.adopt(service.pid()).map_err(CriuError::from)?;
    for (controller, path) in cgroups_of(service.pid())? {
        options.cgroup_root(&controller, &path);
    }
    service::ask(service, Kind::Restore, &options, heard)
        .inspect_err(|_| journal::quote(&folders.logs, LOG))?;
    let possible = Path::new("/proc/self/ns/time").exists() && version >= MAKES_TIME_NAMESPACE;
    Ok(possible && !restore.spec.has(NamespaceKind::Time))
}

/// The names of the standard streams at the time of the dump.
fn descriptors(images: &Path) -> Result<Vec<String>, CriuError> {
    let path = images.join(DESCRIPTORS);
    let text = read_limited(&path, LONGEST)?;
    serde_json::from_slice(&text).map_err(|error| PathError::at("decode", &path)(error.into()).into())
}

/// Controller to path, as `/proc/PID/cgroup` has them.
fn cgroups_of(pid: u32) -> Result<Vec<(String, String)>, CriuError> {
    let path = format!("/proc/{pid}/cgroup");
    let text = std::fs::read_to_string(&path).map_err(PathError::at("read", &path))?;
    Ok(parse_cgroups(&text))
}

fn parse_cgroups(text: &str) -> Vec<(String, String)> {
    let parts = text.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        Some((parts.next()?, parts.next()?))
    });
    let each = parts.flat_map(|(controllers, path)| controllers.split(',').map(move |one| (one, path)));
    each.map(|(controller, path)| (controller.to_owned(), path.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_controller_has_its_own_root() {
        let text = "5:cpu,cpuacct:/a\n1:name=systemd:/b:c\n0::/d\n";
        let expected = [("cpu", "/a"), ("cpuacct", "/a"), ("name=systemd", "/b:c"), ("", "/d")];
        let expected = expected.map(|(controller, path)| (controller.to_owned(), path.to_owned()));
        assert_eq!(parse_cgroups(text), expected);
    }
}
