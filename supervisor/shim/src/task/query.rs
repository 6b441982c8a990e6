//! What a client asks or adjusts without changing the state: State, Wait, Connect, Stats, ResizePty, CloseIO.

use dhow_proto::containerd::task::v3::{
    CloseIoRequest, ConnectRequest, ConnectResponse, ResizePtyRequest, StateRequest, StateResponse,
    StatsRequest, StatsResponse, WaitRequest, WaitResponse,
};

use super::process::State;
use super::{Shim, TaskError};

impl Shim {
    /// What a process is doing.
    pub(crate) fn state(&self, request: &StateRequest) -> Result<StateResponse, TaskError> {
        let (container, process) = self.process(&request.id, &request.exec_id)?;
        let exit = process.exit();
        let id = if process.is_init() { &container.id } else { &process.exec_id };
        Ok(StateResponse {
            id: id.clone(),
            bundle: container.bundle.to_string_lossy().into_owned(),
            pid: process.pid.get(),
            status: container.status(&process).into(),
            stdin: process.stdio.stdin.clone(),
            stdout: process.stdio.stdout.clone(),
            stderr: process.stdio.stderr.clone(),
            terminal: process.stdio.terminal,
            exit_status: exit.map_or(0, |exit| exit.status),
            exited_at: exit.map(|exit| exit.at),
            exec_id: process.exec_id.clone(),
        })
    }

    /// Waits for the end of a process.
    pub(crate) async fn wait(&self, request: &WaitRequest) -> Result<WaitResponse, TaskError> {
        let (_, process) = self.process(&request.id, &request.exec_id)?;
        let exit = process.ended().await.ok_or_else(|| TaskError::NoProcess(request.exec_id.clone()))?;
        Ok(WaitResponse { exit_status: exit.status, exited_at: Some(exit.at) })
    }

    /// Who serves the container.
    pub(crate) fn connect(&self, request: &ConnectRequest) -> ConnectResponse {
        let task_pid = self.container(&request.id).map_or(0, |container| container.init.pid.get());
        let version = env!("CARGO_PKG_VERSION").to_owned();
        ConnectResponse { shim_pid: std::process::id(), task_pid, version }
    }

    /// What the container uses.
    pub(crate) fn stats(&self, request: &StatsRequest) -> Result<StatsResponse, TaskError> {
        let container = self.container(&request.id)?;
        let cgroup = container.cgroup.as_ref().ok_or(TaskError::NotFound("cgroup does not exist"))?;
        let stats = cgroup.metrics().ok_or(TaskError::NotFound("cgroup does not exist"))?;
        Ok(StatsResponse { stats: Some(stats) })
    }

    /// Sets the size of a terminal.
    pub(crate) fn resize_pty(&self, request: &ResizePtyRequest) -> Result<(), TaskError> {
        let (_, process) = self.process(&request.id, &request.exec_id)?;
        if let (false, State::Stopped(_)) = (process.is_init(), process.state()) {
            return Err(TaskError::State("cannot resize a stopped container".to_owned()));
        }
        let size = |length: u32| u16::try_from(length).unwrap_or(u16::MAX);
        let resized = match &*process.io.borrow() {
            Some(io) => io.resize(size(request.width), size(request.height)),
            None => Ok(()),
        };
        resized.map_err(|error| TaskError::State(format!("resize terminal: {error}")))
    }

    /// Closes the stdin of a process.
    pub(crate) fn close_io(&self, request: &CloseIoRequest) -> Result<(), TaskError> {
        let (_, process) = self.process(&request.id, &request.exec_id)?;
        if request.stdin {
            process.close_stdin();
        }
        Ok(())
    }
}
