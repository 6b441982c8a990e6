//! The mounts of a container's rootfs, as the supervisor's snapshotter gives them.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use dhow_proto::containerd::types::Mount;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rustix::fs::{FsWord, Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags};

/// The most bytes of data that mount(2) takes: a page, with the zero at its end.
const DATA_LIMIT: usize = 4095;

/// What statfs(2) calls overlayfs.
const OVERLAY: FsWord = 0x794c_7630;

/// Why a rootfs could not be put together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MountError {
    #[error("mount {fstype} {origin} at {target}")]
    Mount { fstype: String, origin: String, target: PathBuf, source: Errno },
    #[error("mount target {0:?} leads out of the rootfs")]
    Target(String),
    #[error("mount option {0:?} is not supported")]
    Option(String),
    #[error("unmount {target}")]
    Unmount { target: PathBuf, source: Errno },
}

/// Mount options, sorted into flags and what the file system itself reads.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    flags: MsFlags,
    propagation: MsFlags,
    data: Vec<String>,
}

impl Options {
    fn parse(options: &[String]) -> Result<Self, MountError> {
        let mut parsed = Self { flags: MsFlags::empty(), propagation: MsFlags::empty(), data: Vec::new() };
        for option in options {
            match flag(option) {
                Some((flag, true)) => parsed.flags |= flag,
                Some((flag, false)) => parsed.flags &= !flag,
                None => match propagation(option) {
                    Some(flag) => parsed.propagation |= flag,
                    None if option == "loop"
                        || option.starts_with("uidmap=")
                        || option.starts_with("gidmap=") =>
                    {
                        return Err(MountError::Option(option.clone()));
                    }
                    None if option == "defaults" || option.starts_with("X-containerd.") => {}
                    None => parsed.data.push(option.clone()),
                },
            }
        }
        Ok(parsed)
    }
}

/// The flag of a word, and whether the word sets or clears it.
fn flag(option: &str) -> Option<(MsFlags, bool)> {
    Some(match option {
        "ro" => (MsFlags::MS_RDONLY, true),
        "rw" => (MsFlags::MS_RDONLY, false),
        "bind" => (MsFlags::MS_BIND, true),
        "rbind" => (MsFlags::MS_BIND.union(MsFlags::MS_REC), true),
        "nosuid" => (MsFlags::MS_NOSUID, true),
        "suid" => (MsFlags::MS_NOSUID, false),
        "nodev" => (MsFlags::MS_NODEV, true),
        "dev" => (MsFlags::MS_NODEV, false),
        "noexec" => (MsFlags::MS_NOEXEC, true),
        "exec" => (MsFlags::MS_NOEXEC, false),
        "sync" => (MsFlags::MS_SYNCHRONOUS, true),
        "async" => (MsFlags::MS_SYNCHRONOUS, false),
        "dirsync" => (MsFlags::MS_DIRSYNC, true),
        "mand" => (MsFlags::MS_MANDLOCK, true),
        "nomand" => (MsFlags::MS_MANDLOCK, false),
        "noatime" => (MsFlags::MS_NOATIME, true),
        "atime" => (MsFlags::MS_NOATIME, false),
        "nodiratime" => (MsFlags::MS_NODIRATIME, true),
        "diratime" => (MsFlags::MS_NODIRATIME, false),
        "relatime" => (MsFlags::MS_RELATIME, true),
        "norelatime" => (MsFlags::MS_RELATIME, false),
        "strictatime" => (MsFlags::MS_STRICTATIME, true),
        "nostrictatime" => (MsFlags::MS_STRICTATIME, false),
        "remount" => (MsFlags::MS_REMOUNT, true),
        _ => return None,
    })
}

fn propagation(option: &str) -> Option<MsFlags> {
    let recursive = MsFlags::MS_REC;
    Some(match option {
        "private" => MsFlags::MS_PRIVATE,
        "rprivate" => MsFlags::MS_PRIVATE | recursive,
        "shared" => MsFlags::MS_SHARED,
        "rshared" => MsFlags::MS_SHARED | recursive,
        "slave" => MsFlags::MS_SLAVE,
        "rslave" => MsFlags::MS_SLAVE | recursive,
        "unbindable" => MsFlags::MS_UNBINDABLE,
        "runbindable" => MsFlags::MS_UNBINDABLE | recursive,
        _ => return None,
    })
}

/// Mounts all of `mounts` in order at `rootfs`; when one fails, none stays.
pub(crate) fn mount_all(mounts: &[Mount], rootfs: &Path) -> Result<(), MountError> {
    for one in mounts {
        let mounted = target_in(rootfs, &one.target).and_then(|target| mount_one(one, &target));
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

fn mount_one(one: &Mount, target: &Path) -> Result<(), MountError> {
    let mut options = Options::parse(&one.options)?;
    let failed = |source| MountError::Mount {
        fstype: one.r#type.clone(),
        origin: one.source.clone(),
        target: target.to_owned(),
        source,
    };
    if one.r#type == "bind" || one.r#type == "rbind" {
        options.flags |= MsFlags::MS_BIND;
    }
    let data = options.data.join(",");
    if data.len() > DATA_LIMIT && one.r#type == "overlay" {
        mount_long_overlay(&options, target).map_err(failed)?;
    } else {
        let data = Some(data.as_str()).filter(|data| !data.is_empty());
        let fstype = Some(one.r#type.as_str()).filter(|_| !options.flags.contains(MsFlags::MS_BIND));
        mount(Some(one.source.as_str()), target, fstype, options.flags, data).map_err(failed)?;
    }
    // A bind mount takes its flags only from a second call.
    let extra = options.flags - (MsFlags::MS_BIND | MsFlags::MS_REC);
    if options.flags.contains(MsFlags::MS_BIND) && !extra.is_empty() {
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | extra;
        mount(None::<&str>, target, None::<&str>, flags, None::<&str>).map_err(failed)?;
    }
    if !options.propagation.is_empty() {
        mount(None::<&str>, target, None::<&str>, options.propagation, None::<&str>).map_err(failed)?;
    }
    Ok(())
}

/// Mounts an overlay whose options are too long for mount(2), a layer at a time (kernel 6.5).
fn mount_long_overlay(options: &Options, target: &Path) -> Result<(), Errno> {
    let errno = |error: rustix::io::Errno| Errno::from_raw(error.raw_os_error());
    let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(errno)?;
    for option in &options.data {
        match option.split_once('=') {
            Some(("lowerdir", layers)) => {
                for layer in layers.split(':') {
                    rustix::mount::fsconfig_set_string(&context, "lowerdir+", layer).map_err(errno)?;
                }
            }
            Some((name, value)) => {
                rustix::mount::fsconfig_set_string(&context, name, value).map_err(errno)?
            }
            None => rustix::mount::fsconfig_set_flag(&context, option.as_str()).map_err(errno)?,
        }
    }
    if options.flags.contains(MsFlags::MS_RDONLY) {
        rustix::mount::fsconfig_set_flag(&context, "ro").map_err(errno)?;
    }
    rustix::mount::fsconfig_create(&context).map_err(errno)?;
    let mounted = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes(options.flags));
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(mounted.map_err(errno)?, "", rustix::fs::CWD, target, flags).map_err(errno)
}

fn attributes(flags: MsFlags) -> MountAttrFlags {
    [
        (MsFlags::MS_RDONLY, MountAttrFlags::MOUNT_ATTR_RDONLY),
        (MsFlags::MS_NOSUID, MountAttrFlags::MOUNT_ATTR_NOSUID),
        (MsFlags::MS_NODEV, MountAttrFlags::MOUNT_ATTR_NODEV),
        (MsFlags::MS_NOEXEC, MountAttrFlags::MOUNT_ATTR_NOEXEC),
        (MsFlags::MS_NOATIME, MountAttrFlags::MOUNT_ATTR_NOATIME),
        (MsFlags::MS_NODIRATIME, MountAttrFlags::MOUNT_ATTR_NODIRATIME),
    ]
    .into_iter()
    .filter(|(flag, _)| flags.contains(*flag))
    .fold(MountAttrFlags::empty(), |all, (_, attribute)| all | attribute)
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

    fn options(text: &str) -> Result<Options, MountError> {
        Options::parse(&text.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_sorted() {
        let parsed = options("rbind ro nosuid rw rslave lowerdir=/a:/b index=off").expect("known options");
        assert_eq!(parsed.flags, MsFlags::MS_BIND | MsFlags::MS_REC | MsFlags::MS_NOSUID);
        assert_eq!(parsed.propagation, MsFlags::MS_SLAVE | MsFlags::MS_REC);
        assert_eq!(parsed.data, ["lowerdir=/a:/b", "index=off"]);
        assert!(matches!(options("loop"), Err(MountError::Option(_))));
    }

    #[test]
    fn a_target_stays_inside() {
        let rootfs = Path::new("/b/rootfs");
        assert_eq!(target_in(rootfs, "").expect("the rootfs itself"), rootfs);
        assert_eq!(target_in(rootfs, "/etc/x").expect("inside"), Path::new("/b/rootfs/etc/x"));
        assert!(target_in(rootfs, "../x").is_err());
    }
}
