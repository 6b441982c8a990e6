//! `cgroup` mounts: the v2 tree, or one directory per v1 hierarchy on a tmpfs.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use dhow_linux::mount::{
    Attributes, Depth, NO_DEV, NO_EXEC, NO_SUID, READ_ONLY, clone_tree, move_onto, set_attributes,
};
use dhow_linux::path::make_folders_in;
use rustix::fs::CWD;
use rustix::io::Errno;

use super::file_system::make;
use super::target::{Missing, OnProc};
use super::{MountFailure, Options, Rootfs, change_propagation};
use crate::spec::{Mount, NamespaceKind};

impl Rootfs<'_> {
    /// v2: the tree as the container's cgroup namespace sees it.
    pub(super) fn mount_cgroup2(&self, mount: &Mount, options: &Options) -> Result<(), MountFailure> {
        let target = self.target(&mount.destination, Missing::Folder, OnProc::Refused)?;
        let made = match make("cgroup2", &mount.source, &options.data, &[], options.own.set) {
            // Without a cgroup namespace of its own a user namespace may not mount it: show what it may see.
            Err(MountFailure::Call(_, error))
                if [Errno::PERM, Errno::BUSY]
                    .map(|errno| Some(errno.raw_os_error()))
                    .contains(&error.raw_os_error()) =>
            {
                let own = self.cgroups.paths().remove("").filter(|_| self.spec.has(NamespaceKind::Cgroup));
                let source = own.unwrap_or_else(|| PathBuf::from("/sys/fs/cgroup"));
                // All of it: on a v1 host, where the caller has no cgroup of his own, hierarchies are mounted below.
                let tree = clone_tree(CWD, &source, Depth::Tree).map_err(MountFailure::call("open_tree"))?;
                set_attributes(tree.as_fd(), options.own, Depth::Tree)
                    .map_err(MountFailure::call("mount_setattr"))?;
                tree
            }
            other => other?,
        };
        move_onto(&made, &target).map_err(MountFailure::call("move_mount"))?;
        for (flags, depth) in &options.propagation {
            change_propagation(made.as_fd(), *flags, *depth)
                .map_err(MountFailure::call("change mount propagation"))?;
        }
        Ok(())
    }

    /// v1: a tmpfs with one directory a hierarchy, each showing the container's own cgroup as its root.
    pub(super) fn mount_cgroup_tree(&mut self, mount: &Mount, options: &Options) -> Result<(), MountFailure> {
        let target = self.target(&mount.destination, Missing::Folder, OnProc::Refused)?;
        let flags = NO_SUID | NO_DEV | NO_EXEC;
        let top = make("tmpfs", "tmpfs", &["mode=755".to_owned()], &[], flags)?;
        let own_namespace = self.spec.has(NamespaceKind::Cgroup);
        move_onto(&top, &target).map_err(MountFailure::call("move_mount"))?;
        for (name, (controllers, path)) in hierarchies(self.cgroups.paths()) {
            let folder =
                make_folders_in(top.as_fd(), Path::new(&name), 0o755).map_err(MountFailure::call("mkdir"))?;
            let attributes = flags | options.own.set & READ_ONLY;
            let hierarchy = if own_namespace {
                make("cgroup", "cgroup", &selection(&controllers), &[], attributes)?
            } else {
                let tree = clone_tree(CWD, &path, Depth::Tree).map_err(MountFailure::call("open_tree"))?;
                let change = Attributes { set: attributes, ..Attributes::default() };
                set_attributes(tree.as_fd(), change, Depth::One)
                    .map_err(MountFailure::call("mount_setattr"))?;
                tree
            };
            move_onto(&hierarchy, &folder).map_err(MountFailure::call("move_mount"))?;
            for controller in controllers.iter().filter(|_| controllers.len() > 1) {
                // Programs look for either name of controllers that share a hierarchy.
                match rustix::fs::symlinkat(&name, &top, controller) {
                    Err(Errno::EXIST) | Ok(()) => {}
                    Err(error) => return Err(MountFailure::Call("symlink", error.into())),
                }
            }
        }
        if options.own.set & READ_ONLY != 0 {
            self.late_read_only.push(top);
        }
        Ok(())
    }
}

/// The mounts that [`Rootfs::mount_cgroup_tree`] makes without a cgroup namespace: name of the folder and source.
pub(crate) fn cgroup_mounts(cgroups: &crate::cgroup::Manager) -> Vec<(String, PathBuf)> {
    hierarchies(cgroups.paths()).into_iter().map(|(name, (_, path))| (name, path)).collect()
}

/// Controllers that share a directory, under the name of their usual mount point.
fn hierarchies(paths: BTreeMap<String, PathBuf>) -> BTreeMap<String, (Vec<String>, PathBuf)> {
    let mut by_path: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    for (controller, path) in paths.into_iter().filter(|(controller, _)| !controller.is_empty()) {
        by_path.entry(path).or_default().push(controller);
    }
    by_path
        .into_iter()
        .map(|(path, controllers)| {
            let names: Vec<&str> =
                controllers.iter().map(|name| name.strip_prefix("name=").unwrap_or(name)).collect();
            (names.join(","), (controllers, path))
        })
        .collect()
}

/// What selects a hierarchy at mounting. A named one has no controller, which must be said.
fn selection(controllers: &[String]) -> Vec<String> {
    let mut data = controllers.to_vec();
    if controllers.iter().any(|name| name.starts_with("name=")) {
        data.push("none".to_owned());
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controllers_of_one_directory_share_a_name() {
        let paths = [("cpu", "/c/x"), ("cpuacct", "/c/x"), ("name=systemd", "/s/x"), ("", "/u/x")];
        let paths = paths.map(|(name, path)| (name.to_owned(), PathBuf::from(path))).into();
        let names: Vec<String> = hierarchies(paths).into_keys().collect();
        assert_eq!(names, ["cpu,cpuacct", "systemd"]);
        assert_eq!(selection(&["name=systemd".to_owned()]), ["name=systemd", "none"]);
    }
}
