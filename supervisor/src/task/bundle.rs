//! The folder of a task, or of a sandbox.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use dhow_linux::file::{Durability, PathError, replace};
use dhow_proto::error::chain;
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use serde::Deserialize;

use crate::identifier;
use crate::namespace::Namespace;
use crate::slot::Key;

/// The file of a bundle whose task has not been made yet.
const UNFINISHED: &str = "unfinished";

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
    ///
    /// It counts as unfinished until [`Bundle::finish`].
    pub(crate) fn create(path: PathBuf, spec: &[u8]) -> Result<Self, PathError> {
        let bundle = Self(path);
        bundle.discard();
        let made = bundle.fill(spec);
        if made.is_err() {
            bundle.discard();
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
        let unfinished = self.file(UNFINISHED);
        std::fs::File::create(&unfinished).map_err(PathError::at("create", &unfinished))?;
        replace(&self.0.join("config.json"), spec, 0o666, Durability::Process)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// What the bundle was made for is there.
    pub(crate) fn finish(&self) -> Result<(), PathError> {
        let unfinished = self.file(UNFINISHED);
        std::fs::remove_file(&unfinished).map_err(PathError::at("remove", &unfinished))
    }

    /// Whether what the bundle was made for may be half made.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.file(UNFINISHED).exists()
    }

    /// Frees the place of the bundle at once: another may be made there. What was there is removed in the background;
    /// on some disks each folder takes a while.
    pub(crate) fn discard(&self) {
        match self.set_aside() {
            Ok(Some(aside)) => drop(tokio::task::spawn_blocking(move || aside.remove_logged())),
            Ok(None) => {}
            Err(error) => tracing::warn!(error = %chain(&error), "remove bundle"),
        }
    }

    /// Renames the bundle, if there is one: it is there or not, also for whoever looks while it goes.
    fn set_aside(&self) -> Result<Option<Self>, PathError> {
        let name = self.0.file_name().unwrap_or_default();
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{:016x}", getrandom::u64().unwrap_or_default()));
        let hidden = self.0.with_file_name(hidden);
        match std::fs::rename(&self.0, &hidden) {
            Ok(()) => Ok(Some(Self(hidden))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(PathError::at("rename", &self.0)(error)),
        }
    }

    fn remove_logged(&self) {
        if let Err(error) = self.remove() {
            tracing::warn!(error = %chain(&error), "remove bundle");
        }
    }

    /// Removes the bundle. Its rootfs is unmounted, and is never entered: what is in it belongs to a snapshot.
    fn remove(&self) -> Result<(), PathError> {
        let rootfs = self.0.join("rootfs");
        unmount(&rootfs)?;
        match std::fs::remove_dir(&rootfs) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(PathError::at("remove", &rootfs)(error));
            }
            _ => {}
        }
        std::fs::remove_dir_all(&self.0).map_err(PathError::at("remove", &self.0))
    }
}

/// The ids of the bundles below `folder`. Those that were being removed when the last supervisor ended go now.
pub(crate) fn found_below(folder: &Path) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut left = Vec::new();
    for (place, name) in folders(folder) {
        let Ok(namespace) = name.parse::<Namespace>() else { continue };
        for (path, id) in folders(&place) {
            if identifier::validate(&id).is_ok() {
                keys.push((namespace.clone(), id));
            } else if id.starts_with('.') {
                left.push(Bundle(path));
            }
        }
    }
    if !left.is_empty() {
        drop(tokio::task::spawn_blocking(move || left.iter().for_each(Bundle::remove_logged)));
    }
    keys
}

/// The folders in a folder, with their names.
fn folders(path: &Path) -> Vec<(PathBuf, String)> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.filter_map(|entry| Some((entry.path(), entry.file_name().into_string().ok()?))).collect()
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

    #[tokio::test]
    async fn a_bundle_comes_and_goes_whole() {
        let state = tempfile::tempdir().expect("folder");
        let path = state.path().join("ns/a");
        let bundle = Bundle::create(path.clone(), b"{}").expect("create");
        assert_eq!(std::fs::read(bundle.file("config.json")).expect("spec"), b"{}");
        std::fs::write(bundle.file("left.over"), "x").expect("write");
        let bundle = Bundle::create(path.clone(), b"{}").expect("create over what a crash left");
        assert!(!bundle.file("left.over").exists());
        assert!(bundle.is_unfinished());
        bundle.finish().expect("finish");
        assert!(!bundle.is_unfinished());
        bundle.discard();
        bundle.discard();
        assert!(!path.exists());
        while std::fs::read_dir(state.path().join("ns")).expect("list").count() > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn files_in_a_rootfs_are_never_removed() {
        let state = tempfile::tempdir().expect("folder");
        let bundle = Bundle(state.path().join("a"));
        bundle.fill(b"{}").expect("fill");
        std::fs::write(bundle.file("rootfs/precious"), "x").expect("write");
        let aside = bundle.set_aside().expect("rename").expect("there was one");
        assert!(aside.remove().is_err());
        assert!(aside.file("rootfs/precious").exists());
    }

    #[tokio::test]
    async fn what_a_crash_left_half_removed_goes_at_the_start() {
        let state = tempfile::tempdir().expect("folder");
        for id in ["a", "b"] {
            Bundle(state.path().join("ns").join(id)).fill(b"{}").expect("fill");
        }
        Bundle(state.path().join("ns/a")).set_aside().expect("rename");
        let keys = found_below(state.path());
        assert_eq!(keys, [("ns".parse().expect("a name"), "b".to_owned())]);
        while std::fs::read_dir(state.path().join("ns")).expect("list").count() > 1 {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn a_remapped_root_may_enter() {
        let spec = br#"{"linux":{"gidMappings":[{"containerID":0,"hostID":100000,"size":65536}]}}"#;
        assert_eq!(remapped_group(spec), Some(100_000));
        assert_eq!(remapped_group(b"{\"linux\":{}}"), None);
    }
}
