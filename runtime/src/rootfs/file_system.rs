//! New file systems (proc, tmpfs, devpts, overlay …): configured and mounted detached, then moved into place.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use dhow_linux::mount::{ACCESS_TIME, NO_ATIME, READ_ONLY, STRICT_ATIME, move_onto};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags};

use super::target::{Missing, OnProc, clean};
use super::{MountFailure, Options, Rootfs, change_propagation};
use crate::spec::Mount;

/// fsconfig takes no longer values (a page minus nothing would do, but the kernel says 256 with the NUL).
const LONGEST_VALUE: usize = 255;

impl Rootfs<'_> {
    /// Mounts a new file system.
    pub(super) fn mount_file_system(&mut self, mount: &Mount, options: &Options) -> Result<(), MountFailure> {
        let (tmpfs, proc) = (mount.fstype == "tmpfs", mount.fstype == "proc");
        let covers = tmpfs && self.exists(&mount.destination);
        let target = if proc || mount.fstype == "sysfs" {
            self.ordinary_target(&mount.destination, &mount.fstype)?
        } else {
            self.target(&mount.destination, Missing::Folder, OnProc::Refused)?
        };
        if options.remount {
            return remount(&target, options);
        }
        let mut data = options.data.clone();
        if covers {
            // What is covered decides the mode, unless the caller does.
            let mode = rustix::fs::fstat(&target).map_err(MountFailure::call("fstat"))?.st_mode & 0o7777;
            data.insert(0, format!("mode={mode:04o}"));
        }
        if !self.spec.linux.mount_label.is_empty()
            && !proc
            && mount.fstype != "sysfs"
            && mount.fstype != "mqueue"
        {
            data.push(format!("context=\"{}\"", self.spec.linux.mount_label));
        }
        // tmpfs and /dev are still to be filled.
        let late = tmpfs || clean(&mount.destination) == Path::new("/dev");
        let mut attributes = options.own.set;
        if late {
            attributes &= !READ_ONLY;
        }
        let source = if mount.source.is_empty() { &mount.fstype } else { &mount.source };
        if data.iter().any(|option| option.len() > LONGEST_VALUE) {
            return mount_by_path(source, &target, &mount.fstype, attributes, &data);
        }
        let made = make(&mount.fstype, source, &data, &options.super_block, attributes)?;
        if options.copy_up {
            super::copy_up::copy(&target, &made)
                .map_err(|error| MountFailure::CopyUp(mount.destination.clone(), error))?;
        }
        move_onto(&made, &target).map_err(MountFailure::call("move_mount"))?;
        for (flags, depth) in &options.propagation {
            change_propagation(made.as_fd(), *flags, *depth)
                .map_err(MountFailure::call("change mount propagation"))?;
        }
        if late && options.own.set & READ_ONLY != 0 {
            self.late_read_only.push(made);
        }
        Ok(())
    }
}

/// A detached mount of a new file system; `attributes` are `MOUNT_ATTR_*` bits.
pub(super) fn make(
    fstype: &str,
    source: &str,
    data: &[String],
    super_block: &[&str],
    attributes: u64,
) -> Result<OwnedFd, MountFailure> {
    let context =
        rustix::mount::fsopen(fstype, FsOpenFlags::FSOPEN_CLOEXEC).map_err(MountFailure::call("fsopen"))?;
    let configure = || -> rustix::io::Result<()> {
        rustix::mount::fsconfig_set_string(context.as_fd(), "source", source)?;
        for flag in super_block {
            match rustix::mount::fsconfig_set_flag(context.as_fd(), *flag) {
                // mount(2) takes this one for every file system; here only those know it that count versions.
                Err(Errno::INVAL) if *flag == "iversion" => {}
                other => other?,
            }
        }
        // A pseudo file system is shared by all its mounts: being read-only is a matter of the mount. A real one
        // must not even be recovered.
        if attributes & READ_ONLY != 0 && source.starts_with('/') {
            rustix::mount::fsconfig_set_flag(context.as_fd(), "ro")?;
        }
        for option in data {
            match option.split_once('=') {
                Some((key, value)) => {
                    rustix::mount::fsconfig_set_string(context.as_fd(), key, value.trim_matches('"'))?;
                }
                None => rustix::mount::fsconfig_set_flag(context.as_fd(), option.as_str())?,
            }
        }
        rustix::mount::fsconfig_create(context.as_fd())
    };
    configure().map_err(MountFailure::call("mount"))?;
    let attributes = MountAttrFlags::from_bits_retain(u32::try_from(attributes).unwrap_or_default());
    rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        .map_err(MountFailure::call("fsmount"))
}

/// mount(2), for options that fsconfig cannot take (an overlay of many layers), still onto a descriptor.
fn mount_by_path(
    source: &str,
    target: &OwnedFd,
    fstype: &str,
    attributes: u64,
    data: &[String],
) -> Result<(), MountFailure> {
    let flags = flags(attributes);
    let data = CString::new(data.join(",")).map_err(|error| MountFailure::Call("mount", error.into()))?;
    let path = format!("/proc/self/fd/{}", target.as_raw_fd());
    rustix::mount::mount(source, path, fstype, flags, Some(data.as_c_str()))
        .map_err(MountFailure::call("mount"))
}

/// Changes a mount and its file system, as an entry with the option `remount` asks for.
fn remount(target: &OwnedFd, options: &Options) -> Result<(), MountFailure> {
    let mut flags = flags(options.own.set);
    for word in &options.super_block {
        flags |= match *word {
            "sync" => MountFlags::SYNCHRONOUS,
            "dirsync" => MountFlags::DIRSYNC,
            "lazytime" => MountFlags::LAZYTIME,
            _ => MountFlags::empty(),
        };
    }
    let data = options.data.join(",");
    let data = CString::new(data).map_err(|error| MountFailure::Call("remount", error.into()))?;
    let path = format!("/proc/self/fd/{}", target.as_raw_fd());
    rustix::mount::mount_remount(path, flags, data.as_c_str()).map_err(MountFailure::call("remount"))
}

/// Attributes of a mount as mount(2) has them: the low bits are the same, access time is not.
fn flags(attributes: u64) -> MountFlags {
    let flags = MountFlags::from_bits_retain(u32::try_from(attributes & 0xf).unwrap_or_default());
    flags
        | match attributes & ACCESS_TIME {
            NO_ATIME => MountFlags::NOATIME,
            STRICT_ATIME => MountFlags::STRICTATIME,
            _ => MountFlags::RELATIME,
        }
}
