//! Another process in a running container.

use std::ffi::CString;
use std::os::fd::{BorrowedFd, OwnedFd};

use dhow_linux::clone::NamespaceFlags;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::dialogue::{Dialogue, Partner};
use super::foreground::Foreground;
use super::limits::Clamped;
use super::spawn::{Child, spawn_inside};
use super::{Connection, LaunchError, limits, stdio};
use crate::cgroup::Join;
use crate::container::{Container, ContainerError, OciState, Status};
use crate::init::{self, ExecSetup, Task, number_list};
use crate::log;
use crate::spec::{NamespaceKind, Process, Rlimit, Spec};

/// What `exec` asks for.
#[derive(Debug)]
pub(crate) struct Execution<'a> {
    /// Where.
    pub(crate) container: &'a Container,
    /// The container's configuration.
    pub(crate) spec: &'a Spec,
    /// What.
    pub(crate) process: &'a Process,
    /// How it is connected.
    pub(crate) connection: Connection,
    /// Sub-cgroups by controller (`""`: cgroup2, or all).
    pub(crate) cgroups: Vec<(String, String)>,
    /// Whether cgroups may fail.
    pub(crate) rootless_cgroups: bool,
}

/// Runs a process in a container; in the foreground also waits for its end. Gives the exit status.
pub(crate) fn exec(execution: Execution<'_>) -> Result<i32, LaunchError> {
    let mut _step = log::step("seal");
    super::seal()?;
    _step = log::step("prepare");
    let Execution { container, spec, process, connection, .. } = &execution;
    connection.check(process.terminal)?;
    let (pid, init) = first_process(container)?;
    let foreground = Foreground::prepare(connection, false)?;
    let (task, terminal) = task(&execution)?;
    let join = join(&execution)?;
    let affinity = inherit_affinity(process)?;
    let clamped = inherit_oom_score(spec)?;
    let (cgroups, must_join) = (birthplaces(&execution, &join, pid), !execution.rootless_cgroups);
    let setup = ExecSetup {
        init,
        namespaces: namespaces(spec),
        user_namespace: spec.has(NamespaceKind::User),
        join,
        must_join,
        affinity,
        task,
    };
    _step = log::step("clone");
    let enter = |kept: &[BorrowedFd<'_>]| init::enter(setup, kept);
    let child = spawn_inside(cgroups, must_join, enter, |inside, channel| init::exec(inside, channel))
        .map_err(LaunchError::of_exec)?;
    attach(&execution, &child);
    log::debug(&format!("nsexec container setup: new process is {}", child.pid.as_raw_nonzero()));
    if let Some(class) = &container.state.resctrl {
        crate::resctrl::adopt(class, child.pid)?;
    }
    _step = log::step("wait for the process to be made");
    let mut partner = Executor { execution: &execution, child: &child, clamped };
    let dialogue = Dialogue {
        child: &child,
        cgroups: &container.cgroup,
        listener: spec.linux.seccomp.as_ref(),
        ahead: partner.limits().is_empty(),
    };
    let done =
        dialogue.hold(&mut partner).and_then(|()| connection.write_pid(child.pid.as_raw_nonzero().get()));
    if let Err(error) = done {
        let _ = rustix::process::pidfd_send_signal(&child.handle, rustix::process::Signal::KILL);
        return Err(error.of_exec());
    }
    if connection.detach {
        return Ok(0);
    }
    _step = log::step("run");
    foreground.wait(child.pid, terminal)
}

/// The container's first process, and the handle that is surely its own.
fn first_process(container: &Container) -> Result<(Pid, OwnedFd), LaunchError> {
    let pid = container.init().ok_or(ContainerError::NotRunning)?;
    let handle = pidfd_open(pid, PidfdFlags::empty()).map_err(LaunchError::call("pidfd_open"))?;
    if container.init() != Some(pid) {
        return Err(ContainerError::NotRunning.into());
    }
    Ok((pid, handle))
}

/// What is to be run, and our end of its terminal when that is relayed.
fn task<'a>(execution: &Execution<'a>) -> Result<(Task<'a>, Option<OwnedFd>), LaunchError> {
    let mut task = Task::new(execution.process, &execution.spec.linux)?;
    task.sets_groups = rustix::process::geteuid().is_root();
    let state = &execution.container.state;
    if !state.no_new_keyring {
        let name = CString::new(format!("_ses.{}", state.id)).unwrap_or_default();
        task.keyring = Some(init::Keyring { name, permission: None });
    }
    let terminal = stdio::connect_task(&mut task, &execution.connection)?;
    Ok((task, terminal))
}

/// The doors of the cgroups that the process goes to.
fn join(execution: &Execution<'_>) -> Result<Join, LaunchError> {
    check_sub_cgroups(execution)?;
    let below = |controller: &str| sub_cgroup(&execution.cgroups, controller);
    execution.container.cgroup.join_below(below).map_err(LaunchError::Join)
}

/// The namespaces that the process joins.
fn namespaces(spec: &Spec) -> NamespaceFlags {
    let kinds = NamespaceKind::ALL.into_iter().filter(|kind| spec.has(*kind));
    kinds.fold(NamespaceFlags::default(), |flags, kind| flags.with(kind.flag()))
}

/// Takes the CPUs that the process has until it is in the container's cgroup; gives those that it has from then on.
fn inherit_affinity(process: &Process) -> Result<Cpus, LaunchError> {
    let (initial, last) = affinity(process);
    if let Some(cpus) = &initial {
        log::debug(&format!("nsexec: affinity: {:#x}", cpus.first().copied().unwrap_or_default()));
        dhow_linux::sched::set_affinity(0, cpus)
            .map_err(LaunchError::call("error setting initial CPU affinity"))?;
    }
    Ok(last.or(initial))
}

/// Takes the container's score: the child of a user who is not root could not be written to.
fn inherit_oom_score(spec: &Spec) -> Result<Clamped, LaunchError> {
    let mut clamped = Clamped::default();
    if let Some(score) = spec.process.as_ref().and_then(|process| process.oom_score_adj) {
        limits::set_oom_score(rustix::process::getpid(), score, &mut clamped)?;
    }
    Ok(clamped)
}

/// Refuses sub-cgroups of controllers that the container has none of, or outside of its own.
fn check_sub_cgroups(execution: &Execution<'_>) -> Result<(), LaunchError> {
    let known = execution.container.cgroup.paths();
    for (controller, path) in &execution.cgroups {
        if !controller.is_empty() && !known.contains_key(controller) {
            return Err(LaunchError::Usage(format!("unknown controller {controller} in SubCgroupPaths")));
        }
        if std::path::Path::new(path).components().any(|part| part == std::path::Component::ParentDir) {
            return Err(LaunchError::Usage(format!("bad sub cgroup path: {path}")));
        }
    }
    Ok(())
}

/// The sub-cgroup for `controller`, from `--cgroup`.
fn sub_cgroup(asked: &[(String, String)], controller: &str) -> Option<String> {
    let found = asked.iter().find(|(name, _)| name == controller || name.is_empty());
    found.map(|(_, path)| path.clone())
}

/// Where the process may be born: in the container's cgroup, or, when that has handed its controllers down and no other
/// was asked for, where the container's first process has gone.
fn birthplaces(execution: &Execution<'_>, join: &Join, init: Pid) -> Vec<OwnedFd> {
    let manager = &execution.container.cgroup;
    if manager.is_of_user() {
        return Vec::new();
    }
    let own = join.unified().and_then(|cgroup| cgroup.try_clone_to_owned().ok());
    let mut places: Vec<_> = own.into_iter().collect();
    if execution.cgroups.is_empty() {
        places.extend(manager.of_process(init.as_raw_nonzero().get()));
    }
    places
}

/// The user's own systemd moves the process in; it runs nothing of the container yet.
fn attach(execution: &Execution<'_>, child: &Child) {
    let manager = &execution.container.cgroup;
    if manager.is_of_user() {
        let below = sub_cgroup(&execution.cgroups, "").unwrap_or_default();
        if let Err(error) = manager.attach(&below, child.pid.as_raw_nonzero().get()) {
            // As every refused cgroup of a rootless container.
            log::debug(&crate::error::chain(&error));
        }
    }
}

type Cpus = Option<Vec<u64>>;

fn affinity(process: &Process) -> (Cpus, Cpus) {
    let Some(affinity) = &process.exec_cpu_affinity else { return (None, None) };
    let parse = |text: &str| number_list(text).filter(|cpus| !cpus.is_empty());
    (parse(&affinity.initial), parse(&affinity.last))
}

/// What the parent does when the new process asks.
struct Executor<'a> {
    execution: &'a Execution<'a>,
    child: &'a Child,
    clamped: Clamped,
}

impl Executor<'_> {
    /// A process document without limits means those of the container.
    fn limits(&self) -> &[Rlimit] {
        let own = self.execution.spec.process.as_ref().map(|process| process.rlimits.as_slice());
        let asked = self.execution.process.rlimits.as_slice();
        if asked.is_empty() { own.unwrap_or_default() } else { asked }
    }
}

impl Partner for Executor<'_> {
    fn map_owners(&mut self, _: usize, _: &std::os::fd::OwnedFd) -> Result<(), LaunchError> {
        Err(LaunchError::Usage("an exec makes no mounts".to_owned()))
    }

    fn mounted(&mut self) -> Result<(), LaunchError> {
        Ok(())
    }

    fn ready(&mut self) -> Result<(), LaunchError> {
        log::debug("child process in init() is ready");
        log::debug("setns_init: about to exec");
        let mut clamped = std::mem::take(&mut self.clamped);
        limits::set_rlimits(self.child.pid, self.limits(), &mut clamped)?;
        clamped.tell();
        Ok(())
    }

    fn oci_state(&self, _: Status) -> OciState<'_> {
        let state = &self.execution.container.state;
        let pid = state.init.map_or(0, |init| init.pid);
        let annotations = &self.execution.spec.annotations;
        OciState::new(state.id.as_str(), Status::Running, pid, &state.bundle, annotations)
    }
}
