//! Staying in the foreground: signals go to the process, a terminal is relayed, and its exit status becomes ours.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

use super::dialogue::receive_descriptor;
use super::{Connection, LaunchError};

/// What waits for the process; made before it exists, so that no signal is lost.
#[derive(Debug)]
pub(super) struct Foreground {
    signals: Option<SignalFd>,
}

impl Foreground {
    /// Blocks all signals and collects them, when the runtime is going to stay.
    pub(super) fn prepare(connection: &Connection, subreaper: bool) -> Result<Self, LaunchError> {
        if connection.detach {
            return Ok(Self { signals: None });
        }
        if subreaper {
            nix::sys::prctl::set_child_subreaper(true).map_err(LaunchError::call("set subreaper"))?;
        }
        let all = SigSet::all();
        all.thread_block().map_err(LaunchError::call("block signals"))?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&all, flags).map_err(LaunchError::call("signalfd"))?;
        Ok(Self { signals: Some(signals) })
    }

    /// Waits for the end of our child `pid`; `terminal` is where its terminal arrives.
    pub(super) fn wait(self, pid: Pid, terminal: Option<OwnedFd>) -> Result<i32, LaunchError> {
        let Some(signals) = self.signals else { return Ok(0) };
        let relay = terminal.map(|socket| Relay::start(&socket)).transpose();
        let mut relay = relay.map_err(LaunchError::call("relay the terminal"))?;
        loop {
            if let Some(status) = handle_signals(&signals, pid, relay.as_ref())? {
                if let Some(relay) = &mut relay {
                    relay.drain();
                }
                return Ok(status);
            }
            wait_once(&signals, relay.as_mut()).map_err(LaunchError::call("wait for the container"))?;
        }
    }
}

/// Reads all signals that came; gives the exit status when our child `pid` ended.
fn handle_signals(signals: &SignalFd, pid: Pid, relay: Option<&Relay>) -> Result<Option<i32>, LaunchError> {
    while let Some(info) = signals.read_signal().map_err(LaunchError::call("read signals"))? {
        let number = i32::try_from(info.ssi_signo).unwrap_or_default();
        match Signal::try_from(number) {
            Ok(Signal::SIGCHLD) => {
                if let Some(status) = reap(pid) {
                    return Ok(Some(status));
                }
            }
            Ok(Signal::SIGWINCH) if relay.is_some() => relay.iter().for_each(|relay| relay.resize()),
            Ok(Signal::SIGURG) => {}
            _ => {
                let pid = nix::unistd::Pid::from_raw(pid.as_raw_nonzero().get());
                // The child is not reaped yet, so this is no other process.
                if let Ok(signal) = Signal::try_from(number) {
                    let _ = nix::sys::signal::kill(pid, signal);
                }
            }
        }
    }
    Ok(None)
}

/// Reaps everything that ended, orphans of the container too; gives the exit status of `pid`.
fn reap(pid: Pid) -> Option<i32> {
    let mut found = None;
    while let Ok(Some((ended, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if ended == pid {
            found = Some(exit_status(status));
        }
    }
    found
}

/// As a shell has it.
fn exit_status(status: WaitStatus) -> i32 {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 255,
    }
}

fn wait_once(signals: &SignalFd, relay: Option<&mut Relay>) -> io::Result<()> {
    let Some(relay) = relay else {
        let mut polled = [PollFd::new(signals, PollFlags::IN)];
        return ignore_interrupt(rustix::event::poll(&mut polled, None).map(drop));
    };
    relay.wait(signals)
}

fn ignore_interrupt(result: rustix::io::Result<()>) -> io::Result<()> {
    match result {
        Err(Errno::INTR) => Ok(()),
        other => other.map_err(Into::into),
    }
}

/// The caller's terminal connected to the container's.
#[derive(Debug)]
struct Relay {
    master: OwnedFd,
    /// The caller's terminal and how it was before.
    host: Option<(OwnedFd, Termios)>,
    /// Whether the caller's input has more to give.
    reading: bool,
    /// Whether the container's side is open.
    open: bool,
}

impl Relay {
    fn start(socket: &OwnedFd) -> io::Result<Self> {
        let master = receive_descriptor(socket)?;
        let host = host_terminal();
        if let Some((terminal, before)) = &host {
            let mut raw = before.clone();
            raw.make_raw();
            tcsetattr(terminal, OptionalActions::Now, &raw)?;
        }
        let relay = Self { master, host, reading: true, open: true };
        relay.resize();
        Ok(relay)
    }

    /// Gives the container's terminal the size of the caller's.
    fn resize(&self) {
        if let Some((terminal, _)) = &self.host
            && let Ok(size) = tcgetwinsize(terminal)
        {
            let _ = tcsetwinsize(&self.master, size);
        }
    }

    /// Waits for a signal or for something to copy, and copies it.
    fn wait(&mut self, signals: &SignalFd) -> io::Result<()> {
        let stdin = io::stdin();
        let mut polled = vec![PollFd::new(signals, PollFlags::IN)];
        if self.open {
            polled.push(PollFd::new(&self.master, PollFlags::IN));
        }
        if self.open && self.reading {
            polled.push(PollFd::new(&stdin, PollFlags::IN));
        }
        ignore_interrupt(rustix::event::poll(&mut polled, None).map(drop))?;
        let came = |place: usize| polled.get(place).is_some_and(|one| !one.revents().is_empty());
        let (output, input) = (came(1), came(2));
        if output {
            self.open = copy(&self.master, io::stdout());
        }
        if input {
            self.reading = copy(&stdin, &self.master);
            if !self.reading {
                // The end of the caller's input is what a terminal calls end of file.
                let _ = rustix::io::write(&self.master, &[4]);
            }
        }
        Ok(())
    }

    /// Copies what the container had written before it ended.
    fn drain(&mut self) {
        if rustix::io::ioctl_fionbio(&self.master, true).is_ok() {
            while self.open && copy(&self.master, io::stdout()) {}
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some((terminal, before)) = &self.host {
            let _ = tcsetattr(terminal, OptionalActions::Now, before);
        }
    }
}

/// Copies once; whether there may be more.
fn copy(from: impl AsFd, to: impl AsFd) -> bool {
    let mut buffer = [0_u8; 8192];
    let length = match rustix::io::read(from, &mut buffer) {
        Err(Errno::INTR) => return true,
        Ok(length) if length > 0 => length,
        // A terminal whose last user is gone answers EIO.
        _ => return false,
    };
    let mut rest = &buffer[..length];
    while !rest.is_empty() {
        match rustix::io::write(&to, rest) {
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    true
}

/// The caller's terminal: whichever standard stream is one, or the controlling one.
fn host_terminal() -> Option<(OwnedFd, Termios)> {
    let streams = [
        io::stderr().as_fd().try_clone_to_owned(),
        io::stdout().as_fd().try_clone_to_owned(),
        io::stdin().as_fd().try_clone_to_owned(),
    ];
    let controlling = std::fs::OpenOptions::new().read(true).write(true).open("/dev/tty").map(OwnedFd::from);
    streams.into_iter().chain([controlling]).flatten().find_map(|stream| {
        let before = tcgetattr(&stream).ok()?;
        Some((stream, before))
    })
}
