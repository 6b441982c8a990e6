//! Hooks: programs of the caller, run at six moments with the container's state on their stdin.
//!
//! A hook that fails stops what it was part of; only poststart and poststop come too late for that, and the caller of
//! [`run`] decides.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use oci_spec::runtime::{Hook, Hooks};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{PidfdFlags, pidfd_open};

use crate::container::OciState;

/// When hooks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Old name of [`Moment::CreateRuntime`]; runs before it.
    Prestart,
    /// Mounts are made, in the runtime's namespaces.
    CreateRuntime,
    /// Mounts are made, in the container's namespaces, before the root is changed.
    CreateContainer,
    /// After `start`, as the container's first process, before its program.
    StartContainer,
    /// The program runs.
    Poststart,
    /// The container is gone.
    Poststop,
}

impl Moment {
    /// All of them, in their order.
    pub(crate) const ALL: [Self; 6] = [
        Self::Prestart,
        Self::CreateRuntime,
        Self::CreateContainer,
        Self::StartContainer,
        Self::Poststart,
        Self::Poststop,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Prestart => "prestart",
            Self::CreateRuntime => "createRuntime",
            Self::CreateContainer => "createContainer",
            Self::StartContainer => "startContainer",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }

    pub(crate) fn of(self, hooks: &Hooks) -> &[Hook] {
        let list = match self {
            Self::Prestart => hooks.prestart(),
            Self::CreateRuntime => hooks.create_runtime(),
            Self::CreateContainer => hooks.create_container(),
            Self::StartContainer => hooks.start_container(),
            Self::Poststart => hooks.poststart(),
            Self::Poststop => hooks.poststop(),
        };
        list.as_deref().unwrap_or_default()
    }

    /// Whether there is anything to run.
    pub(crate) fn has_hooks(self, hooks: Option<&Hooks>) -> bool {
        hooks.is_some_and(|hooks| !self.of(hooks).is_empty())
    }
}

/// A hook failed.
#[derive(Debug, thiserror::Error)]
#[error("error running {moment} hook #{index}")]
pub(crate) struct HookError {
    moment: &'static str,
    index: usize,
    source: HookFailure,
}

/// How a hook failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HookFailure {
    /// It could not be started, or its state not be written.
    #[error("fork/exec {0}")]
    Start(String, #[source] io::Error),
    /// It said so.
    #[error("{status}, stdout: {stdout}, stderr: {stderr}")]
    Status {
        /// `exit status 1`, `signal: killed`.
        status: String,
        /// What it printed.
        stdout: String,
        /// What it complained about.
        stderr: String,
    },
    /// It took longer than it may.
    #[error("hook ran past specified timeout of {0:.1}s")]
    Timeout(f64),
}

/// Runs the hooks of `moment` in order, up to the first that fails.
///
/// `environment` stands in for a hook's own where it has none (only for [`Moment::StartContainer`]).
pub(crate) fn run(
    hooks: Option<&Hooks>,
    moment: Moment,
    state: &OciState<'_>,
    environment: Option<&[String]>,
) -> Result<(), HookError> {
    let Some(hooks) = hooks else { return Ok(()) };
    (0..moment.of(hooks).len()).try_for_each(|index| run_nth(hooks, moment, index, state, environment))
}

/// Runs every hook of `moment` in order, and warns of those that fail.
pub(crate) fn run_all(hooks: Option<&Hooks>, moment: Moment, state: &OciState<'_>) {
    let Some(hooks) = hooks else { return };
    for index in 0..moment.of(hooks).len() {
        if let Err(error) = run_nth(hooks, moment, index, state, None) {
            crate::log::warn(&crate::error::chain(&error));
        }
    }
}

fn run_nth(
    hooks: &Hooks,
    moment: Moment,
    index: usize,
    state: &OciState<'_>,
    environment: Option<&[String]>,
) -> Result<(), HookError> {
    run_one(&moment.of(hooks)[index], &state.to_json(), environment).map_err(|source| HookError {
        moment: moment.name(),
        index,
        source,
    })
}

fn run_one(hook: &Hook, state: &[u8], environment: Option<&[String]>) -> Result<(), HookFailure> {
    let path = hook.path();
    let failed = |error| HookFailure::Start(path.display().to_string(), error);
    let mut command = Command::new(path);
    if let Some((name, arguments)) = hook.args().as_ref().and_then(|args| args.split_first()) {
        command.arg0(name).args(arguments);
    }
    command.env_clear();
    for pair in hook.env().as_deref().or(environment).unwrap_or_default() {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        command.env(name, value);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    let timeout = hook.timeout().filter(|seconds| *seconds > 0);
    let output = talk(&mut child, state, timeout);
    let Some((stdout, stderr)) = output.map_err(failed)? else {
        drop(child.kill());
        drop(child.wait());
        #[expect(clippy::cast_precision_loss, reason = "a number of seconds, for people")]
        return Err(HookFailure::Timeout(timeout.unwrap_or_default() as f64));
    };
    let status = child.wait().map_err(failed)?;
    if status.success() {
        return Ok(());
    }
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Err(HookFailure::Status { status: describe(status), stdout: text(stdout), stderr: text(stderr) })
}

/// Writes the state and collects what the hook prints, until it ends; `None` when the time is over.
///
/// The end is that of the process, not of its pipes: a daemon that it left behind may hold those for ever.
fn talk(child: &mut Child, state: &[u8], timeout: Option<i64>) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let pid = rustix::process::Pid::from_child(child);
    let ended = pidfd_open(pid, PidfdFlags::empty())?;
    if let Some(mut stdin) = child.stdin.take() {
        // A hook need not read its state. It is smaller than a pipe, so this does not block.
        drop(stdin.write_all(state));
    }
    let mut outputs: [(Option<OwnedFd>, Vec<u8>); 2] = [
        (child.stdout.take().map(Into::into), Vec::new()),
        (child.stderr.take().map(Into::into), Vec::new()),
    ];
    for (pipe, _) in &outputs {
        if let Some(pipe) = pipe {
            rustix::io::ioctl_fionbio(pipe, true)?;
        }
    }
    let start = std::time::Instant::now();
    loop {
        let left = match timeout {
            Some(seconds) => {
                let limit = Duration::from_secs(seconds.unsigned_abs());
                match limit.checked_sub(start.elapsed()) {
                    Some(left) => Some(left),
                    None => return Ok(None),
                }
            }
            None => None,
        };
        let over = wait(&ended, &outputs, left)?;
        for (pipe, collected) in &mut outputs {
            drain(pipe, collected)?;
        }
        if over {
            let [(_, stdout), (_, stderr)] = outputs;
            return Ok(Some((stdout, stderr)));
        }
    }
}

/// Waits for output or the end; whether it was the end.
fn wait(
    ended: &OwnedFd,
    outputs: &[(Option<OwnedFd>, Vec<u8>); 2],
    left: Option<Duration>,
) -> io::Result<bool> {
    let mut polled = vec![PollFd::new(ended, PollFlags::IN)];
    polled.extend(outputs.iter().filter_map(|(pipe, _)| Some(PollFd::new(pipe.as_ref()?, PollFlags::IN))));
    let timeout = left.map(|left| Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    });
    match rustix::event::poll(&mut polled, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(polled.first().is_some_and(|process| !process.revents().is_empty()))
}

fn drain(pipe: &mut Option<OwnedFd>, collected: &mut Vec<u8>) -> io::Result<()> {
    /// More of a hook's output than this is not kept.
    const LIMIT: usize = 64 << 10;
    let mut buffer = [0_u8; 4096];
    while let Some(open) = pipe {
        match rustix::io::read(&*open, &mut buffer) {
            Ok(0) => *pipe = None,
            Ok(length) => {
                let room = LIMIT.saturating_sub(collected.len());
                collected.extend_from_slice(&buffer[..length.min(room)]);
            }
            Err(rustix::io::Errno::AGAIN) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// As Go prints it.
pub(crate) fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => {
            let core = if status.core_dumped() { " (core dumped)" } else { "" };
            format!("signal: {}{core}", signal_text(signal))
        }
        (None, None) => status.to_string(),
    }
}

/// The words for a signal that callers of Go programs know.
fn signal_text(signal: i32) -> String {
    const WORDS: [&str; 31] = [
        "hangup",
        "interrupt",
        "quit",
        "illegal instruction",
        "trace/breakpoint trap",
        "aborted",
        "bus error",
        "floating point exception",
        "killed",
        "user defined signal 1",
        "segmentation fault",
        "user defined signal 2",
        "broken pipe",
        "alarm clock",
        "terminated",
        "stack fault",
        "child exited",
        "continued",
        "stopped (signal)",
        "stopped",
        "stopped (tty input)",
        "stopped (tty output)",
        "urgent I/O condition",
        "CPU time limit exceeded",
        "file size limit exceeded",
        "virtual timer expired",
        "profiling timer expired",
        "window changed",
        "I/O possible",
        "power failure",
        "bad system call",
    ];
    let word = usize::try_from(signal - 1).ok().and_then(|place| WORDS.get(place));
    word.map_or_else(|| format!("signal {signal}"), |word| (*word).to_owned())
}
