//! Bind mounts: a detached copy of the source's mount, given its flags, then moved into place.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use dhow_linux::mount::{
    ACCESS_TIME, Attributes, Depth, NO_DEV, NO_DIRATIME, NO_EXEC, NO_SUID, NO_SYMFOLLOW, READ_ONLY,
    clone_tree, map_owners, move_onto, set_attributes,
};
use rustix::fs::{CWD, FileType};
use rustix::io::Errno;

use super::target::{Missing, OnProc};
use super::{MapOwners, MountFailure, Options, Prepared, Rootfs, change_propagation};
use crate::spec::Mount;

/// statfs's magic number of procfs.
const PROC_MAGIC: i64 = 0x9fa0;
/// What a bind mount loses when the caller names any flag of its own, as with `mount --bind -o`.
const CLEARABLE: u64 = READ_ONLY | NO_SUID | NO_DEV | NO_EXEC | NO_SYMFOLLOW;
/// Of these, what no owner of a source can lock.
const NEVER_LOCKED: u64 = NO_SYMFOLLOW;

impl Rootfs<'_> {
    /// Makes a bind mount.
    pub(super) fn bind(
        &self,
        mount: &Mount,
        options: &Options,
        prepared: &mut Prepared,
        map: MapOwners<'_>,
    ) -> Result<(), MountFailure> {
        let depth = options.bind.unwrap_or(Depth::One);
        // As the container sees it, so that earlier mounts count; else as the runtime saw it.
        let tree = clone_tree(CWD, Path::new(&mount.source), depth)
            .or_else(|error| prepared.tree.take().ok_or(error))
            .map_err(MountFailure::call("open_tree"))?;
        if options.mapped.is_some() || !mount.uid_mappings.is_empty() {
            let mapped = match &prepared.mapping {
                Some(mapping) => {
                    map_owners(tree.as_fd(), mapping.as_fd(), options.mapped.unwrap_or(Depth::One))
                }
                None => map(tree.as_fd()),
            };
            mapped.map_err(MountFailure::call("failed to set MOUNT_ATTR_IDMAP on mount"))?;
        }
        let target = self.bind_target(&mount.destination, &tree)?;
        if options.flagged {
            give_flags(tree.as_fd(), options).map_err(|error| MountFailure::Flags(Box::new(error)))?;
        }
        if let Some(recursive) = options.recursive {
            set_attributes(tree.as_fd(), recursive, Depth::Tree)
                .map_err(MountFailure::call("set recursive attributes"))?;
        }
        move_onto(&tree, &target).map_err(MountFailure::call("move_mount"))?;
        for (flags, depth) in &options.propagation {
            change_propagation(tree.as_fd(), *flags, *depth)
                .map_err(MountFailure::call("change mount propagation"))?;
        }
        Ok(())
    }

    pub(super) fn bind_target(&self, destination: &str, tree: &OwnedFd) -> Result<OwnedFd, MountFailure> {
        let stat = rustix::fs::fstat(tree).map_err(MountFailure::call("fstat"))?;
        let folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let missing = if folder { Missing::Folder } else { Missing::File };
        let system = rustix::fs::fstatfs(tree).map_err(MountFailure::call("fstatfs"))?;
        let proc = if system.f_type == PROC_MAGIC { OnProc::Allowed } else { OnProc::Refused };
        self.target(destination, missing, proc)
    }

    /// Bind mounts `source` of the host onto an opened target.
    pub(super) fn bind_onto(source: &Path, target: &OwnedFd) -> Result<(), MountFailure> {
        let tree = clone_tree(CWD, source, Depth::One).map_err(MountFailure::call("open_tree"))?;
        move_onto(&tree, target).map_err(MountFailure::call("move_mount"))
    }
}

/// Exactly the asked flags; where the source's owner locked some, those stay as well. How access times are kept stays
/// the same when no word asks for something else, as with mount(2).
fn give_flags(tree: BorrowedFd<'_>, options: &Options) -> Result<(), MountFailure> {
    const ACCESS: u64 = ACCESS_TIME | NO_DIRATIME;
    let access = options.access_time();
    let asked = Attributes {
        set: options.own.set & !ACCESS | access.unwrap_or_default(),
        clear: options.own.clear & !ACCESS | access.map_or(0, |bits| ACCESS & !(bits & NO_DIRATIME)),
        ..options.own
    };
    let without = |flags: u64| Attributes { clear: asked.clear | (flags & !asked.set), ..asked };
    match set_attributes(tree, without(CLEARABLE), Depth::One) {
        Err(error) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => {
            set_attributes(tree, without(NEVER_LOCKED), Depth::One).map_err(MountFailure::Locked)
        }
        other => other.map_err(MountFailure::call("mount_setattr")),
    }
}
