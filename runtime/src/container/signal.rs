//! Signals to a container, and its freezer.

use std::io;

use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::{Container, ContainerError, Status};
use crate::spec::{NamespaceKind, Spec};

impl Container {
    /// Sends `signal` to the first process; `SIGKILL` without a PID namespace of its own to every process.
    pub(crate) fn kill(&self, spec: &Spec, signal: Signal) -> Result<(), ContainerError> {
        if signal == Signal::KILL && !spec.creates(NamespaceKind::Pid) {
            // Nothing but the cgroup holds these processes together: the kernel does not end them with the first.
            if self.init().is_none() && !self.cgroup.exists() {
                return Err(ContainerError::NotRunning);
            }
            return self.cgroup.kill_all().map_err(Into::into);
        }
        self.signal_init(signal)?;
        if signal == Signal::KILL && self.cgroup.is_frozen().unwrap_or(false) {
            // A frozen v1 process dies only once it is thawed.
            drop(self.cgroup.thaw());
        }
        Ok(())
    }

    /// Sends `signal` to the first process, never to another that got its pid.
    pub(crate) fn signal_init(&self, signal: Signal) -> Result<(), ContainerError> {
        let pid = self.init().ok_or(ContainerError::NotRunning)?;
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Err(rustix::io::Errno::SRCH) => return Err(ContainerError::NotRunning),
            other => other.map_err(|error| ContainerError::Signal(error.into()))?,
        };
        // Asked again: between the first look and the handle the pid could have changed hands.
        if self.init() != Some(pid) {
            return Err(ContainerError::NotRunning);
        }
        match pidfd_send_signal(&handle, signal) {
            Err(rustix::io::Errno::SRCH) => Err(ContainerError::NotRunning),
            other => other.map_err(|error| ContainerError::Signal(io::Error::from(error))),
        }
    }

    /// Sends a signal that has no name: 0, which only asks, or a real-time one.
    pub(crate) fn signal_number(&self, number: i32) -> Result<(), ContainerError> {
        let pid = self.init().ok_or(ContainerError::NotRunning)?;
        let pid = nix::unistd::Pid::from_raw(pid.as_raw_nonzero().get());
        dhow_linux::signal::send(pid, number).map_err(|error| ContainerError::Signal(error.into()))
    }

    /// Freezes all of it.
    pub(crate) fn pause(&self) -> Result<(), ContainerError> {
        match self.status()? {
            Status::Running | Status::Created => self.cgroup.freeze().map_err(Into::into),
            _ => Err(ContainerError::NotRunning),
        }
    }

    /// Thaws it.
    pub(crate) fn resume(&self) -> Result<(), ContainerError> {
        match self.status()? {
            Status::Paused => self.cgroup.thaw().map_err(Into::into),
            _ => Err(ContainerError::NotPaused),
        }
    }
}
