//! Children: the runtime's commands, and as subreaper every process of a container that lost its parent.
//!
//! Owns: `wait`. A process may die before the command that made it has told its pid; so while any command that makes
//! one is under way ([`Launch`]) exits of unknown pids are kept, and none is lost.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::process::Command;
use std::rc::Rc;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use prost_types::Timestamp;

use crate::clock;
use crate::journal;
use crate::reactor::{Changed, Reactor, Watched};

/// How and when a process ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Exit {
    /// Its exit code, or 128 and the signal that killed it.
    pub(crate) status: u32,
    pub(crate) at: Timestamp,
}

/// Collects every child that dies.
#[derive(Debug, Default)]
pub(crate) struct Reaper {
    /// Pids whose exit somebody waits for, or will.
    watched: RefCell<BTreeMap<u32, Option<Exit>>>,
    /// Exits of unknown pids while something is launched.
    unclaimed: RefCell<BTreeMap<u32, Exit>>,
    launches: Cell<usize>,
    changed: Changed,
}

/// While this lives, exits of unknown pids are kept.
#[derive(Debug)]
pub(crate) struct Launch(Rc<Reaper>);

impl Reaper {
    /// Makes this process the reaper of its orphaned descendants, and collects them for as long as `reactor` runs.
    pub(crate) fn start(self: &Rc<Self>, reactor: &Reactor) -> Result<(), Errno> {
        nix::sys::prctl::set_child_subreaper(true)?;
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGCHLD);
        signals.thread_block()?;
        let fd = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let fd = Watched::new(reactor, fd).map_err(|error| Errno::from_raw(error.raw_os_error()))?;
        let reaper = Rc::clone(self);
        reactor.spawn(async move {
            let mut buffer = [0; 128 * 8];
            loop {
                // Signals merge, so each only means: look.
                if let Err(error) = fd.reading(|fd| rustix::io::read(fd, &mut buffer)).await {
                    journal::warn_once("read signals", &error);
                }
                reaper.reap();
            }
        });
        Ok(())
    }

    fn reap(&self) {
        loop {
            let (pid, status) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, code.cast_unsigned()),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, 128 + (signal as i32).cast_unsigned()),
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => break,
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(error) => {
                    journal::warn_once("wait for children", &error);
                    break;
                }
            };
            let exit = Exit { status, at: clock::now() };
            let pid = pid.as_raw().cast_unsigned();
            if let Some(slot) = self.watched.borrow_mut().get_mut(&pid) {
                *slot = Some(exit);
            } else if self.launches.get() > 0 {
                self.unclaimed.borrow_mut().insert(pid, exit);
            }
        }
        self.changed.notify();
    }

    /// Announces that a process will appear whose pid is not known yet.
    pub(crate) fn launch(self: &Rc<Self>) -> Launch {
        self.launches.set(self.launches.get() + 1);
        Launch(Rc::clone(self))
    }

    /// From now on keeps the exit of `pid`, also when it came already.
    pub(crate) fn watch(&self, pid: u32) {
        let earlier = self.unclaimed.borrow_mut().remove(&pid);
        self.watched.borrow_mut().insert(pid, earlier);
    }

    /// Waits for the exit of the watched `pid`, and forgets it.
    pub(crate) async fn exit_of(&self, pid: u32) -> Exit {
        let exit = self.changed.until(|| self.watched.borrow().get(&pid).copied().flatten()).await;
        self.watched.borrow_mut().remove(&pid);
        exit
    }

    /// Starts `command` and watches it; its pid.
    pub(crate) fn spawn(&self, command: &mut Command) -> std::io::Result<u32> {
        let child = command.spawn()?;
        self.watch(child.id());
        Ok(child.id())
    }
}

impl Drop for Launch {
    fn drop(&mut self) {
        self.0.launches.set(self.0.launches.get() - 1);
        if self.0.launches.get() == 0 {
            self.0.unclaimed.take();
        }
    }
}

/// Sends `signal` to a process that this reaper has not collected yet, so that the pid cannot be another's.
pub(crate) fn kill(pid: u32, signal: u32) -> Result<(), Errno> {
    let number = i32::try_from(signal).map_err(|_| Errno::EINVAL)?;
    let pid = Pid::from_raw(i32::try_from(pid).map_err(|_| Errno::ESRCH)?);
    match Signal::try_from(number) {
        Ok(signal) => nix::sys::signal::kill(pid, signal),
        // Real-time signals have no name there.
        Err(_) => dhow_linux::signal::send(pid, number),
    }
}
