//! The mounts of a container's rootfs, as the supervisor's snapshotter gives them.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use dhow_linux::fstab;
use dhow_proto::containerd::types::Mount;
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use rustix::fs::{FsWord, Mode, OFlags};

/// What statfs(2) calls overlayfs.
const OVERLAY: FsWord = 0x794c_7630;

/// Why a rootfs could not be put together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MountError {
    #[error(transparent)]
    Mount(#[from] fstab::MountError),
    #[error("mount target {0:?} leads out of the rootfs")]
    Target(String),
    #[error("unmount {target}")]
    Unmount { target: PathBuf, source: Errno },
}

/// Mounts all of `mounts` in order at `rootfs`; when one fails, none stays.
pub(crate) fn mount_all(mounts: &[Mount], rootfs: &Path) -> Result<(), MountError> {
    for one in mounts {
        let mounted = target_in(rootfs, &one.target)
            .and_then(|target| Ok(fstab::mount(&one.r#type, &one.source, &one.options, &target)?));
        if let Err(error) = mounted {
            drop(unmount_all(rootfs));
            return Err(error);
        }
    }
    Ok(())
}

fn target_in(rootfs: &Path, target: &str) -> Result<PathBuf, MountError> {
    let relative = Path::new(target.trim_start_matches('/'));
    let inside = relative.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if inside { Ok(rootfs.join(relative)) } else { Err(MountError::Target(target.to_owned())) }
}

/// Takes everything at and below `rootfs` away from there. An overlay that ends has all written out that its disk has
/// waiting, of whomever it is; so it lives on in what is returned, and whoever drops that waits.
pub(crate) fn detach_all(rootfs: &Path) -> Result<Vec<OwnedFd>, MountError> {
    let mut detached = Vec::new();
    while let Some(overlay) = open_overlay(rootfs) {
        match umount2(rootfs, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => detached.push(overlay),
            // The overlay that the folder itself lies on.
            Err(Errno::EINVAL) => break,
            Err(source) => return Err(MountError::Unmount { target: rootfs.to_owned(), source }),
        }
    }
    unmount_all(rootfs)?;
    Ok(detached)
}

/// The root of the file system at `path`, if it is an overlay.
fn open_overlay(path: &Path) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    let overlay = rustix::fs::fstatfs(&folder).is_ok_and(|status| status.f_type == OVERLAY);
    overlay.then_some(folder)
}

/// Unmounts everything at and below `rootfs`; nothing there is success.
pub(crate) fn unmount_all(rootfs: &Path) -> Result<(), MountError> {
    let failed = |source| MountError::Unmount { target: rootfs.to_owned(), source };
    loop {
        match umount2(rootfs, MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => {}
            // Not a mount point (any more), or nothing at all.
            Err(Errno::EINVAL | Errno::ENOENT) => return Ok(()),
            // Something is still mounted inside, or somebody still looks at it: it goes away with its last user.
            Err(Errno::EBUSY) => match umount2(rootfs, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
                Ok(()) | Err(Errno::EINVAL) => {}
                Err(error) => return Err(failed(error)),
            },
            Err(error) => return Err(failed(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_stays_inside() {
        let rootfs = Path::new("/b/rootfs");
        assert_eq!(target_in(rootfs, "").expect("the rootfs itself"), rootfs);
        assert_eq!(target_in(rootfs, "/etc/x").expect("inside"), Path::new("/b/rootfs/etc/x"));
        assert!(target_in(rootfs, "../x").is_err());
    }
}
