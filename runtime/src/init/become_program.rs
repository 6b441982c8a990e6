//! The last steps: give up rights, wait for `start`, become the user's program.

use std::convert::Infallible;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::Hooks;
use rustix::fs::{FileType, Mode, makedev};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use super::environment::Environment;
use super::sync::{Channel, Message};
use super::{InitError, ProgramError, Task, listener, program};
use crate::container::{OciState, Status};
use crate::hook::{self, Moment};
use crate::spec::Spec;

/// What is found before the filter closes the way: the program and its environment.
#[derive(Debug)]
pub(super) struct Found {
    path: CString,
    environment: Environment,
}

/// Waits that only a container's first process has.
#[derive(Debug)]
pub(super) struct Start<'a> {
    /// Where `start` writes; nothing for `run`.
    pub(super) fifo: Option<OwnedFd>,
    /// For startContainer.
    pub(super) hooks: Option<&'a Hooks>,
    /// The container's id.
    pub(super) id: &'a str,
    /// Its bundle.
    pub(super) bundle: &'a Path,
    /// Its configuration.
    pub(super) spec: &'a Spec,
}

/// Sets the umask: the spec's, or the usual one.
pub(super) fn set_umask(umask: Option<u32>) {
    rustix::process::umask(Mode::from_raw_mode(umask.unwrap_or(0o022) & 0o777));
}

/// What is set on the process itself and needs rights that it still has.
pub(super) fn restrict(task: &Task<'_>) -> Result<(), InitError> {
    if task.process.no_new_privileges {
        rustix::thread::set_no_new_privs(true).map_err(InitError::step("prctl(SET_NO_NEW_PRIVS)"))?;
    }
    if let Some(policy) = task.scheduler {
        dhow_linux::sched::set_policy(policy).map_err(|error| {
            let clash = task.pinned && error.kind() == std::io::ErrorKind::PermissionDenied;
            let step = if clash {
                "process scheduler can't be used together with AllowedCPUs"
            } else {
                "error setting scheduler"
            };
            InitError::step(step)(error)
        })?;
    }
    if let Some((class, level)) = task.io_priority {
        dhow_linux::sched::set_io_priority(class, level)
            .map_err(InitError::step("failed to set io priority"))?;
    }
    if let Some(domain) = task.personality {
        dhow_linux::sched::set_personality(domain).map_err(InitError::step("error setting personality"))?;
    }
    if let Some((mode, nodes)) = &task.memory_policy {
        dhow_linux::sched::set_memory_policy(*mode, nodes)
            .map_err(InitError::step("failed to set memory policy"))?;
    }
    Ok(())
}

/// Closes what is no longer needed, the caller's leaked descriptors among it; tells the parent that the container is
/// made, and waits until it has written that down. From then on others can find this process.
pub(super) fn report_ready(
    task: &Task<'_>,
    fifo: Option<&OwnedFd>,
    channel: &Channel,
) -> Result<(), InitError> {
    let kept: Vec<BorrowedFd<'_>> = fifo.map(AsFd::as_fd).into_iter().chain([channel.socket()]).collect();
    dhow_linux::descriptor::close_all_but(task.descriptors, &kept).map_err(InitError::step("close_range"))?;
    channel
        .send(&Message::Ready)
        .and_then(|()| channel.wait())
        .map_err(InitError::step("sync with the runtime"))
}

/// Filter (while it still may), working directory, groups, user, capabilities: in the order that keeps each possible.
pub(super) fn take_identity(task: &mut Task<'_>, channel: &Channel) -> Result<(), InitError> {
    // Without no_new_privs a filter needs rights that are about to go.
    if !task.process.no_new_privileges {
        listener::install(task, channel)?;
    }
    let cwd = task.process.cwd.as_str();
    let entered = enter(cwd)?;
    if let Some(sets) = &task.capabilities {
        sets.limit_bounding()?;
    }
    rustix::thread::set_keep_capabilities(true).map_err(InitError::step("unable to set keep caps"))?;
    change_user(task)?;
    if !entered {
        // The user may enter what root may not (a file system that squashes it).
        rustix::process::chdir(cwd)
            .map_err(InitError::step(format!("chdir to cwd ({cwd:?}) set in config.json failed")))?;
    }
    verify_cwd()?;
    rustix::thread::set_keep_capabilities(false).map_err(InitError::step("unable to clear keep caps"))?;
    match task.capabilities.take() {
        Some(sets) => sets.apply(channel),
        None => Ok(()),
    }
}

/// Enters the working directory as root; whether it let us in.
fn enter(cwd: &str) -> Result<bool, InitError> {
    match rustix::process::chdir(cwd) {
        Ok(()) => Ok(true),
        Err(Errno::ACCESS | Errno::PERM) => Ok(false),
        Err(error) => {
            Err(InitError::step(format!("chdir to cwd ({cwd:?}) set in config.json failed"))(error))
        }
    }
}

/// getcwd says "(unreachable)" when the directory is not below our root.
fn verify_cwd() -> Result<(), InitError> {
    match rustix::process::getcwd(Vec::new()) {
        Ok(path) if path.as_bytes().starts_with(b"/") => Ok(()),
        Ok(_) | Err(Errno::NOENT) => Err(InitError::OutsideCwd),
        Err(error) => Err(InitError::step("failed to verify if current working directory is safe")(error)),
    }
}

fn change_user(task: &Task<'_>) -> Result<(), InitError> {
    let user = &task.process.user;
    own_standard(user.uid)?;
    let denied = || std::fs::read("/proc/self/setgroups").is_ok_and(|text| text.starts_with(b"deny"));
    if task.sets_groups && !denied() {
        let groups: Vec<Gid> = user.additional_gids.iter().map(|gid| Gid::from_raw(*gid)).collect();
        rustix::thread::set_thread_groups(&groups).map_err(InitError::step("setgroups"))?;
    }
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(unmapped("setgid", "gid", user.gid))?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(unmapped("setuid", "uid", user.uid))
}

fn unmapped(call: &'static str, name: &'static str, id: u32) -> impl FnOnce(Errno) -> InitError {
    move |error| match error {
        Errno::INVAL => InitError::Unmapped { call, name, id },
        other => InitError::step(call)(other),
    }
}

/// Gives 0, 1 and 2 to the user, so that it can open them again by name.
fn own_standard(uid: u32) -> Result<(), InitError> {
    own(&io::stdin(), uid)?;
    own(&io::stdout(), uid)?;
    own(&io::stderr(), uid)
}

fn own(stream: &impl std::os::fd::AsFd, uid: u32) -> Result<(), InitError> {
    let stat = rustix::fs::fstat(stream).map_err(InitError::step("fstat of a standard stream"))?;
    let null =
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == makedev(1, 3);
    if null || stat.st_uid == uid {
        return Ok(());
    }
    match rustix::fs::fchown(stream, Some(Uid::from_raw(uid)), None) {
        // An owner that the user namespace does not know, or a read-only file system: not ours to change.
        Ok(()) | Err(Errno::PERM | Errno::ROFS) => Ok(()),
        Err(error) => Err(InitError::step("chown of a standard stream")(error)),
    }
}

/// Looks for the program now, so that `create` already tells when there is none.
pub(super) fn find(task: &Task<'_>) -> Result<Found, InitError> {
    let environment = Environment::build(&task.process.env, task.process.user.uid)?;
    let name = task.process.args.first().map(String::as_str).unwrap_or_default();
    let path = program::find(name, &environment.path)?;
    Ok(Found { path, environment })
}

/// With no_new_privs the filter comes as late as possible, so that it need not allow what came before.
pub(super) fn filter_late(task: &Task<'_>, channel: &Channel) -> Result<(), InitError> {
    if task.process.no_new_privileges { listener::install(task, channel) } else { Ok(()) }
}

/// Waits for `start`, runs the startContainer hooks, and becomes the program.
pub(super) fn wait_and_exec(
    task: &Task<'_>,
    found: &Found,
    start: &Start<'_>,
    channel: &Channel,
) -> Result<Infallible, InitError> {
    if let Some(fifo) = &start.fifo {
        channel.send(&Message::Waiting).map_err(InitError::step("sync with the runtime"))?;
        wait_for_start(fifo)?;
    }
    if Moment::StartContainer.has_hooks(start.hooks) {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        let state = OciState::new(start.id, Status::Created, pid, start.bundle, &start.spec.annotations);
        let environment: Vec<String> =
            found.environment.pairs.iter().map(|pair| pair.to_string_lossy().into_owned()).collect();
        hook::run(start.hooks, Moment::StartContainer, &state, Some(&environment))
            .inspect_err(|error| tell_start(start.fifo.as_ref(), error))?;
    }
    exec_now(task, found, channel)
}

/// Tells `start`, which waits for the hooks: the same fifo carries the reason back, in one piece.
fn tell_start(fifo: Option<&OwnedFd>, error: &hook::HookError) {
    let Some(fifo) = fifo else { return };
    let text = crate::error::chain(error);
    let cut = text.floor_char_boundary(4096);
    let _ = rustix::io::write(fifo, &text.as_bytes()[..cut]);
}

fn wait_for_start(fifo: &OwnedFd) -> Result<(), InitError> {
    let mut byte = [0_u8; 1];
    loop {
        match rustix::io::read(fifo, &mut byte) {
            Err(Errno::INTR) => {}
            other => return other.map(drop).map_err(InitError::step("read exec fifo")),
        }
    }
}

/// Becomes the program. When the kernel does not take it after all, that is the program's own failure: it is told on
/// its stderr, and its status is 255.
pub(super) fn exec_now(task: &Task<'_>, found: &Found, channel: &Channel) -> ! {
    let Found { path, environment } = found;
    let (arguments, environment) = (&task.arguments, &environment.pairs);
    // The socket closes itself in the exec: that is how the parent learns that it worked.
    let error =
        dhow_linux::exec::replace_process(path, arguments, environment, task.descriptors, channel.socket());
    let error = ProgramError::Exec(path.to_string_lossy().into_owned(), error);
    let text = format!("{}\n", crate::error::chain(&error));
    drop(io::Write::write_all(&mut io::stderr(), text.as_bytes()));
    dhow_linux::exec::exit_now(255)
}
