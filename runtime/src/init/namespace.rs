//! The first steps: out of the caller's surroundings, into the container's.

use std::os::fd::{AsFd, OwnedFd};

use dhow_linux::clone::{self, NamespaceFlags};
use dhow_linux::keyring;
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Gid, Uid};

use super::sync::{Channel, Message};
use super::task::Keyring;
use super::{ExecSetup, InitError};
use crate::cgroup::{Join, Manager};
use crate::spec::{NamespaceKind, Spec};

/// Forgets how the caller treats signals and modes.
pub(super) fn prepare() -> Result<(), InitError> {
    dhow_linux::signal::unblock_all().map_err(InitError::step("unblock signals"))?;
    dhow_linux::signal::end_on_request();
    // Modes are given in full wherever something is made.
    rustix::process::umask(rustix::fs::Mode::empty());
    Ok(())
}

/// Leaves the caller's session.
pub(super) fn lead_session() -> Result<(), InitError> {
    rustix::process::setsid().map_err(InitError::step("setsid")).map(drop)
}

/// Joins the cgroups, then forgets the CPUs that the caller was limited to: the cpuset decides.
pub(super) fn enter_cgroup(join: &Join, must: bool) -> Result<(), InitError> {
    match join.enter_v1() {
        Err(_) if !must => {}
        other => other.map_err(InitError::step("unable to apply cgroup configuration"))?,
    }
    // Only a wish: a caller with fewer rights keeps its CPUs.
    drop(dhow_linux::sched::set_affinity(0, &[u64::MAX; 128]));
    Ok(())
}

/// Keeps the container out of this process until it is the user's program: whoever has every right in a user namespace
/// may trace what joins it, and would find the descriptors of the runtime and its caller there (CVE-2016-9962).
pub(super) fn hide() -> Result<(), InitError> {
    set_dumpable(DumpableBehavior::NotDumpable)
}

/// Lets the runtime reach into this process again. Not before everything is closed that the container may not have.
pub(super) fn show() -> Result<(), InitError> {
    set_dumpable(DumpableBehavior::Dumpable)
}

fn set_dumpable(behavior: DumpableBehavior) -> Result<(), InitError> {
    rustix::process::set_dumpable_behavior(behavior).map_err(InitError::step("prctl(PR_SET_DUMPABLE)"))
}

/// Waits for the cgroups that the parent makes meanwhile; forgets in `cgroups` what the container goes without.
pub(super) fn await_cgroups(channel: &Channel, cgroups: &mut Manager) -> Result<Join, InitError> {
    let (refused, doors) = channel.receive_doors().map_err(InitError::step("sync with the runtime"))?;
    cgroups.leave_out(&refused);
    Ok(Join::through(doors))
}

/// In a new user namespace: becomes its root, so that what is made belongs to it.
pub(super) fn own_identity(spec: &Spec) -> Result<(), InitError> {
    if spec.creates(NamespaceKind::User) { become_root() } else { Ok(()) }
}

fn become_root() -> Result<(), InitError> {
    rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)
        .map_err(InitError::step("setresgid"))?;
    rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).map_err(InitError::step("setresuid"))
}

/// Joins namespaces by their files; the user namespace comes first and changes who we are.
pub(super) fn join(namespaces: &[(NamespaceKind, OwnedFd)]) -> Result<(), InitError> {
    for (kind, file) in namespaces {
        clone::join(file.as_fd(), kind.flag())
            .map_err(InitError::step(format!("join the {} namespace", kind.name())))?;
        if *kind == NamespaceKind::User {
            become_root()?;
        }
    }
    Ok(())
}

/// Joins all namespaces of a running container at once; that of PIDs, for the children.
pub(super) fn join_process(setup: &ExecSetup<'_>) -> Result<(), InitError> {
    if setup.user_namespace {
        hide()?;
    }
    if !setup.namespaces.is_empty() {
        clone::join(setup.init.as_fd(), setup.namespaces)
            .map_err(InitError::step("join the container's namespaces"))?;
    }
    if setup.user_namespace { become_root() } else { Ok(()) }
}

/// Makes what clone could not: a cgroup namespace starts where its maker is, so it must already be inside.
pub(super) fn unshare(namespaces: NamespaceFlags) -> Result<(), InitError> {
    if namespaces.is_empty() {
        return Ok(());
    }
    clone::unshare(namespaces).map_err(InitError::step("unshare namespaces"))
}

/// Sets the CPUs that an exec may use.
pub(super) fn set_affinity(cpus: Option<&[u64]>) -> Result<(), InitError> {
    let Some(cpus) = cpus else { return Ok(()) };
    dhow_linux::sched::set_affinity(0, cpus).map_err(InitError::step("error setting final CPU affinity"))
}

/// Joins the container's session keyring instead of the caller's.
pub(super) fn join_keyring(keyring: Option<&Keyring>, channel: &Channel) -> Result<(), InitError> {
    let Some(Keyring { name, permission }) = keyring else { return Ok(()) };
    let serial = match keyring::join_session(name) {
        Ok(serial) => serial,
        Err(error) if error.raw_os_error() == Some(Errno::NOSYS.raw_os_error()) => {
            drop(channel.send(&Message::Warning(format!("KeyctlJoinSessionKeyring: {error}"))));
            return Ok(());
        }
        Err(error) => return Err(InitError::step("unable to join session keyring")(error)),
    };
    match permission {
        Some(bits) => keyring::add_permission(serial, *bits)
            .map_err(InitError::step("unable to mod keyring permissions")),
        None => Ok(()),
    }
}

/// A new network namespace has a loopback interface that is down.
pub(super) fn raise_loopback(spec: &Spec) -> Result<(), InitError> {
    if spec.creates(NamespaceKind::Network) {
        dhow_linux::loopback::raise().map_err(InitError::step("raise the loopback interface"))?;
    }
    Ok(())
}

/// Host and domain name.
pub(super) fn set_names(spec: &Spec) -> Result<(), InitError> {
    if !spec.hostname.is_empty() {
        rustix::system::sethostname(spec.hostname.as_bytes()).map_err(InitError::step("sethostname"))?;
    }
    if !spec.domainname.is_empty() {
        rustix::system::setdomainname(spec.domainname.as_bytes())
            .map_err(InitError::step("setdomainname"))?;
    }
    Ok(())
}
