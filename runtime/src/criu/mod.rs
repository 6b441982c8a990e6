//! Checkpoint and restore: the runtime's half of a conversation with CRIU, which does the work.
//!
//! ```text
//! dump      container → options, external mounts and namespaces → `criu swrk` ⇄ notifications → images
//! restore   images → options → `criu swrk` ⇄ notifications → the first process, our child (`launch::restore`)
//! ```
//! What the images hold is CRIU's; ours is one file beside them, `descriptors.json`: what the standard streams of the
//! container were, so that a restore can put the new caller's in their place.
//!
//! Owns: the wire ([`wire`], [`request`]), the process ([`service`]), and which mounts and namespaces are not part of
//! an image ([`external`]). Does not own: the container around a restored process (`launch`).

mod dump;
mod external;
mod journal;
mod request;
mod restore;
mod service;
mod wire;

use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use dhow_linux::file::PathError;
use rustix::fs::{Mode, OFlags};

use crate::cgroup::CgroupError;
use crate::container::ContainerError;
use crate::spec::Spec;

pub(crate) use dump::{Dump, dump};
pub(crate) use restore::{Restore, restore};
pub(crate) use service::Notification;

use request::{Name, Options};

/// The names of the container's standard streams at the time of the dump.
const DESCRIPTORS: &str = "descriptors.json";
/// The oldest CRIU that tells its version.
const OLDEST: u32 = 30_000;
/// Settings that an administrator may put above ours, as with runc.
const CONFIGURATION: &str = "/etc/criu/runc.conf";
/// The annotation that names another file, or, empty, none.
const CONFIGURATION_ANNOTATION: &str = "org.criu.config";

/// A checkpoint or restore failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CriuError {
    /// There is no CRIU.
    #[error("exec: \"criu\": executable file not found in $PATH")]
    Missing,
    /// It does not say its version.
    #[error("CRIU version check failed")]
    Version(#[source] Box<Self>),
    /// It is too old.
    #[error("{what}: CRIU version {found} must be {wanted} or higher")]
    Old {
        /// For what.
        what: &'static str,
        /// The installed one.
        found: u32,
        /// The needed one.
        wanted: u32,
    },
    /// It, or the kernel, cannot do something.
    #[error("criu is missing features: [{0}]")]
    Feature(&'static str),
    /// It said no.
    #[error("criu failed: type {kind} errno {errno}{}", said(.message))]
    Failed {
        /// What was asked.
        kind: String,
        /// Its reason.
        errno: i32,
        /// The same in words, in newer versions.
        message: String,
    },
    /// It ended badly after it had said yes.
    #[error("criu failed: {0}")]
    Ended(ExitStatus),
    /// It answered what nobody asked.
    #[error("unable to parse the response of criu")]
    Answer,
    /// What the caller asks for cannot be.
    #[error("{0}")]
    Usage(String),
    /// The images, or other files.
    #[error(transparent)]
    File(#[from] PathError),
    /// The container.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// Its cgroups.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// One kernel call.
    #[error("{action}")]
    Call {
        /// What was being done.
        action: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl CriuError {
    fn call<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Call { action, source: source.into() }
    }
}

fn said(message: &str) -> String {
    let message = message.trim_end();
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

/// How CRIU treats cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CgroupMode {
    /// As if there were none.
    Ignore = 0,
    /// Make missing ones, restore the properties of those.
    Soft = 3,
    /// Restore all properties.
    Full = 4,
    /// Only into cgroups that it makes itself.
    Strict = 5,
    /// CRIU decides.
    Default = 6,
}

/// What a dump and a restore have in common.
#[derive(Debug, Clone)]
pub(crate) struct Common {
    /// Where the images are, absolute.
    pub(crate) images: PathBuf,
    /// Where logs go; none for the images' folder.
    pub(crate) work: Option<PathBuf>,
    /// Whether open TCP connections are part of it.
    pub(crate) tcp_established: bool,
    /// Whether Unix sockets may have an end outside.
    pub(crate) external_sockets: bool,
    /// Whether the container may be part of the caller's session.
    pub(crate) shell_job: bool,
    /// Whether file locks are part of it.
    pub(crate) file_locks: bool,
    /// How cgroups are treated.
    pub(crate) cgroups: CgroupMode,
    /// Whether what an older image has as well is removed from the newer.
    pub(crate) auto_dedup: bool,
    /// Whether memory follows when it is touched.
    pub(crate) lazy_pages: bool,
}

/// The two folders, which CRIU finds by our descriptors while we live.
#[derive(Debug)]
struct Folders {
    images: OwnedFd,
    work: Option<OwnedFd>,
    /// Where the log is.
    logs: PathBuf,
}

impl Common {
    /// Opens the images' folder, and makes that for logs.
    fn open(&self) -> Result<Folders, CriuError> {
        let images = open_folder(&self.images)?;
        let work = match &self.work {
            Some(work) => {
                make_folder(work)?;
                Some(open_folder(work)?)
            }
            None => None,
        };
        Ok(Folders { images, work, logs: self.work.clone().unwrap_or_else(|| self.images.clone()) })
    }

    /// The options of both directions.
    fn options(&self, spec: &Spec, folders: &Folders, log_file: &str, root: &Path) -> Options {
        let mut options = Options::default();
        options
            .number(Name::ImagesDirFd, folders.images.as_raw_fd())
            .number(Name::LogLevel, 4)
            .text(Name::LogFile, log_file)
            .text(Name::Root, &root.to_string_lossy())
            .flag(Name::ManageCgroups, true)
            .number(Name::ManageCgroupsMode, self.cgroups as i64)
            .flag(Name::NotifyScripts, true)
            .flag(Name::ShellJob, self.shell_job)
            .flag(Name::ExtUnixSk, self.external_sockets)
            .flag(Name::TcpEstablished, self.tcp_established)
            .flag(Name::FileLocks, self.file_locks)
            .flag(Name::OrphanPtsMaster, true)
            .flag(Name::AutoDedup, self.auto_dedup)
            .flag(Name::LazyPages, self.lazy_pages)
            // Interfaces and addresses are the business of whoever gave them to the container.
            .number(Name::EmptyNs, dhow_linux::clone::NamespaceFlags::NETWORK.bits());
        if let Some(work) = &folders.work {
            options.number(Name::WorkDirFd, work.as_raw_fd());
        }
        let file = spec.annotations.get(CONFIGURATION_ANNOTATION).map_or(CONFIGURATION, String::as_str);
        if !file.is_empty() {
            options.text(Name::ConfigFile, file);
        }
        options
    }
}

/// The installed version, when it can be talked to at all.
fn usable_version() -> Result<u32, CriuError> {
    at_least(service::version()?, OLDEST, "checkpoint and restore")
}

fn at_least(found: u32, wanted: u32, what: &'static str) -> Result<u32, CriuError> {
    if found < wanted { Err(CriuError::Old { what, found, wanted }) } else { Ok(found) }
}

/// Makes a folder that may be there already: a container can be checkpointed many times.
pub(crate) fn make_folder(path: &Path) -> Result<(), PathError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(PathError::at("mkdir", path))
}

fn open_folder(path: &Path) -> Result<OwnedFd, PathError> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| PathError::at("open", path)(error.into()))
}
