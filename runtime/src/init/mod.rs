//! The first process of a container, and of an exec: from clone to the user's program.
//!
//! This code runs in a copy of the runtime, without another exec: what the parent prepared is simply there. It talks
//! to the parent only through [`sync`]; it can no longer log. Each step is one line below, in the order in which they
//! must happen.

mod become_program;
mod capability;
mod console;
mod environment;
mod listener;
mod namespace;
mod proc;
mod program;
pub(crate) mod sync;
mod task;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use dhow_linux::clone::NamespaceFlags;
use oci_spec::runtime::Hooks;

use crate::cgroup::{Join, Manager};
use crate::container::{OciState, Status};
use crate::hook::{self, HookError, Moment};
use crate::log::step;
use crate::rootfs::{Entrance, Prepared, Rootfs, RootfsError};
use crate::spec::{NamespaceKind, Spec};

pub(crate) use capability::Sets as CapabilitySets;
pub(crate) use console::send_descriptor;
pub(crate) use program::ProgramError;
pub(crate) use task::{Console, Keyring, Task, TaskError, number_list};

use sync::{Channel, Message};

/// A step failed. The texts are what users and engines see as the reason why a container did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InitError {
    /// A step that is one or a few kernel calls.
    #[error("{step}")]
    Step {
        /// What was being done.
        step: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Files.
    #[error(transparent)]
    Rootfs(#[from] RootfsError),
    /// A hook that runs in the container.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The user's program cannot be run.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A working directory that is not in the container (CVE-2024-21626).
    #[error(
        "current working directory is outside of container mount namespace root -- possible container breakout detected"
    )]
    OutsideCwd,
    /// A user or group that the user namespace does not have.
    #[error("cannot {call} to unmapped {name} {id} in user namespace")]
    Unmapped {
        /// `setuid` or `setgid`.
        call: &'static str,
        /// `uid` or `gid`.
        name: &'static str,
        /// Which.
        id: u32,
    },
    /// The environment has an entry that is none.
    #[error("invalid environment variable{0}")]
    Environment(String),
    /// The terminal is not one.
    #[error("verify ptmx handle: {0}")]
    Ptmx(&'static str),
}

impl InitError {
    /// An adapter for `map_err`.
    pub(crate) fn step<E: Into<io::Error>>(step: impl Into<String>) -> impl FnOnce(E) -> Self {
        move |source| Self::Step { step: step.into(), source: source.into() }
    }
}

/// A new container, as its first process needs it.
#[derive(Debug)]
pub(crate) struct Setup<'a> {
    /// The container's id.
    pub(crate) id: &'a str,
    /// Its bundle.
    pub(crate) bundle: PathBuf,
    /// Its configuration.
    pub(crate) spec: &'a Spec,
    /// Its root file system, absolute.
    pub(crate) rootfs: PathBuf,
    /// How the root changes.
    pub(crate) entrance: Entrance,
    /// Its cgroups.
    pub(crate) cgroups: Manager,
    /// The doors of its cgroups; none when the parent makes them meanwhile.
    pub(crate) join: Option<Join>,
    /// Whether a refused cgroup is an error.
    pub(crate) must_join: bool,
    /// Namespaces to join.
    pub(crate) joined: Vec<(NamespaceKind, OwnedFd)>,
    /// Namespaces that the process makes itself while the parent makes its cgroups.
    pub(crate) early: NamespaceFlags,
    /// Namespaces that it makes once it is in its cgroups.
    pub(crate) unshared: NamespaceFlags,
    /// Whether the parent has something to do before the first step.
    pub(crate) waits: bool,
    /// Sources of mounts that only the parent could open, by the mount's place in the list.
    pub(crate) prepared: Vec<Prepared>,
    /// What to run.
    pub(crate) task: Task<'a>,
    /// Where `create` leaves it waiting; nothing for `run`.
    pub(crate) fifo: Option<OwnedFd>,
}

/// Becomes the container's program. Never returns: a failure is sent to the parent.
pub(crate) fn run(setup: Setup<'_>, channel: Channel) -> ! {
    let Err(error) = try_run(setup, &channel);
    fail(&channel, &error)
}

fn try_run(mut setup: Setup<'_>, channel: &Channel) -> Result<std::convert::Infallible, InitError> {
    // The trace's file is closed before the process reports that it is ready: the last step ends there.
    let mut _step = step("init: namespaces");
    namespace::prepare()?;
    if setup.waits {
        channel.wait().map_err(InitError::step("sync with the runtime"))?;
    }
    namespace::lead_session()?;
    if let Some(join) = setup.join.take() {
        namespace::enter_cgroup(&join, setup.must_join)?;
    } else {
        namespace::unshare(setup.early)?;
        namespace::raise_loopback(setup.spec)?;
        _step = step("init: wait for the cgroups");
        let join = namespace::await_cgroups(channel, &mut setup.cgroups)?;
        namespace::enter_cgroup(&join, setup.must_join)?;
        _step = step("init: identity");
    }
    namespace::own_identity(setup.spec)?;
    namespace::join(&setup.joined)?;
    namespace::unshare(setup.unshared)?;
    namespace::join_keyring(setup.task.keyring.as_ref(), channel)?;
    if setup.early.is_empty() {
        namespace::raise_loopback(setup.spec)?;
    }
    namespace::set_names(setup.spec)?;
    _step = step("init: mounts");
    let mut rootfs = Rootfs::open(setup.spec, &setup.rootfs, &setup.cgroups)?;
    for (place, (mount, prepared)) in setup.spec.mounts.iter().zip(&mut setup.prepared).enumerate() {
        rootfs.mount(mount, prepared, &|tree| ask_for_owners(channel, place, tree))?;
    }
    _step = step("init: devices");
    let fills_dev = rootfs.fills_dev();
    if fills_dev {
        rootfs.make_devices()?;
    }
    run_mount_hooks(&setup, channel)?;
    _step = step("init: change root");
    let proc = proc::Proc::open(&setup)?;
    rootfs.enter(setup.entrance)?;
    if fills_dev {
        rootfs.reopen_null()?;
    }
    rootfs.make_cwd(&setup.task.process.cwd)?;
    _step = step("init: finish root");
    if let Some(console) = &setup.task.console {
        console::open(console, console::Place::NewContainer)?;
    }
    console::send_pidfd(setup.task.pidfd_socket.as_ref(), "standard")?;
    rootfs.finish()?;
    become_program::set_umask(setup.task.process.user.umask);
    proc.write_sysctls(&setup.spec.linux.sysctl)?;
    proc.label(&setup.task)?;
    _step = step("init: protect paths");
    rootfs.make_read_only()?;
    rootfs.mask()?;
    rootfs.forbid_binding()?;
    drop(rootfs);
    drop((_step, proc));
    let Setup { mut task, fifo, spec, id, bundle, prepared, joined, .. } = setup;
    drop((prepared, joined));
    task.drop_sockets();
    become_program::restrict(&task)?;
    become_program::report_ready(&task, fifo.as_ref(), channel)?;
    become_program::take_identity(&mut task, channel)?;
    let program = become_program::find(&task)?;
    become_program::filter_late(&task, channel)?;
    let start = become_program::Start { fifo, hooks: spec.hooks.as_ref(), id, bundle: &bundle, spec };
    become_program::wait_and_exec(&task, &program, &start, channel)
}

/// In a user namespace only the parent may map owners: it gets the tree by its number.
fn ask_for_owners(channel: &Channel, place: usize, tree: BorrowedFd<'_>) -> io::Result<()> {
    channel.send(&Message::Map(place, tree.as_raw_fd()))?;
    channel.wait()
}

/// createContainer hooks run here, createRuntime ones (and prestart) in the parent, at the same moment.
fn run_mount_hooks(setup: &Setup<'_>, channel: &Channel) -> Result<(), InitError> {
    let hooks = setup.spec.hooks.as_ref();
    if runs_in_parent(hooks) {
        channel.send(&Message::Mounted).map_err(InitError::step("sync with the runtime"))?;
        channel.wait().map_err(InitError::step("sync with the runtime"))?;
    }
    if !Moment::CreateContainer.has_hooks(hooks) {
        return Ok(());
    }
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    let state = OciState::new(setup.id, Status::Creating, pid, &setup.bundle, &setup.spec.annotations);
    std::env::set_current_dir(&setup.rootfs).map_err(InitError::step("chdir to rootfs"))?;
    hook::run(hooks, Moment::CreateContainer, &state, None).map_err(Into::into)
}

/// Whether the parent has hooks to run once the mounts are made.
pub(crate) fn runs_in_parent(hooks: Option<&Hooks>) -> bool {
    Moment::Prestart.has_hooks(hooks) || Moment::CreateRuntime.has_hooks(hooks)
}

/// Another process in a running container.
#[derive(Debug)]
pub(crate) struct ExecSetup<'a> {
    /// The first process of the container, whose namespaces to join.
    pub(crate) init: OwnedFd,
    /// Which of them are the container's.
    pub(crate) namespaces: NamespaceFlags,
    /// Whether one of them is a user namespace.
    pub(crate) user_namespace: bool,
    /// The doors of the container's cgroups.
    pub(crate) join: Join,
    /// Whether a refused cgroup is an error.
    pub(crate) must_join: bool,
    /// CPUs after the cgroup was joined.
    pub(crate) affinity: Option<Vec<u64>>,
    /// What to run.
    pub(crate) task: Task<'a>,
}

/// What a process in a running container still needs once it is there.
#[derive(Debug)]
pub(crate) struct Inside<'a> {
    task: Task<'a>,
    proc: proc::Proc,
}

/// Brings the calling process, which nobody in the container sees yet, in: its children will have nothing of the host
/// but `kept` and what they need themselves.
pub(crate) fn enter<'a>(setup: ExecSetup<'a>, kept: &[BorrowedFd<'_>]) -> Result<Inside<'a>, InitError> {
    namespace::prepare()?;
    namespace::enter_cgroup(&setup.join, setup.must_join)?;
    let proc = proc::Proc::for_exec(&setup.task)?;
    namespace::join_process(&setup)?;
    namespace::set_affinity(setup.affinity.as_deref())?;
    let ExecSetup { task, init, join, .. } = setup;
    drop((init, join));
    let own =
        [task.console.as_ref().map(|console| &console.socket), task.pidfd_socket.as_ref(), proc.handle()];
    let own = own.into_iter().flatten().map(AsFd::as_fd);
    let kept: Vec<BorrowedFd<'_>> = kept.iter().copied().chain(own).collect();
    dhow_linux::descriptor::close_all_but(task.descriptors, &kept).map_err(InitError::step("close_range"))?;
    Ok(Inside { task, proc })
}

/// Becomes a program in a running container. Never returns: a failure is sent to the parent.
pub(crate) fn exec(inside: Inside<'_>, channel: Channel) -> ! {
    let Err(error) = try_exec(inside, &channel);
    fail(&channel, &error)
}

fn try_exec(inside: Inside<'_>, channel: &Channel) -> Result<std::convert::Infallible, InitError> {
    let Inside { mut task, proc } = inside;
    namespace::lead_session()?;
    namespace::join_keyring(task.keyring.as_ref(), channel)?;
    if let Some(console) = &task.console {
        console::open(console, console::Place::Exec)?;
    }
    console::send_pidfd(task.pidfd_socket.as_ref(), "setns")?;
    proc.label(&task)?;
    drop(proc);
    task.drop_sockets();
    become_program::set_umask(task.process.user.umask);
    become_program::restrict(&task)?;
    become_program::report_ready(&task, None, channel)?;
    become_program::take_identity(&mut task, channel)?;
    let program = become_program::find(&task)?;
    become_program::filter_late(&task, channel)?;
    become_program::exec_now(&task, &program, channel)
}

/// Tells the parent, and ends.
fn fail(channel: &Channel, error: &InitError) -> ! {
    let text = crate::error::chain(error);
    if channel.send(&Message::Failed(text.clone())).is_err() {
        // After `start` nobody listens any more; whoever reads the container's output should know.
        drop(io::Write::write_all(&mut io::stderr(), format!("{text}\n").as_bytes()));
    }
    dhow_linux::exec::exit_now(255)
}
