//! One clone3 in the right place: namespaces that are joined before a process exists (PID, time), and the helper that
//! goes ahead into a joined user namespace, and into a running container.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use dhow_linux::clone::{self, NamespaceFlags, Options, Side};
use dhow_linux::file::PathError;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Gid, Pid, PidfdFlags, Uid, WaitOptions};

use super::LaunchError;
use crate::init::InitError;
use crate::init::sync::{Channel, Message, pair};
use crate::spec::{NamespaceKind, TimeOffset};

/// A child that was made.
#[derive(Debug)]
pub(super) struct Child {
    /// Its pid, as this process sees it.
    pub(super) pid: Pid,
    /// Its pidfd.
    pub(super) handle: OwnedFd,
    /// The way to talk to it.
    pub(super) channel: Channel,
}

/// Where a child is made.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Namespaces it gets.
    pub(super) namespaces: NamespaceFlags,
    /// A user namespace that it joins: the new ones must belong to that.
    pub(super) user: Option<OwnedFd>,
    /// Namespaces that the helper joins before that: they may belong to another user namespace.
    pub(super) before_user: Vec<(NamespaceKind, OwnedFd)>,
    /// A PID namespace that it is born into.
    pub(super) pid: Option<OwnedFd>,
    /// Clocks of the new time namespace that it is born into.
    pub(super) time_offsets: Option<BTreeMap<String, TimeOffset>>,
    /// The cgroup2 directory that it is born into: the first that takes it.
    pub(super) cgroups: Vec<OwnedFd>,
    /// Whether one has to.
    pub(super) must_join: bool,
}

/// Makes a child that runs `body`, which does not come back.
pub(super) fn spawn(plan: Plan, body: impl FnOnce(Channel)) -> Result<Child, LaunchError> {
    let (ours, theirs) = pair().map_err(LaunchError::call("socketpair"))?;
    if plan.user.is_some() {
        let help = |mut plan: Plan, _: &[BorrowedFd<'_>]| {
            // The helper was born into the cgroup, and its child with it: from the user namespace it could not be joined.
            plan.cgroups.clear();
            help(&mut plan).map(|side| (side, ())).map_err(|error| crate::error::chain(&error))
        };
        return spawn_through_helper(plan, (ours, theirs), help, |(), channel| body(channel));
    }
    let restore = enter_for_children(&plan)?;
    match clone_into(&plan, plan.namespaces, false)? {
        Side::Child => {
            drop(ours);
            body(theirs);
            dhow_linux::exec::exit_now(255)
        }
        Side::Parent { pid, pidfd } => {
            drop(theirs);
            for (namespace, flag) in restore {
                clone::join(namespace.as_fd(), flag)
                    .map_err(LaunchError::call("return to the own namespace"))?;
            }
            Ok(Child { pid, handle: pidfd, channel: ours })
        }
    }
}

/// Sets what children are born into; gives the way back.
fn enter_for_children(plan: &Plan) -> Result<Vec<(OwnedFd, NamespaceFlags)>, LaunchError> {
    let own = |name: &str| {
        let path = format!("/proc/self/ns/{name}");
        rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| PathError::at("open", &path)(error.into()))
    };
    let mut restore = Vec::new();
    if let Some(pid) = &plan.pid {
        restore.push((own("pid")?, NamespaceFlags::PID));
        clone::join(pid.as_fd(), NamespaceFlags::PID).map_err(LaunchError::call("join the PID namespace"))?;
    }
    if let Some(offsets) = &plan.time_offsets {
        restore.push((own("time")?, NamespaceFlags::TIME));
        clone::unshare(NamespaceFlags::TIME).map_err(LaunchError::call("unshare the time namespace"))?;
        let mut text = String::new();
        for (clock, TimeOffset { secs, nanosecs }) in offsets {
            let _ = writeln!(text, "{clock} {secs} {nanosecs}");
        }
        if !text.is_empty() {
            let path = "/proc/self/timens_offsets";
            rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
                .and_then(|file| rustix::io::write(&file, text.as_bytes()))
                .map_err(|error| PathError::at("write", path)(error.into()))?;
        }
    }
    Ok(restore)
}

/// Makes a child in a running container, of which a helper `enter`s first and lets go of all that is the host's.
///
/// A process of a PID namespace is seen in there from its first moment on. Whoever may trace it then (CAP_SYS_PTRACE is
/// enough) reaches its root, its working directory and its descriptors: none of them may lead out of the container. The
/// helper itself is not seen. What it keeps are the descriptors that `enter` is given, and those that it gives back.
pub(super) fn spawn_inside<T>(
    cgroups: Vec<OwnedFd>,
    must_join: bool,
    enter: impl FnOnce(&[BorrowedFd<'_>]) -> Result<T, InitError>,
    body: impl FnOnce(T, Channel),
) -> Result<Child, LaunchError> {
    let channels = pair().map_err(LaunchError::call("socketpair"))?;
    let plan = Plan { cgroups, must_join, ..Plan::default() };
    let help = |plan: Plan, kept: &[BorrowedFd<'_>]| {
        drop(plan);
        let inside = enter(kept).map_err(|error| crate::error::chain(&error))?;
        let made = clone_into(&Plan::default(), NamespaceFlags::default(), true);
        made.map(|side| (side, inside)).map_err(|error| crate::error::chain(&error))
    };
    spawn_through_helper(plan, channels, help, body)
}

/// Has a helper make the child as its sibling: this process stays what and where it is, and is the parent all the same.
/// A joined user namespace, for one, would take the rights over everything else away.
fn spawn_through_helper<T>(
    plan: Plan,
    (ours, theirs): (Channel, Channel),
    help: impl FnOnce(Plan, &[BorrowedFd<'_>]) -> Result<(Side, T), String>,
    body: impl FnOnce(T, Channel),
) -> Result<Child, LaunchError> {
    let (listen, tell) = pair().map_err(LaunchError::call("socketpair"))?;
    match clone_into(&plan, NamespaceFlags::default(), false)? {
        Side::Child => {
            drop((ours, listen));
            match help(plan, &[theirs.socket(), tell.socket()]) {
                Ok((Side::Child, inside)) => {
                    drop(tell);
                    body(inside, theirs);
                    dhow_linux::exec::exit_now(255)
                }
                Ok((Side::Parent { pid, .. }, _)) => {
                    drop(tell.send(&Message::Pid(pid.as_raw_nonzero().get())));
                }
                Err(text) => drop(tell.send(&Message::Failed(text))),
            }
            dhow_linux::exec::exit_now(0)
        }
        Side::Parent { pid: helper, .. } => {
            drop((theirs, tell));
            let answer = listen.receive().map_err(LaunchError::call("sync with the container"))?;
            rustix::process::waitpid(Some(helper), WaitOptions::empty())
                .map_err(LaunchError::call("wait for the helper"))?;
            let pid = match answer {
                Some(Message::Pid(pid)) => Pid::from_raw(pid),
                Some(Message::Failed(text)) => return Err(LaunchError::Init(text)),
                _ => None,
            };
            let pid = pid.ok_or_else(|| LaunchError::Init("the helper process died".to_owned()))?;
            let handle = rustix::process::pidfd_open(pid, PidfdFlags::empty())
                .map_err(LaunchError::call("pidfd_open"))?;
            Ok(Child { pid, handle, channel: ours })
        }
    }
}

/// In the helper: into the other namespaces while there is the right to, into the user namespace, then clone.
fn help(plan: &mut Plan) -> Result<Side, LaunchError> {
    for (kind, namespace) in plan.before_user.drain(..) {
        clone::join(namespace.as_fd(), kind.flag()).map_err(LaunchError::call("join a namespace"))?;
    }
    // Without privileges of one's own the user namespace gives them. No way back is needed: the helper ends after this.
    let privileged = rustix::process::geteuid().is_root();
    if privileged {
        drop(enter_for_children(plan)?);
    }
    if let Some(user) = plan.user.take() {
        clone::join(user.as_fd(), NamespaceFlags::USER)
            .map_err(LaunchError::call("join the user namespace"))?;
        let (uid, gid) = (Uid::ROOT, Gid::ROOT);
        rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(LaunchError::call("setresgid"))?;
        rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(LaunchError::call("setresuid"))?;
    }
    if !privileged {
        drop(enter_for_children(plan)?);
    }
    clone_into(plan, plan.namespaces, true)
}

/// A cgroup that has given its controllers away takes no process; one that is not the caller's may not be entered from
/// where the caller is.
fn clone_into(plan: &Plan, namespaces: NamespaceFlags, sibling: bool) -> Result<Side, LaunchError> {
    let mut cgroups = plan.cgroups.iter();
    let mut cgroup = cgroups.next();
    loop {
        match clone::clone3(&Options { namespaces, cgroup: cgroup.map(AsFd::as_fd), sibling }) {
            Err(error) if cgroup.is_some() && refuses(&error) && (!plan.must_join || cgroups.len() > 0) => {
                cgroup = cgroups.next();
            }
            made => return made.map_err(LaunchError::call("unable to start init: clone3")),
        }
    }
}

fn refuses(error: &std::io::Error) -> bool {
    let refusals = [Errno::BUSY, Errno::ACCESS, Errno::PERM, Errno::NODEV, Errno::OPNOTSUPP];
    refusals.into_iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
