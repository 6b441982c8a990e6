//! What a new container's first process is told before it exists: the namespaces, descriptors and paths that it will
//! no longer find by itself.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::Path;

use dhow_linux::clone::NamespaceFlags;
use dhow_linux::file::PathError;
use dhow_linux::mount::READ_ONLY;
use rustix::fs::{Mode, OFlags};

use super::bundle::Bundle;
use super::spawn::{Child, Plan, spawn};
use super::{Connection, Creation, LaunchError, mapping, stdio};
use crate::cgroup::Manager;
use crate::init::{self, Keyring, Setup, Task};
use crate::rootfs::{Entrance, Options, clean};
use crate::spec::{Mount, NamespaceKind, Spec};

/// Namespaces that a process cannot make for itself: it is born in them.
const BORN: NamespaceFlags = NamespaceFlags::PID.with(NamespaceFlags::TIME).with(NamespaceFlags::CGROUP);

/// The first process of the container that `bundle` describes, and our end of its terminal when that is relayed.
///
/// With `overlap` it makes its namespaces while this process makes its cgroups, whose doors are sent to it.
pub(super) fn setup<'a>(
    creation: &'a Creation<'_>,
    connection: &Connection,
    bundle: &'a Bundle,
    folder: &Path,
    cgroups: &Manager,
    overlap: bool,
) -> Result<(Setup<'a>, Option<OwnedFd>), LaunchError> {
    let spec = &bundle.spec;
    let mut task = Task::new(bundle.process()?, &spec.linux)?;
    task.sets_groups = rustix::process::geteuid().is_root();
    task.keyring = keyring(creation, spec)?;
    let terminal = stdio::connect_task(&mut task, connection)?;
    let none = NamespaceFlags::default();
    let setup = Setup {
        id: creation.id.as_str(),
        bundle: bundle.path.clone(),
        spec,
        rootfs: bundle.rootfs.clone(),
        entrance: entrance(creation, spec),
        join: if overlap { None } else { Some(cgroups.join()?) },
        cgroups: cgroups.clone(),
        must_join: !cgroups.is_optional(),
        joined: open_namespaces(spec)?,
        early: if overlap { created(spec).without(BORN) } else { none },
        unshared: unshared(spec),
        waits: waits(spec),
        prepared: mapping::prepare(spec)?,
        task,
        fifo: creation.waits.then(|| make_fifo(folder)).transpose()?,
    };
    Ok((setup, terminal))
}

/// Whether the child waits until the parent has done something for it: its ID maps, or its interfaces, whose sysctls
/// it is about to write.
pub(super) fn waits(spec: &Spec) -> bool {
    spec.creates(NamespaceKind::User) || !spec.linux.net_devices.is_empty()
}

/// The host's user who gets the container's cgroup: one who sees it as a root of its own, and may write there.
pub(super) fn cgroup_owner(spec: &Spec) -> Option<u32> {
    let writable = |mount: &Mount| {
        let read_only = Options::parse(&mount.options).own.set & READ_ONLY != 0;
        mount.source == "cgroup" && clean(&mount.destination) == Path::new("/sys/fs/cgroup") && !read_only
    };
    if !spec.creates(NamespaceKind::Cgroup) || !spec.mounts.iter().any(writable) {
        return None;
    }
    let user = spec.process.as_ref().map_or(0, |process| process.user.uid);
    if !spec.has(NamespaceKind::User) {
        return Some(user);
    }
    spec.linux.uid_mappings.iter().find_map(|range| {
        let place = user.checked_sub(range.container_id).filter(|place| *place < range.size)?;
        range.host_id.checked_add(place)
    })
}

/// Makes the process.
pub(super) fn start(mut setup: Setup<'_>) -> Result<Child, LaunchError> {
    let spec = setup.spec;
    let flags = created(spec).without(setup.early);
    let mut joined = std::mem::take(&mut setup.joined);
    let mut take = |kind| {
        let place = joined.iter().position(|(joined, _)| *joined == kind)?;
        Some(joined.remove(place).1)
    };
    let (user, pid) = (take(NamespaceKind::User), take(NamespaceKind::Pid));
    // Without privileges of one's own they come from the user namespace: it is joined first then.
    let privileged = rustix::process::geteuid().is_root();
    let before_user = if user.is_some() && privileged { std::mem::take(&mut joined) } else { Vec::new() };
    let plan = Plan {
        before_user,
        namespaces: flags.without(setup.unshared).without(NamespaceFlags::TIME),
        user,
        pid,
        time_offsets: spec
            .creates(NamespaceKind::Time)
            .then(|| spec.linux.time_offsets.clone().unwrap_or_default()),
        cgroups: setup.cgroups.birthplace()?.map(Into::into).into_iter().collect(),
        must_join: setup.must_join,
    };
    setup.joined = joined;
    spawn(plan, move |channel| init::run(setup, channel))
}

fn created(spec: &Spec) -> NamespaceFlags {
    let created = NamespaceKind::ALL.into_iter().filter(|kind| spec.creates(*kind));
    created.fold(NamespaceFlags::default(), |flags, kind| flags.with(kind.flag()))
}

/// Namespaces that the process makes once it is somebody: a cgroup namespace starts where its maker is, and the queues of
/// an IPC namespace belong to its maker, who is root only after the IDs are mapped.
fn unshared(spec: &Spec) -> NamespaceFlags {
    let made = |kind: NamespaceKind| spec.creates(kind).then_some(kind.flag());
    let owned = if spec.creates(NamespaceKind::User) { made(NamespaceKind::Ipc) } else { None };
    [made(NamespaceKind::Cgroup), owned]
        .into_iter()
        .flatten()
        .fold(NamespaceFlags::default(), NamespaceFlags::with)
}

fn entrance(creation: &Creation<'_>, spec: &Spec) -> Entrance {
    match (spec.has(NamespaceKind::Mount), creation.no_pivot) {
        (false, _) => Entrance::Chroot,
        (true, true) => Entrance::Move,
        (true, false) => Entrance::Pivot,
    }
}

fn keyring(creation: &Creation<'_>, spec: &Spec) -> Result<Option<Keyring>, LaunchError> {
    if creation.no_new_keyring {
        return Ok(None);
    }
    // "other" may search it from a user namespace, the user without one.
    let permission = if spec.has(NamespaceKind::User) { 0x8 } else { 0x8_0000 };
    let name = CString::new(format!("_ses.{}", creation.id))
        .map_err(|_| LaunchError::Usage("container id with a nul byte".to_owned()))?;
    Ok(Some(Keyring { name, permission: Some(permission) }))
}

/// Opens the namespaces to join, before the process that joins them loses sight of their paths.
fn open_namespaces(spec: &Spec) -> Result<Vec<(NamespaceKind, OwnedFd)>, LaunchError> {
    let mut joined = Vec::new();
    for kind in NamespaceKind::ALL {
        if let Some(namespace) = spec.namespace(kind).filter(|namespace| !namespace.path.is_empty()) {
            let file = rustix::fs::open(&namespace.path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .map_err(|error| PathError::at("open namespace", &namespace.path)(error.into()))?;
            joined.push((kind, file));
        }
    }
    Ok(joined)
}

/// The fifo on which the container waits. Opened for both directions: it must not end when the runtime does.
fn make_fifo(folder: &Path) -> Result<OwnedFd, LaunchError> {
    let path = folder.join(crate::container::FIFO);
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600))
        .map_err(|error| PathError::at("mkfifo", &path)(error.into()))?;
    rustix::fs::open(&path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| PathError::at("open", &path)(error.into()).into())
}
