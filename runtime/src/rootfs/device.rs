//! `/dev`: the nodes every container has, those of the spec, and the usual links.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use dhow_linux::path::make_parent_in;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, makedev};
use rustix::io::Errno;

use super::target::clean;
use super::{Rootfs, RootfsError};
use crate::spec::{Device, NamespaceKind};

/// The nodes that the spec promises, by name, major and minor.
pub(crate) const DEFAULT: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("random", 1, 8), ("full", 1, 7), ("tty", 5, 0), ("zero", 1, 5), ("urandom", 1, 9)];

const LINKS: [(&str, &str); 4] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
];

impl Rootfs<'_> {
    /// Fills `/dev`.
    pub(crate) fn make_devices(&self) -> Result<(), RootfsError> {
        let asked = &self.spec.linux.devices;
        for (name, major, minor) in DEFAULT {
            let path = format!("/dev/{name}");
            if !asked.iter().any(|device| device.path == path) {
                let kind = "c".to_owned();
                let node = Device { path, kind, major, minor, file_mode: Some(0o666), uid: None, gid: None };
                self.make_device(&node)?;
            }
        }
        for device in asked.iter().filter(|device| clean(&device.path) != Path::new("/dev/ptmx")) {
            self.make_device(device)?;
        }
        self.make_links()
    }

    fn make_device(&self, device: &Device) -> Result<(), RootfsError> {
        let failed = |action| RootfsError::path(action, &device.path);
        let inner = device.path.trim_start_matches('/');
        let (parent, name) = make_parent_in(self.root.as_fd(), Path::new(inner), 0o755)
            .map_err(failed("mkdir parent of device inode"))?;
        // A user namespace may not make nodes that work: the host's are bound instead.
        if self.spec.has(NamespaceKind::User) {
            return bind_device(device, &parent, &name);
        }
        let (kind, number) = match device.kind.as_str() {
            "c" | "u" => (FileType::CharacterDevice, makedev(device.major, device.minor)),
            "b" => (FileType::BlockDevice, makedev(device.major, device.minor)),
            "p" => (FileType::Fifo, 0),
            _ => {
                let Device { path, kind, .. } = device.clone();
                return Err(RootfsError::DeviceType { kind, path });
            }
        };
        let mode = Mode::from_raw_mode(device.file_mode.unwrap_or(0o666) & 0o7777);
        match rustix::fs::mknodat(&parent, &name, kind, mode, number) {
            Ok(()) => {}
            Err(Errno::EXIST) => return is_that_device(device, &parent, &name, (kind, number)),
            Err(Errno::PERM) => return bind_device(device, &parent, &name),
            Err(error) => return Err(RootfsError::path("mknod", &device.path)(error)),
        }
        finish_node(device, &parent, &name, (kind, number, mode))
    }

    fn make_links(&self) -> Result<(), RootfsError> {
        let (dev, _) = make_parent_in(self.root.as_fd(), Path::new("dev/x"), 0o755)
            .map_err(RootfsError::step("open /dev"))?;
        let link = |target: &str, name: &str| match rustix::fs::symlinkat(target, &dev, name) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(RootfsError::path("symlink", name)(error)),
        };
        // The container's own instance of devpts answers at its own ptmx.
        match rustix::fs::unlinkat(&dev, "ptmx", AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(RootfsError::path("unlink", "/dev/ptmx")(error)),
        }
        link("pts/ptmx", "ptmx")?;
        if rustix::fs::access("/proc/kcore", rustix::fs::Access::EXISTS).is_ok() {
            link("/proc/kcore", "core")?;
        }
        LINKS.iter().try_for_each(|(target, name)| link(target, name))
    }
}

/// What lies there already must be the device, if the spec asks for it; the default ones may be the caller's own.
fn is_that_device(
    device: &Device,
    parent: &OwnedFd,
    name: &PathBuf,
    (kind, number): (FileType, u64),
) -> Result<(), RootfsError> {
    let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(RootfsError::path("stat", &device.path))?;
    let same = FileType::from_raw_mode(stat.st_mode) == kind && (number == 0 || stat.st_rdev == number);
    if same || DEFAULT.iter().any(|(default, ..)| device.path == format!("/dev/{default}")) {
        return Ok(());
    }
    Err(RootfsError::path("mknod", &device.path)(Errno::EXIST))
}

/// Owner and mode, through a handle that was checked to be the node just made.
fn finish_node(
    device: &Device,
    parent: &OwnedFd,
    name: &PathBuf,
    (kind, number, mode): (FileType, u64, Mode),
) -> Result<(), RootfsError> {
    let failed = |action| RootfsError::path(action, &device.path);
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let node =
        rustix::fs::openat(parent, name, flags, Mode::empty()).map_err(failed("open new device inode"))?;
    let stat = rustix::fs::fstat(&node).map_err(failed("fstat"))?;
    if FileType::from_raw_mode(stat.st_mode) != kind || stat.st_rdev != number {
        return Err(failed("verify new device inode")(Errno::STALE));
    }
    if stat.st_mode & 0o7777 != mode.as_raw_mode() {
        // The umask took bits away. The node cannot change hands: nothing of the container runs yet.
        rustix::fs::chmodat(parent, name, mode, AtFlags::empty()).map_err(failed("chmod"))?;
    }
    let owner = (device.uid.unwrap_or(0), device.gid.unwrap_or(0));
    if owner != (stat.st_uid, stat.st_gid) {
        let (user, group) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
        rustix::fs::chownat(&node, "", Some(user), Some(group), AtFlags::EMPTY_PATH)
            .map_err(failed("chown"))?;
    }
    Ok(())
}

fn bind_device(device: &Device, parent: &OwnedFd, name: &PathBuf) -> Result<(), RootfsError> {
    let failed = |action| RootfsError::path(action, &device.path);
    let flags = OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let target =
        rustix::fs::openat(parent, name, flags, Mode::empty()).map_err(failed("create device inode"))?;
    Rootfs::bind_onto(Path::new(&device.path), &target).map_err(|error| RootfsError::Mount {
        source_name: device.path.clone(),
        target: device.path.clone(),
        source: Box::new(error),
    })
}
