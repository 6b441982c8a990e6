//! Mount points alone: what a restore needs to find in the root before CRIU mounts everything itself.

use std::path::{Path, PathBuf};

use dhow_linux::mount::{clone_tree, move_onto};
use rustix::fs::CWD;

use super::target::{Missing, OnProc, clean};
use super::{MountFailure, Options, Rootfs, RootfsError};
use crate::spec::Mount;

impl Rootfs<'_> {
    /// Makes the mount points of the spec that are missing. Bind mounts are made for that, since others may lie inside
    /// of them; the caller is in a mount namespace that ends with it.
    pub(crate) fn make_mount_points(&self) -> Result<(), RootfsError> {
        let mut lost: Vec<PathBuf> = Vec::new();
        for mount in &self.spec.mounts {
            let destination = clean(&mount.destination);
            // A tmpfs comes back with everything that was in it, a cgroup's point with the mount that it lies on.
            if mount.fstype == "cgroup" || lost.iter().any(|tmpfs| destination.starts_with(tmpfs)) {
                continue;
            }
            self.make_mount_point(mount).map_err(|source| RootfsError::Mount {
                source_name: mount.source.clone(),
                target: mount.destination.clone(),
                source: Box::new(source),
            })?;
            if mount.fstype == "tmpfs" {
                lost.push(destination);
            }
        }
        Ok(())
    }

    fn make_mount_point(&self, mount: &Mount) -> Result<(), MountFailure> {
        let options = Options::parse(&mount.options);
        let Some(depth) = options.bind else {
            return self.target(&mount.destination, Missing::Folder, OnProc::Allowed).map(drop);
        };
        let tree =
            clone_tree(CWD, Path::new(&mount.source), depth).map_err(MountFailure::call("open_tree"))?;
        let target = self.bind_target(&mount.destination, &tree)?;
        move_onto(&tree, &target).map_err(MountFailure::call("move_mount"))
    }
}
