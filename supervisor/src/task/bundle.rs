//! The folder of a task.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use dhow_linux::file::{Durability, PathError, replace};
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use serde::Deserialize;

/// A bundle on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bundle(PathBuf);

/// What of a spec decides who may enter the bundle.
#[derive(Deserialize)]
struct Spec {
    linux: Option<Linux>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Linux {
    #[serde(default)]
    gid_mappings: Vec<Mapping>,
}

#[derive(Deserialize)]
struct Mapping {
    #[serde(rename = "containerID")]
    container: u32,
    #[serde(rename = "hostID")]
    host: u32,
}

impl Bundle {
    /// The bundle at `path`, which may not exist.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Makes the bundle of a new task with its spec, as JSON. What a crash may have left there goes first.
    pub(crate) fn create(path: PathBuf, spec: &[u8]) -> Result<Self, PathError> {
        let bundle = Self(path);
        bundle.remove()?;
        let made = bundle.fill(spec);
        if made.is_err() {
            drop(bundle.remove());
        }
        made.map(|()| bundle)
    }

    fn fill(&self, spec: &[u8]) -> Result<(), PathError> {
        if let Some(parent) = self.0.parent() {
            make(parent, 0o711)?;
        }
        make(&self.0, 0o700)?;
        if let Some(group) = remapped_group(spec) {
            // The root of the container's user namespace must be able to reach its rootfs.
            std::os::unix::fs::chown(&self.0, None, Some(group)).map_err(PathError::at("chown", &self.0))?;
            let mode = std::fs::Permissions::from_mode(0o710);
            std::fs::set_permissions(&self.0, mode).map_err(PathError::at("chmod", &self.0))?;
        }
        make(&self.0.join("rootfs"), 0o711)?;
        make(&self.0.join("work"), 0o711)?;
        replace(&self.0.join("config.json"), spec, 0o666, Durability::Process)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Removes the bundle. Its rootfs is unmounted, and is never entered: what is in it belongs to a snapshot.
    pub(crate) fn remove(&self) -> Result<(), PathError> {
        let rootfs = self.0.join("rootfs");
        unmount(&rootfs)?;
        match std::fs::remove_dir(&rootfs) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(PathError::at("remove", &rootfs)(error));
            }
            _ => {}
        }
        // Renamed first: a bundle is there or not, also for whoever looks while it goes.
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(self.0.file_name().unwrap_or_default());
        let hidden = self.0.with_file_name(hidden);
        match std::fs::rename(&self.0, &hidden) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(PathError::at("rename", &self.0)(error)),
            Ok(()) => std::fs::remove_dir_all(&hidden).map_err(PathError::at("remove", &hidden)),
        }
    }
}

fn make(path: &Path, mode: u32) -> Result<(), PathError> {
    DirBuilder::new().recursive(true).mode(mode).create(path).map_err(PathError::at("create", path))
}

/// The group that is 0 inside the container, when that is not 0 outside.
fn remapped_group(spec: &[u8]) -> Option<u32> {
    let spec: Spec = serde_json::from_slice(spec).ok()?;
    let mappings = spec.linux?.gid_mappings;
    mappings
        .iter()
        .find(|mapping| mapping.container == 0)
        .map(|mapping| mapping.host)
        .filter(|&host| host != 0)
}

fn unmount(target: &Path) -> Result<(), PathError> {
    loop {
        match umount2(target, MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => {}
            Err(Errno::EINVAL | Errno::ENOENT) => return Ok(()),
            Err(Errno::EBUSY) => match umount2(target, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
                Ok(()) | Err(Errno::EINVAL) => {}
                Err(error) => return Err(PathError::at("unmount", target)(error.into())),
            },
            // Without the right to unmount there can be no mount of ours.
            Err(Errno::EPERM) => return Ok(()),
            Err(error) => return Err(PathError::at("unmount", target)(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_comes_and_goes_whole() {
        let state = tempfile::tempdir().expect("folder");
        let path = state.path().join("ns/a");
        let bundle = Bundle::create(path.clone(), b"{}").expect("create");
        assert_eq!(std::fs::read(bundle.file("config.json")).expect("spec"), b"{}");
        std::fs::write(bundle.file("left.over"), "x").expect("write");
        let bundle = Bundle::create(path.clone(), b"{}").expect("create over what a crash left");
        assert!(!bundle.file("left.over").exists());
        bundle.remove().expect("remove");
        bundle.remove().expect("removing nothing is success");
        assert_eq!(std::fs::read_dir(state.path().join("ns")).expect("list").count(), 0);
    }

    #[test]
    fn files_in_a_rootfs_are_never_removed() {
        let state = tempfile::tempdir().expect("folder");
        let bundle = Bundle::create(state.path().join("a"), b"{}").expect("create");
        std::fs::write(bundle.file("rootfs/precious"), "x").expect("write");
        assert!(bundle.remove().is_err());
        assert!(bundle.file("rootfs/precious").exists());
    }

    #[test]
    fn a_remapped_root_may_enter() {
        let spec = br#"{"linux":{"gidMappings":[{"containerID":0,"hostID":100000,"size":65536}]}}"#;
        assert_eq!(remapped_group(spec), Some(100_000));
        assert_eq!(remapped_group(b"{\"linux\":{}}"), None);
    }
}
