//! Writes to `/proc` on the container's behalf: sysctls and security labels.
//!
//! Through a procfs of our own that nobody else can reach, not through the container's: there a mount or a link of the
//! image could redirect the write (CVE-2025-52881).

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Access, AtFlags, Mode, OFlags, ResolveFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use super::{InitError, Setup, Task};

/// A procfs, when there is something to write.
#[derive(Debug)]
pub(super) struct Proc(Option<OwnedFd>);

impl Proc {
    /// For a new container, in its PID namespace.
    pub(super) fn open(setup: &Setup<'_>) -> Result<Self, InitError> {
        let needed = !setup.spec.linux.sysctl.is_empty() || has_label(&setup.task);
        Self::new(needed)
    }

    /// For an exec, while the host's procfs is still in reach.
    pub(super) fn for_exec(task: &Task<'_>) -> Result<Self, InitError> {
        Self::new(has_label(task))
    }

    fn new(needed: bool) -> Result<Self, InitError> {
        needed.then(mount).transpose().map(Self).map_err(InitError::step("open a private procfs"))
    }

    /// The way to it.
    pub(super) fn handle(&self) -> Option<&OwnedFd> {
        self.0.as_ref()
    }

    /// Sets kernel parameters of the container's namespaces.
    pub(super) fn write_sysctls(&self, sysctls: &BTreeMap<String, String>) -> Result<(), InitError> {
        for (name, value) in sysctls {
            let path = format!("sys/{}", crate::validate::sysctl_path(name));
            self.write(&path, value).map_err(InitError::step(format!("write sysctl key {name}")))?;
        }
        Ok(())
    }

    /// Makes the next exec switch to the security labels of the process.
    pub(super) fn label(&self, task: &Task<'_>) -> Result<(), InitError> {
        let profile = &task.process.apparmor_profile;
        if !profile.is_empty() {
            // The module's own file where there is one: the shared one belongs to whichever module is the first.
            let text = format!("exec {profile}");
            let (file, written) = match self.write("self/attr/apparmor/exec", &text) {
                // A profile that is not loaded is "not found" as well, but then the file is there.
                Err(error)
                    if error.kind() == io::ErrorKind::NotFound && !self.has("self/attr/apparmor/exec") =>
                {
                    ("exec", self.write("self/attr/exec", &text))
                }
                other => ("apparmor/exec", other),
            };
            written.map_err(InitError::step(format!(
                "unable to apply apparmor profile: apparmor failed to apply profile: write /proc/thread-self/attr/{file}"
            )))?;
        }
        let label = &task.process.selinux_label;
        if !label.is_empty() {
            self.write("self/attr/exec", label).map_err(InitError::step("can't set process label"))?;
        }
        Ok(())
    }

    fn has(&self, path: &str) -> bool {
        let exists =
            |proc: &OwnedFd| rustix::fs::accessat(proc, path, Access::EXISTS, AtFlags::empty()).is_ok();
        self.0.as_ref().is_some_and(exists)
    }

    fn write(&self, path: &str, value: &str) -> io::Result<()> {
        let proc = self.0.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let file = rustix::fs::openat2(
            proc.as_fd(),
            Path::new(path),
            OFlags::WRONLY | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV,
        )?;
        rustix::io::write(&file, value.as_bytes()).map(drop).map_err(Into::into)
    }
}

fn has_label(task: &Task<'_>) -> bool {
    !task.process.apparmor_profile.is_empty() || !task.process.selinux_label.is_empty()
}

fn mount() -> io::Result<OwnedFd> {
    let context = rustix::mount::fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC
        | MountAttrFlags::MOUNT_ATTR_NOSUID;
    rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(Into::into)
}
