//! A container into images.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};

use dhow_linux::file::{Durability, PathError, replace};

use super::request::{Feature, Kind, Name};
use super::service::{Notification, Service};
use super::{Common, CriuError, DESCRIPTORS, at_least, external, journal, service, usable_version};
use crate::container::{Container, ContainerError};
use crate::spec::{NamespaceKind, Spec};

const LOG: &str = "dump.log";
/// The first version that freezes through cgroup2.
const FREEZES_V2: u32 = 31_400;
/// The first version with descriptors for PID namespaces, and that tells when lazy pages are ready.
const TELLS_STATUS: u32 = 31_500;

/// What `checkpoint` asks for.
#[derive(Debug)]
pub(crate) struct Dump {
    /// Folders, and what restore has as well.
    pub(crate) common: Common,
    /// The folder of an older image, relative to the new one.
    pub(crate) parent: Option<String>,
    /// Whether the container goes on.
    pub(crate) leave_running: bool,
    /// Whether connections that are still being made are left out.
    pub(crate) skip_in_flight: bool,
    /// Whether removed files that are still open get a name again.
    pub(crate) link_remap: bool,
    /// Only the memory, while the container goes on.
    pub(crate) memory_only: bool,
    /// Address and port of where the memory goes.
    pub(crate) page_server: Option<(String, u16)>,
    /// Gets a zero byte once lazy pages can be asked for.
    pub(crate) status: Option<OwnedFd>,
}

/// Makes images of `container`.
pub(crate) fn dump(container: &Container, spec: &Spec, mut dump: Dump) -> Result<(), CriuError> {
    let version = usable_version()?;
    let pid = container.init().ok_or(ContainerError::NotRunning)?.as_raw_nonzero().get();
    let folders = dump.common.open()?;
    let mut options = dump.common.options(spec, &folders, LOG, &container.state.rootfs);
    options
        .number(Name::Pid, pid)
        .flag(Name::LeaveRunning, dump.leave_running)
        .flag(Name::TcpSkipInFlight, dump.skip_in_flight)
        .flag(Name::LinkRemap, dump.link_remap);
    if spec.namespace(NamespaceKind::Pid).is_some_and(|namespace| !namespace.path.is_empty()) {
        at_least(version, TELLS_STATUS, "external PID namespace")?;
    }
    external::name_namespaces(spec, &mut options)?;
    let freezer = container.cgroup.paths().remove(if container.cgroup.is_v2() { "" } else { "freezer" });
    if let Some(freezer) = freezer.filter(|_| !container.cgroup.is_v2() || version >= FREEZES_V2) {
        options.text(Name::FreezeCgroup, &freezer.to_string_lossy());
    }
    if let Some((address, port)) = &dump.page_server {
        options.page_server(address, *port);
    }
    if let Some(parent) = &dump.parent {
        options.text(Name::ParentImg, parent).flag(Name::TrackMem, true);
    }
    if dump.memory_only {
        service::require(Feature::MemTrack)?;
    }
    if dump.common.lazy_pages {
        service::require(Feature::LazyPages)?;
        if let Some(status) = dump.status.as_ref().filter(|_| version < TELLS_STATUS) {
            options.number(Name::StatusFd, status.as_raw_fd());
        }
    }
    if !dump.memory_only {
        name_mounts(container, spec, pid, &mut options)?;
        remember_descriptors(container, &dump)?;
    }
    let kind = if dump.memory_only { Kind::PreDump } else { Kind::Dump };
    let mut status = dump.status.take();
    let heard = |heard: Notification| {
        if heard.script == "status-ready"
            && let Some(status) = status.take()
            && let Err(error) = File::from(status).write_all(&[0])
        {
            crate::log::warn(&format!("can't write \\0 to status fd: {error}"));
        }
        Ok::<(), CriuError>(())
    };
    Service::start(false, Vec::new())
        .and_then(|service| service::ask(service, kind, &options, heard))
        .inspect_err(|_| journal::quote(&folders.logs, LOG))
}

/// Says which mounts an image only remembers by name.
fn name_mounts(
    container: &Container,
    spec: &Spec,
    pid: i32,
    options: &mut super::Options,
) -> Result<(), CriuError> {
    let state = &container.state;
    for mount in external::mounts(spec, &state.rootfs, &state.bundle, &container.cgroup)? {
        options.external_mount(&mount.inside, &mount.inside);
    }
    for path in external::masked_files(spec, pid)? {
        options.external_mount(path, "/dev/null");
    }
    Ok(())
}

/// Writes down what the standard streams were: pipes get the new caller's in their place at restore.
fn remember_descriptors(container: &Container, dump: &Dump) -> Result<(), CriuError> {
    let path = dump.common.images.join(DESCRIPTORS);
    let text = serde_json::to_vec(&container.state.descriptors)
        .map_err(|error| PathError::at("encode", &path)(error.into()))?;
    replace(&path, &text, 0o600, Durability::Process).map_err(Into::into)
}
