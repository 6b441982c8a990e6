//! Mounts in the words of fstab(5): type, source and options, as containerd's snapshotters give them.
//!
//! Beside the usual words, `loop` puts a file on a loop device, and `uidmap=` with `gidmap=` (`inside:outside:count`,
//! separated by commas) shows the files with mapped owners: a bind mount's own, or an overlay's lower directories.
//! Options that are longer than mount(2) takes are given one by one.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount as mount_call, umount2};
use rustix::fs::CWD;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags};

use crate::mount::{Attributes, Depth, clone_tree, map_owners, set_attributes};
use crate::{loop_device, user_namespace};

/// The most bytes of data that mount(2) takes: a page, with the zero at its end.
const DATA_LIMIT: usize = 4095;

/// Why something was not mounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The kernel refused.
    #[error("mount {fstype} {origin} at {target}")]
    Mount {
        /// The type.
        fstype: String,
        /// The source.
        origin: String,
        /// Where.
        target: PathBuf,
        /// The kernel's answer.
        source: Errno,
    },
    /// An option does not fit this mount.
    #[error("mount option {0:?} is not supported")]
    Option(String),
    /// There is no loop device to be had.
    #[error("attach {path} to a loop device")]
    Loop {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Owners cannot be mapped.
    #[error("map owners by {map}")]
    Map {
        /// The option.
        map: String,
        /// The kernel's answer.
        source: std::io::Error,
    },
}

/// Mount options, sorted into flags and what the file system itself reads.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    flags: MsFlags,
    propagation: MsFlags,
    data: Vec<String>,
    on_loop: bool,
    users: Option<String>,
    groups: Option<String>,
}

impl Options {
    fn parse(options: &[String]) -> Self {
        let (flags, propagation) = (MsFlags::empty(), MsFlags::empty());
        let mut parsed =
            Self { flags, propagation, data: Vec::new(), on_loop: false, users: None, groups: None };
        for option in options {
            if let Some((flag, set)) = flag(option) {
                parsed.flags.set(flag, set);
            } else if let Some(flag) = self::propagation(option) {
                parsed.propagation |= flag;
            } else if option == "loop" {
                parsed.on_loop = true;
            } else if let Some(map) = option.strip_prefix("uidmap=") {
                parsed.users = Some(map.to_owned());
            } else if let Some(map) = option.strip_prefix("gidmap=") {
                parsed.groups = Some(map.to_owned());
            } else if option != "defaults" && !option.starts_with("X-containerd.") {
                parsed.data.push(option.clone());
            }
        }
        parsed
    }

    /// The user namespace that maps owners, if they are to be mapped.
    fn mapping(&self) -> Result<Option<OwnedFd>, MountError> {
        match (&self.users, &self.groups) {
            (None, None) => Ok(None),
            (Some(users), Some(groups)) => {
                let failed = |map: &str, source| MountError::Map { map: map.to_owned(), source };
                let lines = |map: &str| {
                    id_map(map).ok_or_else(|| failed(map, std::io::ErrorKind::InvalidInput.into()))
                };
                let (uids, gids) = (lines(users)?, lines(groups)?);
                user_namespace::mapped(&uids, &gids).map(Some).map_err(|source| failed(users, source))
            }
            (Some(map), None) | (None, Some(map)) => Err(MountError::Option(map.clone())),
        }
    }
}

/// `inside:outside:count,...` as the lines of `/proc/PID/uid_map`.
fn id_map(map: &str) -> Option<String> {
    let mut lines = String::new();
    for range in map.split(',') {
        let numbers: Vec<u32> = range.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
        let [inside, outside, count] = numbers[..] else { return None };
        lines.push_str(&format!("{inside} {outside} {count}\n"));
    }
    Some(lines)
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

/// Mounts `origin` of type `fstype` with `options` at `target`; a failure leaves nothing mounted.
///
/// # Errors
/// What the kernel refuses.
pub fn mount(fstype: &str, origin: &str, options: &[String], target: &Path) -> Result<(), MountError> {
    let mut options = Options::parse(options);
    if fstype == "bind" || fstype == "rbind" {
        options.flags |= MsFlags::MS_BIND;
    }
    let failed = |source| MountError::Mount {
        fstype: fstype.to_owned(),
        origin: origin.to_owned(),
        target: target.to_owned(),
        source,
    };
    // The device is the mount's alone once it is mounted: the kernel detaches it with the mount.
    let device = match options.on_loop {
        true => {
            let read_only = options.flags.contains(MsFlags::MS_RDONLY);
            let attached = loop_device::attach(Path::new(origin), read_only);
            Some(attached.map_err(|source| MountError::Loop { path: origin.to_owned(), source })?)
        }
        false => None,
    };
    let source = device.as_ref().map_or_else(|| Path::new(origin), |device| &device.path);
    let mapping = options.mapping()?;
    let long = options.data.iter().map(|option| option.len() + 1).sum::<usize>() > DATA_LIMIT;
    match mapping {
        Some(mapping) if options.flags.contains(MsFlags::MS_BIND) => {
            bind_mapped(source, &options, &mapping, target).map_err(failed)?;
        }
        mapping if fstype == "overlay" && (long || mapping.is_some()) => {
            overlay(&options, mapping.as_ref(), target).map_err(failed)?;
        }
        Some(_) => return Err(MountError::Option("uidmap".to_owned())),
        None => plain(fstype, source, &options, target).map_err(failed)?,
    }
    if !options.propagation.is_empty() {
        mount_call(None::<&str>, target, None::<&str>, options.propagation, None::<&str>)
            .map_err(undone(target))
            .map_err(failed)?;
    }
    Ok(())
}

fn plain(fstype: &str, source: &Path, options: &Options, target: &Path) -> Result<(), Errno> {
    let data = options.data.join(",");
    let data = Some(data.as_str()).filter(|data| !data.is_empty());
    let fstype = Some(fstype).filter(|_| !options.flags.contains(MsFlags::MS_BIND));
    mount_call(Some(source), target, fstype, options.flags, data)?;
    // A bind mount takes its flags only from a second call.
    let extra = options.flags - (MsFlags::MS_BIND | MsFlags::MS_REC);
    if options.flags.contains(MsFlags::MS_BIND) && !extra.is_empty() {
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | extra;
        mount_call(None::<&str>, target, None::<&str>, flags, None::<&str>).map_err(undone(target))?;
    }
    Ok(())
}

/// Takes the mount at `target` away, of which a later step failed.
fn undone(target: &Path) -> impl FnOnce(Errno) -> Errno {
    move |error| {
        // The first failure is the one to tell.
        let _ = umount2(target, MntFlags::MNT_DETACH);
        error
    }
}

/// Binds `source` with the owners that `mapping` gives its files.
fn bind_mapped(source: &Path, options: &Options, mapping: &OwnedFd, target: &Path) -> Result<(), Errno> {
    let depth = if options.flags.contains(MsFlags::MS_REC) { Depth::Tree } else { Depth::One };
    let tree = clone_tree(CWD, source, depth).map_err(code)?;
    map_owners(tree.as_fd(), mapping.as_fd(), depth).map_err(code)?;
    let set = u64::from(attributes(options.flags).bits());
    set_attributes(tree.as_fd(), Attributes { set, ..Attributes::default() }, Depth::One).map_err(code)?;
    attach(&tree, target)
}

/// Mounts an overlay option by option and layer by layer (Linux 6.5), its lower directories mapped (6.15).
fn overlay(options: &Options, mapping: Option<&OwnedFd>, target: &Path) -> Result<(), Errno> {
    let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(errno)?;
    // A detached mount ends with its descriptor, and the kernel takes its copy when the overlay is created.
    let mut trees = Vec::new();
    for option in &options.data {
        match option.split_once('=') {
            Some(("lowerdir", layers)) => {
                for layer in layers.split(':') {
                    let added = match mapping {
                        Some(mapping) => {
                            let tree = clone_tree(CWD, Path::new(layer), Depth::One).map_err(code)?;
                            map_owners(tree.as_fd(), mapping.as_fd(), Depth::One).map_err(code)?;
                            let added = rustix::mount::fsconfig_set_fd(&context, "lowerdir+", &tree);
                            trees.push(tree);
                            added
                        }
                        None => rustix::mount::fsconfig_set_string(&context, "lowerdir+", layer),
                    };
                    added.map_err(errno)?;
                }
            }
            Some((name, value)) => {
                rustix::mount::fsconfig_set_string(&context, name, value).map_err(errno)?;
            }
            None => rustix::mount::fsconfig_set_flag(&context, option.as_str()).map_err(errno)?,
        }
    }
    if options.flags.contains(MsFlags::MS_RDONLY) {
        rustix::mount::fsconfig_set_flag(&context, "ro").map_err(errno)?;
    }
    rustix::mount::fsconfig_create(&context).map_err(errno)?;
    let mounted = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes(options.flags));
    attach(&mounted.map_err(errno)?, target)
}

/// Whether overlays with mapped lower directories can be mounted: tried on the empty directories `lower`, `upper` and
/// `work` of one file system, and mounted nowhere.
#[must_use]
pub fn maps_overlays(lower: &Path, upper: &Path, work: &Path) -> bool {
    let attempt = || {
        let mapping = user_namespace::mapped("0 1 1\n", "0 1 1\n").map_err(code)?;
        let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(errno)?;
        let tree = clone_tree(CWD, lower, Depth::One).map_err(code)?;
        map_owners(tree.as_fd(), mapping.as_fd(), Depth::One).map_err(code)?;
        rustix::mount::fsconfig_set_fd(&context, "lowerdir+", &tree).map_err(errno)?;
        for (name, path) in [("upperdir", upper), ("workdir", work)] {
            rustix::mount::fsconfig_set_string(&context, name, path).map_err(errno)?;
        }
        rustix::mount::fsconfig_create(&context).map_err(errno)
    };
    attempt().is_ok()
}

fn attach(mount: &OwnedFd, target: &Path) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(mount, "", CWD, target, flags).map_err(errno)
}

fn errno(error: rustix::io::Errno) -> Errno {
    Errno::from_raw(error.raw_os_error())
}

fn code(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or_default())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Options {
        Options::parse(&text.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_sorted() {
        let parsed = options("rbind ro nosuid rw rslave lowerdir=/a:/b index=off loop X-containerd.x=y");
        assert_eq!(parsed.flags, MsFlags::MS_BIND | MsFlags::MS_REC | MsFlags::MS_NOSUID);
        assert_eq!(parsed.propagation, MsFlags::MS_SLAVE | MsFlags::MS_REC);
        assert_eq!(parsed.data, ["lowerdir=/a:/b", "index=off"]);
        assert!(parsed.on_loop);
    }

    #[test]
    fn maps_come_in_pairs_of_ranges() {
        assert_eq!(id_map("0:1000:1,1:100000:65535").as_deref(), Some("0 1000 1\n1 100000 65535\n"));
        for wrong in ["", "0:1", "0:1:-1", "0:1:2:3", "a:b:c"] {
            assert_eq!(id_map(wrong), None, "{wrong}");
        }
        assert!(matches!(options("uidmap=0:1:1").mapping(), Err(MountError::Option(_))));
    }
}
