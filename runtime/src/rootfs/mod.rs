//! The container's view of files: mounts, devices, the change of root, masks.
//!
//! Runs in the container's first process, in its new mount namespace, as a list of steps that `init` calls in order:
//!
//! ```text
//! Rootfs::open      stop propagation to the host, bind the root onto itself
//! mount             each mount of the spec: made detached, configured, then moved onto a descriptor
//! make_devices      nodes and links of /dev
//! enter             pivot_root (or its two substitutes)
//! finish            what must come last: read-only tmpfs, read-only root
//! make_read_only    read-only paths
//! mask              masked paths
//! forbid_binding    an unbindable root
//! ```
//! No path inside the root is ever walked by name from outside: targets are resolved once, inside the root, by
//! openat2, and used as descriptors. The image may be hostile; a swapped link must not move a mount.

mod bind;
mod cgroup;
mod copy_up;
mod device;
mod error;
mod file_system;
mod mask;
mod mount_point;
mod option;
mod pivot;
mod target;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use dhow_linux::mount::{Attributes, Depth, clone_tree, move_onto, set_attributes};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::MountPropagationFlags;

use crate::spec::{Mount, NamespaceKind, Spec};

pub(crate) use cgroup::cgroup_mounts;
pub(crate) use device::DEFAULT as DEFAULT_DEVICES;
pub(crate) use error::{MountFailure, RootfsError};
pub(crate) use option::{Options, known as known_options, propagation};
pub(crate) use target::clean;

/// How the root changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entrance {
    /// pivot_root: the old root is gone.
    Pivot,
    /// `--no-pivot`: the root moves over the old one, for hosts that run from a ramdisk.
    Move,
    /// No mount namespace of its own: only chroot.
    Chroot,
}

/// Gives a detached tree its mapped owners.
pub(crate) type MapOwners<'a> = &'a dyn Fn(BorrowedFd<'_>) -> std::io::Result<()>;

/// What was prepared for a mount before the container's first process existed.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// The source, cloned outside of the container's user namespace, for when it cannot be reached from inside.
    pub(crate) tree: Option<OwnedFd>,
    /// The user namespace whose mapping the mount shows, when the process may set that itself.
    pub(crate) mapping: Option<OwnedFd>,
}

/// The root file system while it is being made.
#[derive(Debug)]
pub(crate) struct Rootfs<'a> {
    spec: &'a Spec,
    path: PathBuf,
    root: OwnedFd,
    /// tmpfs and `/dev` are filled first and made read-only at the end.
    late_read_only: Vec<OwnedFd>,
    /// The cgroups of the container, for `cgroup` mounts.
    cgroups: &'a crate::cgroup::Manager,
}

impl<'a> Rootfs<'a> {
    /// Cuts the mount namespace off the host's and opens the root.
    pub(crate) fn open(
        spec: &'a Spec,
        path: &Path,
        cgroups: &'a crate::cgroup::Manager,
    ) -> Result<Self, RootfsError> {
        let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if spec.has(NamespaceKind::Mount) {
            let top = rustix::fs::open("/", folder, Mode::empty()).map_err(RootfsError::step("open /"))?;
            let (flags, depth) = first_propagation(&spec.linux.rootfs_propagation);
            change_propagation(top.as_fd(), flags, depth)
                .map_err(RootfsError::step("change the propagation of /"))?;
            let kept = MountPropagationFlags::SHARED.bits() | MountPropagationFlags::PRIVATE.bits();
            if flags & u64::from(kept) != 0 {
                isolate_parent(path, flags)?;
            }
        }
        let below = rustix::fs::open(path, folder, Mode::empty())
            .map_err(RootfsError::path("open rootfs", &path.to_string_lossy()))?;
        let own = spec.has(NamespaceKind::Mount) || spec.root.as_ref().is_some_and(|root| root.readonly);
        let root = if own { bind_onto_itself(path, &below)? } else { below };
        Ok(Self { spec, path: path.to_owned(), root, late_read_only: Vec::new(), cgroups })
    }

    /// Makes one mount of the spec.
    ///
    /// `map` is how a mount gets mapped owners where this process has no right to give them.
    pub(crate) fn mount(
        &mut self,
        mount: &Mount,
        prepared: &mut Prepared,
        map: MapOwners<'_>,
    ) -> Result<(), RootfsError> {
        self.try_mount(mount, prepared, map).map_err(|source| RootfsError::Mount {
            source_name: mount.source.clone(),
            target: mount.destination.clone(),
            source: Box::new(source),
        })
    }

    fn try_mount(
        &mut self,
        mount: &Mount,
        prepared: &mut Prepared,
        map: MapOwners<'_>,
    ) -> Result<(), MountFailure> {
        let options = Options::parse(&mount.options);
        if options.bind.is_some() {
            return self.bind(mount, &options, prepared, map);
        }
        match mount.fstype.as_str() {
            "cgroup" if self.cgroups.is_v2() => self.mount_cgroup2(mount, &options),
            "cgroup" => self.mount_cgroup_tree(mount, &options),
            _ => self.mount_file_system(mount, &options),
        }
    }

    /// Whether `/dev` is ours to fill: not when the caller binds one of its own.
    pub(crate) fn fills_dev(&self) -> bool {
        !self.spec.mounts.iter().any(|mount| {
            target::clean(&mount.destination) == Path::new("/dev")
                && (mount.fstype == "bind" || Options::parse(&mount.options).bind.is_some())
        })
    }

    /// What must come after everything was filled.
    pub(crate) fn finish(&mut self) -> Result<(), RootfsError> {
        let read_only = Attributes { set: dhow_linux::mount::READ_ONLY, ..Attributes::default() };
        for mount in self.late_read_only.drain(..) {
            set_attributes(mount.as_fd(), read_only, Depth::One)
                .map_err(RootfsError::step("make a mount read-only"))?;
        }
        if self.spec.root.as_ref().is_some_and(|root| root.readonly) {
            set_attributes(self.root.as_fd(), read_only, Depth::One)
                .map_err(RootfsError::step("error setting rootfs as readonly"))?;
        }
        Ok(())
    }
}

/// What keeps the mounts that are about to be made apart from the host's. Unbindable ones could not be made of what is
/// there: that comes last, and until then private is as far from the host.
fn first_propagation(asked: &str) -> (u64, Depth) {
    let unbindable = u64::from(MountPropagationFlags::UNBINDABLE.bits());
    match propagation(asked) {
        Some((flags, depth)) if flags == unbindable => {
            (u64::from(MountPropagationFlags::PRIVATE.bits()), depth)
        }
        Some(known) => known,
        None => (u64::from(MountPropagationFlags::DOWNSTREAM.bits()), Depth::Tree),
    }
}

/// Makes a mount of the root's own: to be pivoted to, and to be made read-only. Without a mount namespace it would stay
/// on the host, so it is only made there when it is needed.
fn bind_onto_itself(path: &Path, below: &OwnedFd) -> Result<OwnedFd, RootfsError> {
    let root = clone_tree(CWD, path, Depth::Tree).map_err(RootfsError::step("clone the rootfs mount"))?;
    move_onto(&root, below).map_err(RootfsError::step("bind the rootfs onto itself"))?;
    Ok(root)
}

fn change_propagation(mount: BorrowedFd<'_>, flags: u64, depth: Depth) -> std::io::Result<()> {
    set_attributes(mount, Attributes { propagation: flags, ..Attributes::default() }, depth)
}

/// Makes the mount that the root lies on private: pivot_root refuses a shared parent, and a mount made on it would
/// appear on the host.
fn isolate_parent(path: &Path, root_flags: u64) -> Result<(), RootfsError> {
    let slave = u64::from(MountPropagationFlags::DOWNSTREAM.bits());
    let flags =
        if root_flags & slave != 0 { slave } else { u64::from(MountPropagationFlags::PRIVATE.bits()) };
    for folder in path.ancestors() {
        let opened = rustix::fs::open(folder, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .map_err(RootfsError::path("open", &folder.to_string_lossy()))?;
        match change_propagation(opened.as_fd(), flags, Depth::One) {
            // Not a mount point: the next one up may be.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => {}
            other => return other.map_err(RootfsError::path("isolate", &folder.to_string_lossy())),
        }
    }
    Ok(())
}
