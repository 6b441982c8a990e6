//! Sources of mounts that the container's first process could not open itself: mapped ones, and those that its user
//! namespace has no right to.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use dhow_linux::clone::{self, NamespaceFlags, Options as CloneOptions, Side};
use dhow_linux::file::PathError;
use dhow_linux::mount::{Attributes, Depth, clone_tree, set_attributes};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::MountPropagationFlags;
use rustix::process::{Signal, WaitOptions, pidfd_send_signal};

use super::{LaunchError, identity};
use crate::init::sync::pair;
use crate::rootfs::{Options, Prepared};
use crate::spec::{IdMapping, Linux, Mount, NamespaceKind, Spec};

/// One entry for each mount of the spec.
pub(super) fn prepare(spec: &Spec) -> Result<Vec<Prepared>, LaunchError> {
    spec.mounts.iter().map(|mount| prepare_one(mount, spec)).collect()
}

fn prepare_one(mount: &Mount, spec: &Spec) -> Result<Prepared, LaunchError> {
    let options = Options::parse(&mount.options);
    let Some(depth) = options.bind else { return Ok(Prepared::default()) };
    let mapped = options.mapped.is_some() || !mount.uid_mappings.is_empty();
    if !spec.has(NamespaceKind::User) {
        let mapping = mapped.then(|| mapping(mount, spec)).transpose()?;
        return Ok(Prepared { tree: None, mapping });
    }
    // It may not exist yet: an earlier mount may bring it. The process itself says so then.
    Ok(Prepared { tree: clone_for_another(&mount.source, depth).ok(), mapping: None })
}

/// A tree of the host's mount namespace, whose mounts may be shared: the container only follows them.
fn clone_for_another(source: &str, depth: Depth) -> std::io::Result<OwnedFd> {
    let tree = clone_tree(CWD, Path::new(source), depth)?;
    let slave = u64::from(MountPropagationFlags::DOWNSTREAM.bits());
    set_attributes(tree.as_fd(), Attributes { propagation: slave, ..Attributes::default() }, Depth::Tree)?;
    Ok(tree)
}

/// Gives a tree that the container's first process opened the owners that mount number `place` asks for.
pub(super) fn map_owners(spec: &Spec, place: usize, tree: &OwnedFd) -> Result<(), LaunchError> {
    let mount = spec.mounts.get(place).ok_or_else(|| LaunchError::Usage("no such mount".to_owned()))?;
    let depth = Options::parse(&mount.options).mapped.unwrap_or(Depth::One);
    dhow_linux::mount::map_owners(tree.as_fd(), mapping(mount, spec)?.as_fd(), depth)
        .map_err(LaunchError::call("failed to set MOUNT_ATTR_IDMAP on mount"))
}

/// A user namespace with the mount's own mapping, or the container's.
fn mapping(mount: &Mount, spec: &Spec) -> Result<OwnedFd, LaunchError> {
    let own = !mount.uid_mappings.is_empty();
    let joined = spec.namespace(NamespaceKind::User).filter(|user| !own && !user.path.is_empty());
    if let Some(user) = joined {
        return rustix::fs::open(&user.path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| PathError::at("open namespace", &user.path)(error.into()).into());
    }
    let (uids, gids) = if own {
        (&mount.uid_mappings, &mount.gid_mappings)
    } else {
        (&spec.linux.uid_mappings, &spec.linux.gid_mappings)
    };
    namespace_with(uids, gids)
}

/// Makes a user namespace that nothing but its descriptor keeps: a child lives in it until it is mapped and opened.
fn namespace_with(uids: &[IdMapping], gids: &[IdMapping]) -> Result<OwnedFd, LaunchError> {
    let (ours, theirs) = pair().map_err(LaunchError::call("socketpair"))?;
    let options = CloneOptions { namespaces: NamespaceFlags::USER, ..CloneOptions::default() };
    match clone::clone3(&options).map_err(LaunchError::call("clone a user namespace"))? {
        Side::Child => {
            drop(ours);
            drop(theirs.wait());
            dhow_linux::exec::exit_now(0)
        }
        Side::Parent { pid, pidfd } => {
            drop(theirs);
            let linux =
                Linux { uid_mappings: uids.to_vec(), gid_mappings: gids.to_vec(), ..Linux::default() };
            let path = format!("/proc/{}/ns/user", pid.as_raw_nonzero());
            let opened = identity::write_maps(pid, &linux).and_then(|()| {
                rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                    .map_err(|error| PathError::at("open", &path)(error.into()).into())
            });
            let _ = pidfd_send_signal(&pidfd, Signal::KILL);
            let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
            opened
        }
    }
}
