//! Where a mount goes: a path of the spec becomes a descriptor inside the root, made when missing.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use dhow_linux::path::{make_file_in, make_folders_in, open_in};
use rustix::fs::{FileType, OFlags};

use super::{MountFailure, Rootfs};

/// Entries of `/proc` that may be covered: lxcfs emulates them.
const COVERABLE: [&str; 10] = [
    "cpuinfo",
    "diskstats",
    "meminfo",
    "stat",
    "swaps",
    "uptime",
    "loadavg",
    "slabinfo",
    "sys/kernel/ns_last_pid",
    "sys/crypto/fips_enabled",
];

/// What is made where nothing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// A directory.
    Folder,
    /// An empty file: the source of a bind mount is one.
    File,
}

/// Whether proc may be mounted over, which depends on what is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnProc {
    /// proc itself, or a bind of one.
    Allowed,
    /// Anything else.
    Refused,
}

/// `path` as an absolute path without `.`, `..` and doubled slashes.
pub(crate) fn clean(path: &str) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    clean
}

impl Rootfs<'_> {
    /// The path of a destination relative to the root. Some callers give it with the root's own path in front.
    fn inner<'p>(&self, destination: &'p str) -> &'p Path {
        let path = Path::new(destination);
        path.strip_prefix(&self.path).unwrap_or(path)
    }

    /// Whether there is anything at a destination.
    pub(super) fn exists(&self, destination: &str) -> bool {
        open_in(self.root.as_fd(), self.inner(destination), OFlags::PATH).is_ok()
    }

    /// Opens the target of a mount, making it when it is missing.
    pub(super) fn target(
        &self,
        destination: &str,
        missing: Missing,
        proc: OnProc,
    ) -> Result<OwnedFd, MountFailure> {
        let inner = self.inner(destination);
        let target = match open_in(self.root.as_fd(), inner, OFlags::PATH) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => match missing {
                Missing::Folder => make_folders_in(self.root.as_fd(), inner, 0o755),
                Missing::File => make_file_in(self.root.as_fd(), inner, 0o644),
            }
            .map_err(MountFailure::call("create mountpoint"))?,
            other => other.map_err(MountFailure::call("lookup mountpoint"))?,
        };
        self.check(&target, proc)?;
        Ok(target)
    }

    /// Opens the target of proc or sysfs: a directory that is really there, not what a link makes of it.
    pub(super) fn ordinary_target(&self, destination: &str, fstype: &str) -> Result<OwnedFd, MountFailure> {
        let inner = self.inner(destination);
        match open_in(self.root.as_fd(), inner, OFlags::PATH | OFlags::NOFOLLOW) {
            Ok(found) => {
                let stat = rustix::fs::fstat(&found).map_err(MountFailure::call("fstat"))?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                    return Err(MountFailure::NotOrdinary(fstype.to_owned()));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(MountFailure::Call("lookup mountpoint", error)),
        }
        let on_proc = if fstype == "proc" { OnProc::Allowed } else { OnProc::Refused };
        self.target(destination, Missing::Folder, on_proc)
    }

    /// Refuses targets that would undo the container's own protections.
    fn check(&self, target: &OwnedFd, proc: OnProc) -> Result<(), MountFailure> {
        let shown = shown_path(target).map_err(MountFailure::call("readlink of the mountpoint"))?;
        let inner = shown.strip_prefix(&self.path).map_err(|_| MountFailure::Outside {
            target: shown.display().to_string(),
            root: self.path.display().to_string(),
        })?;
        let text = || shown.display().to_string();
        if inner.as_os_str().is_empty() {
            return Err(MountFailure::OnRoot(text()));
        }
        match inner.strip_prefix("proc") {
            Ok(rest) if rest.as_os_str().is_empty() && proc == OnProc::Refused => {
                Err(MountFailure::NotProc(text()))
            }
            Ok(rest)
                if !rest.as_os_str().is_empty()
                    && !COVERABLE.iter().any(|known| rest == Path::new(known)) =>
            {
                Err(MountFailure::InsideProc(text()))
            }
            _ => Ok(()),
        }
    }
}

/// The path that the kernel shows for a descriptor. Used before the change of root, through the host's `/proc`.
fn shown_path(opened: &OwnedFd) -> io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", opened.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaning_never_leaves_the_root() {
        assert_eq!(clean("/dev/"), Path::new("/dev"));
        assert_eq!(clean("dev/./x/..//"), Path::new("/dev"));
        assert_eq!(clean("/../../etc"), Path::new("/etc"));
    }
}
