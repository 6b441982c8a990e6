//! Runs a command to its end with a deadline, or keeps it in the background and ends it by pid.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a command of a test may take; far above what any needs, so that a hang becomes a failure.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// A command that ended.
#[derive(Debug)]
pub struct Done {
    /// The exit status: 128+n after signal n.
    pub code: i32,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Done {
    /// Asserts exit status 0 and gives stdout without its last newline.
    ///
    /// # Panics
    /// With both streams, when the command failed.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self.stdout.trim_end_matches('\n').to_owned()
    }

    /// Asserts that the command ended with `code`, and gives itself back.
    ///
    /// # Panics
    /// With both streams, when it ended with another.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }
}

/// Runs `command` with `input` as its stdin.
///
/// # Panics
/// When it cannot be started, or does not end within [`DEADLINE`].
#[track_caller]
pub fn run_with(command: &mut Command, input: &[u8]) -> Done {
    run_within(DEADLINE, command, input)
}

/// The same with a deadline of its own.
///
/// # Panics
/// As [`run_with`].
#[track_caller]
pub fn run_within(deadline: Duration, command: &mut Command, input: &[u8]) -> Done {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("start {command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("piped");
    let out = reader(child.stdout.take().expect("piped"));
    let err = reader(child.stderr.take().expect("piped"));
    let input = input.to_owned();
    let feed = std::thread::spawn(move || stdin.write_all(&input).is_ok());
    let status =
        wait(&mut child, deadline).unwrap_or_else(|| panic!("{command:?} did not end in {deadline:?}"));
    drop(feed);
    Done { code: code(status), stdout: collect(&out), stderr: collect(&err) }
}

/// Reads a pipe in the background; the receiver ends with the pipe.
fn reader(mut stream: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(count @ 1..) = stream.read(&mut bytes) {
            if sender.send(bytes[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// What was read until the pipe ended, or until it stayed silent because a process in the background keeps it open.
fn collect(receiver: &Receiver<Vec<u8>>) -> String {
    let mut bytes = Vec::new();
    while let Ok(part) = receiver.recv_timeout(Duration::from_secs(2)) {
        bytes.extend(part);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Runs `command` with empty stdin.
///
/// # Panics
/// As [`run_with`].
#[track_caller]
pub fn run(command: &mut Command) -> Done {
    run_with(command, b"")
}

/// Runs a program with arguments.
///
/// # Panics
/// As [`run_with`].
#[track_caller]
pub fn call(program: impl AsRef<Path>, arguments: &[&str]) -> Done {
    run(Command::new(program.as_ref()).args(arguments))
}

/// The number a shell would show for `status`.
#[must_use]
pub fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// Waits until `child` ends; kills it and gives `None` past the deadline.
pub fn wait(child: &mut Child, deadline: Duration) -> Option<ExitStatus> {
    let end = Instant::now() + deadline;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(2)),
            _ => {
                drop(child.kill());
                drop(child.wait());
                return None;
            }
        }
    }
}

/// A process in the background that is ended when dropped.
#[derive(Debug)]
pub struct Background(Child);

impl Background {
    /// Starts `command`; stdin is empty, the other streams go where the command says.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        Self(
            command.stdin(Stdio::null()).spawn().unwrap_or_else(|error| panic!("start {command:?}: {error}")),
        )
    }

    /// Its process ID.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.0.id()).expect("a pid fits"))
    }

    /// Sends a signal to it.
    pub fn signal(&self, signal: Signal) {
        let _gone = kill(self.pid(), signal);
    }

    /// Sends SIGKILL and reaps.
    pub fn kill(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }

    /// Sends SIGTERM and waits until it ended.
    ///
    /// # Panics
    /// When it does not end within [`DEADLINE`].
    #[track_caller]
    pub fn terminate(&mut self) -> i32 {
        self.signal(Signal::SIGTERM);
        code(wait(&mut self.0, DEADLINE).expect("ends after SIGTERM"))
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if self.is_running() {
            self.signal(Signal::SIGTERM);
            wait(&mut self.0, Duration::from_secs(10));
        }
    }
}

/// Asks `condition` until it holds.
///
/// # Panics
/// When it does not hold within [`DEADLINE`]; `what` says which.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
