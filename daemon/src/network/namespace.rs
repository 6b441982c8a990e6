//! Network namespaces: made on a thread of their own, pinned to a path, opened again after a restart.
//!
//! A thread that entered another namespace never serves anything else: it opens the sockets that are needed there
//! and ends. A namespace that was not pinned yet dies with its descriptor, so a killed daemon leaves none behind.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;

use dhow_linux::file::PathError;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use super::link;
use super::netlink::{Family, NetlinkError, Socket};

/// Sysctls of a fresh namespace: no address that nobody asked for, and a word to the bridge when a link comes up,
/// so that it forgets who had the address before.
const SYSCTLS: [(&str, &str); 2] =
    [("ipv6/conf/default/disable_ipv6", "1"), ("ipv4/conf/default/arp_notify", "1")];
/// statfs(2) type of the file system of namespaces.
const NSFS_MAGIC: i64 = 0x6e73_6673;

/// A network namespace and a route socket inside it.
#[derive(Debug)]
pub(super) struct Namespace {
    file: File,
    /// Configures links inside.
    pub(super) route: Socket,
}

/// A namespace that could not be made, entered or pinned.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NamespaceError {
    /// The kernel refused.
    #[error("{0} network namespace")]
    Kernel(&'static str, #[source] io::Error),
    /// A path.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Its socket.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
}

impl NamespaceError {
    fn kernel(what: &'static str) -> impl FnOnce(nix::Error) -> Self {
        move |error| Self::Kernel(what, error.into())
    }
}

impl Namespace {
    /// Makes a namespace whose loopback is up.
    pub(super) fn create() -> Result<Self, NamespaceError> {
        on_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).map_err(NamespaceError::kernel("make"))?;
            for (name, value) in SYSCTLS {
                let path = Path::new("/proc/sys/net").join(name);
                match std::fs::write(&path, value) {
                    // A kernel without IPv6 has nothing to switch off.
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(PathError::at("write", &path)(error).into());
                    }
                    _ => {}
                }
            }
            let here = Self::of_this_thread()?;
            here.route.send(&[link::up(link::LOOPBACK)])?;
            Ok(here)
        })
    }

    /// Opens the namespace pinned at `path`.
    pub(super) fn open(path: &Path) -> Result<Self, NamespaceError> {
        let file = File::open(path).map_err(PathError::at("open", path))?;
        on_thread(move || {
            setns(&file, CloneFlags::CLONE_NEWNET).map_err(NamespaceError::kernel("enter"))?;
            Self::of_this_thread()
        })
    }

    /// Runs `work` inside, on a thread of its own: sockets that it opens stay inside.
    pub(super) fn inside<T: Send + 'static>(
        path: &Path,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NamespaceError> {
        let file = File::open(path).map_err(PathError::at("open", path))?;
        on_thread(move || {
            setns(&file, CloneFlags::CLONE_NEWNET).map_err(NamespaceError::kernel("enter"))?;
            Ok(work())
        })
    }

    fn of_this_thread() -> Result<Self, NamespaceError> {
        let path = Path::new("/proc/thread-self/ns/net");
        let file = File::open(path).map_err(PathError::at("open", path))?;
        Ok(Self { file, route: Socket::open(Family::Route)? })
    }

    /// The namespace, for the kernel.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Keeps the namespace alive at `path`, whoever dies.
    pub(super) fn pin(&self, path: &Path) -> Result<(), NamespaceError> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        drop(options.open(path).map_err(PathError::at("create", path))?);
        let source = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        mount(Some(source.as_str()), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .map_err(|error| PathError::at("pin network namespace at", path)(error.into()).into())
    }
}

/// Lets go of the namespace pinned at `path`; it is no error when there is none.
pub(super) fn unpin(path: &Path) -> Result<(), PathError> {
    match umount2(path, MntFlags::MNT_DETACH) {
        Ok(()) | Err(nix::Error::EINVAL | nix::Error::ENOENT) => {}
        Err(error) => return Err(PathError::at("unmount", path)(error.into())),
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(PathError::at("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Whether a namespace is pinned at `path`.
pub(super) fn is_pinned(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|found| found.f_type == NSFS_MAGIC)
}

fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, NamespaceError> + Send + 'static,
) -> Result<T, NamespaceError> {
    let thread = std::thread::Builder::new().name("netns".to_owned()).spawn(work);
    let thread = thread.map_err(|error| NamespaceError::Kernel("start a thread for", error))?;
    thread.join().unwrap_or_else(|_| Err(NamespaceError::Kernel("panic in", io::ErrorKind::Other.into())))
}
