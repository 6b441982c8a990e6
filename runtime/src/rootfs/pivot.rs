//! The change of root, and the first things done inside.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use dhow_linux::mount::Depth;
use rustix::fs::{FileType, Mode, OFlags, makedev};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount_change, unmount};

use super::{Entrance, Rootfs, RootfsError, change_propagation, propagation};

impl Rootfs<'_> {
    /// Makes the root the root.
    pub(crate) fn enter(&self, entrance: Entrance) -> Result<(), RootfsError> {
        rustix::process::fchdir(&self.root).map_err(RootfsError::step("chdir to rootfs"))?;
        match entrance {
            Entrance::Pivot => pivot()?,
            Entrance::Move => self.move_root()?,
            Entrance::Chroot => change_root()?,
        }
        // Private and slave were set on everything at the start; shared is the new root's own.
        self.propagate(MountPropagationFlags::SHARED)
    }

    /// Makes the root unbindable, when it shall be: nothing can be made of its mounts any more.
    pub(crate) fn forbid_binding(&self) -> Result<(), RootfsError> {
        self.propagate(MountPropagationFlags::UNBINDABLE)
    }

    /// Changes the propagation of the root when `kind` was asked for.
    fn propagate(&self, kind: MountPropagationFlags) -> Result<(), RootfsError> {
        match propagation(&self.spec.linux.rootfs_propagation) {
            Some((flags, depth)) if flags == u64::from(kind.bits()) => {
                change_propagation(self.root.as_fd(), flags, depth)
                    .map_err(RootfsError::step("unable to apply root propagation flags"))
            }
            _ => Ok(()),
        }
    }

    /// `--no-pivot`: first takes the host's proc and sysfs away, which stay reachable below a moved root and would
    /// allow unmasked ones to be mounted.
    fn move_root(&self) -> Result<(), RootfsError> {
        let table =
            std::fs::read_to_string("/proc/self/mountinfo").map_err(RootfsError::step("read mountinfo"))?;
        let points = table.lines().filter_map(|line| {
            let (mount, system) = line.split_once(" - ")?;
            let mut fields = mount.split(' ').skip(3);
            let (inner, point) = (fields.next()?, fields.next()?);
            let full = inner == "/" && (system.starts_with("proc ") || system.starts_with("sysfs "));
            (full && !Path::new(point).starts_with(&self.path)).then_some(point)
        });
        for point in points.collect::<Vec<_>>() {
            let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
            match mount_change(point, flags) {
                // Gone together with a mount above it.
                Err(Errno::NOENT) => continue,
                other => other.map_err(RootfsError::path("make slave", point))?,
            }
            if let Err(error) = unmount(point, UnmountFlags::DETACH) {
                if !matches!(error, Errno::INVAL | Errno::PERM) {
                    return Err(RootfsError::path("unmount", point)(error));
                }
                rustix::mount::mount("tmpfs", point, "tmpfs", MountFlags::empty(), None)
                    .map_err(RootfsError::path("cover", point))?;
            }
        }
        rustix::mount::mount_move(&self.path, "/").map_err(RootfsError::step("move rootfs to /"))?;
        change_root()
    }

    /// Makes the working directory; the root is already the container's.
    pub(crate) fn make_cwd(&self, cwd: &str) -> Result<(), RootfsError> {
        dhow_linux::path::make_folders_in(self.root.as_fd(), Path::new(cwd), 0o755)
            .map(drop)
            .map_err(RootfsError::path("mkdir", cwd))
    }

    /// Replaces the host's `/dev/null` at 0, 1 and 2 by the container's.
    pub(crate) fn reopen_null(&self) -> Result<(), RootfsError> {
        let host: Vec<i32> = (0..3).filter(|number| is_null_descriptor(*number)).collect();
        if host.is_empty() {
            return Ok(());
        }
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(RootfsError::step("error reopening /dev/null inside container"))?;
        verify_null(&null)?;
        for number in host {
            dhow_linux::descriptor::replace(number, &null)
                .map_err(RootfsError::step("error reopening /dev/null inside container"))?;
        }
        Ok(())
    }
}

/// pivot_root(".", "."): the old root ends up below the new one, reachable only through its descriptor, and is
/// detached.
fn pivot() -> Result<(), RootfsError> {
    let old = rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(RootfsError::step("open old root"))?;
    rustix::process::pivot_root(".", ".").map_err(RootfsError::step("pivot_root"))?;
    rustix::process::fchdir(&old).map_err(RootfsError::step("chdir to old root"))?;
    // So that the unmount does not reach the host; not private, which would keep the host's own unmounts out.
    let slave = u64::from(MountPropagationFlags::DOWNSTREAM.bits());
    change_propagation(old.as_fd(), slave, Depth::Tree)
        .map_err(RootfsError::step("make old root a slave"))?;
    unmount(".", UnmountFlags::DETACH).map_err(RootfsError::step("unmount old root"))?;
    rustix::process::chdir("/").map_err(RootfsError::step("chdir /"))
}

fn change_root() -> Result<(), RootfsError> {
    rustix::process::chroot(".").map_err(RootfsError::step("chroot"))?;
    rustix::process::chdir("/").map_err(RootfsError::step("chdir /"))
}

fn is_null(stat: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == makedev(1, 3)
}

fn is_null_descriptor(number: i32) -> bool {
    let stat = match number {
        0 => rustix::fs::fstat(std::io::stdin()),
        1 => rustix::fs::fstat(std::io::stdout()),
        _ => rustix::fs::fstat(std::io::stderr()),
    };
    stat.is_ok_and(|stat| is_null(&stat))
}

/// Refuses a `/dev/null` of the image that is something else (CVE-2025-31133).
pub(super) fn verify_null(null: &OwnedFd) -> Result<(), RootfsError> {
    let stat = rustix::fs::fstat(null).map_err(RootfsError::step("fstat /dev/null"))?;
    if is_null(&stat) { Ok(()) } else { Err(RootfsError::FalseNull) }
}
