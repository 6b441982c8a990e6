//! `kill`, `stop`, `restart`, `pause` and `unpause`.

use std::sync::Arc;
use std::time::Duration;

use dhow_proto::containerd::services::tasks::v1::{KillRequest, PauseTaskRequest, ResumeTaskRequest};
use dhow_proto::error::Kind;

use super::failure::StateError;
use super::record::RecordError;
use super::signal::{Signal, SignalError};
use super::start::{self, StartError};
use super::state::{Container, Phase, Until};
use crate::daemon::Daemon;
use crate::error::Failure;

/// How long a container has between its stop signal and `SIGKILL`, when neither it nor the client says.
const GRACE: i64 = 10;
/// How long a killed container may take to end.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Why a container could not be signalled, stopped or frozen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StopError {
    #[error("cannot kill container: {name}")]
    Kill { name: String, source: StateError },
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Signal(#[from] SignalError),
    #[error("{action} container {id}")]
    Supervisor { action: &'static str, id: String, source: Box<tonic::Status> },
    #[error("container {0} did not end after SIGKILL")]
    Undead(String),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Start(#[from] StartError),
}

impl Failure for StopError {
    fn kind(&self) -> Kind {
        match self {
            Self::Kill { source, .. } | Self::State(source) => source.kind(),
            Self::Signal(error) => error.kind(),
            Self::Supervisor { source, .. } => source.code().into(),
            Self::Undead(_) => Kind::Internal,
            Self::Record(error) => error.kind(),
            Self::Start(error) => error.kind(),
        }
    }
}

/// Whether a verb changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Changed {
    Yes,
    No,
}

/// Sends a signal to the first process of a container.
pub(crate) async fn kill(
    daemon: &Daemon,
    container: &Arc<Container>,
    signal: Signal,
) -> Result<(), StopError> {
    let (thaw, ends) = {
        let mut state = container.state();
        match &state.phase {
            Phase::Running { .. } => {}
            Phase::Restarting { .. } => {
                let source = StateError::Restarting(container.id.clone());
                return Err(StopError::Kill { name: state.record.name.clone(), source });
            }
            Phase::Idle | Phase::Removing => {
                let source = StateError::NotRunning(container.id.clone());
                return Err(StopError::Kill { name: state.record.name.clone(), source });
            }
        }
        let ends = signal == Signal::of_stop(&state.record.config.stop_signal);
        state.stays_down |= ends;
        state.record.history.stopped_by_hand = true;
        let frozen = matches!(state.phase, Phase::Running { paused: true, .. });
        (frozen && (ends || signal == Signal::KILL), ends || signal == Signal::KILL)
    };
    container.save().await?;
    send(daemon, container, signal).await?;
    if thaw {
        // A frozen process takes no signal: it takes this one when it goes on.
        thaw_task(daemon, container).await?;
    }
    tracing::debug!(container = %container.id, signal = signal.number(), ends, "signalled");
    container.tell_event(daemon, "kill", &[("signal", &signal.number().to_string())]);
    Ok(())
}

async fn send(daemon: &Daemon, container: &Container, signal: Signal) -> Result<(), StopError> {
    let request = KillRequest {
        container_id: container.id.clone(),
        exec_id: String::new(),
        signal: signal.number(),
        all: false,
    };
    match daemon.supervisor.tasks().kill(request).await {
        Ok(_) => Ok(()),
        // It ended by itself; its exit is on the way.
        Err(status) if status.code() == tonic::Code::NotFound => Ok(()),
        Err(status) => Err(supervisor("kill", container)(status)),
    }
}

fn supervisor(action: &'static str, container: &Container) -> impl FnOnce(tonic::Status) -> StopError {
    let id = container.id.clone();
    move |source| StopError::Supervisor { action, id, source: Box::new(source) }
}

/// Asks a container to end, and ends it when it does not.
///
/// `seconds` before `SIGKILL`: -1 for ever, `None` for what the container says.
pub(crate) async fn stop(
    daemon: &Daemon,
    container: &Arc<Container>,
    signal: Option<Signal>,
    seconds: Option<i64>,
) -> Result<Changed, StopError> {
    let (mut exit, signal, seconds) = {
        let mut state = container.state();
        match &state.phase {
            Phase::Idle => return Ok(Changed::No),
            Phase::Removing => return Err(StateError::Removing("stopped").into()),
            Phase::Restarting { timer } => {
                timer.abort();
                state.phase = Phase::Idle;
                state.stays_down = true;
                state.record.history.stopped_by_hand = true;
                let exit = state.exit();
                state.tell(Until::NextExit, &exit);
                return Ok(Changed::Yes);
            }
            Phase::Running { .. } => {}
        }
        state.stays_down = true;
        let config = &state.record.config;
        let signal = signal.unwrap_or_else(|| Signal::of_stop(&config.stop_signal));
        let seconds = seconds.or(config.stop_timeout).unwrap_or(GRACE);
        (state.wait(Until::NextExit), signal, seconds)
    };
    match kill(daemon, container, signal).await {
        Ok(()) => {}
        Err(StopError::Kill { .. }) => return Ok(Changed::Yes),
        Err(error) => return Err(error),
    }
    let grace = u64::try_from(seconds).map(Duration::from_secs);
    let ended = match grace {
        Ok(grace) => tokio::time::timeout(grace, &mut exit).await.is_ok(),
        Err(_) => (&mut exit).await.is_ok(),
    };
    if !ended {
        tracing::info!(container = %container.id, "did not end in time; killing");
        finish(daemon, container, exit).await?;
    }
    container.tell_event(daemon, "stop", &[]);
    Ok(Changed::Yes)
}

/// Kills a container and waits for its end.
pub(crate) async fn kill_and_wait(daemon: &Daemon, container: &Arc<Container>) -> Result<(), StopError> {
    let exit = {
        let mut state = container.state();
        state.stays_down = true;
        state.wait(Until::NextExit)
    };
    finish(daemon, container, exit).await
}

async fn finish(
    daemon: &Daemon,
    container: &Arc<Container>,
    exit: tokio::sync::oneshot::Receiver<super::state::Exit>,
) -> Result<(), StopError> {
    match kill(daemon, container, Signal::KILL).await {
        Ok(()) => {}
        Err(StopError::Kill { .. }) => return Ok(()),
        Err(error) => return Err(error),
    }
    let ended = tokio::time::timeout(LAST_WORDS, exit).await;
    ended.map(drop).map_err(|_| StopError::Undead(container.id.clone()))
}

/// Stops a container if it runs, and starts it.
pub(crate) async fn restart(
    daemon: &Arc<Daemon>,
    container: &Arc<Container>,
    signal: Option<Signal>,
    seconds: Option<i64>,
) -> Result<(), StopError> {
    container.state().restarted_by_hand = true;
    let stopped = stop(daemon, container, signal, seconds).await;
    let result = match stopped {
        Ok(_) => start::start(daemon, container).await.map(drop).map_err(StopError::from),
        Err(error) => Err(error),
    };
    container.state().restarted_by_hand = false;
    if result.is_ok() {
        container.tell_event(daemon, "restart", &[]);
    }
    result
}

/// Freezes every process of a container.
pub(crate) async fn pause(daemon: &Daemon, container: &Arc<Container>) -> Result<(), StopError> {
    let _action = container.action.lock().await;
    match container.state().phase {
        Phase::Running { paused: false, .. } => {}
        Phase::Running { paused: true, .. } => {
            return Err(StateError::AlreadyPaused(container.id.clone()).into());
        }
        Phase::Restarting { .. } => return Err(StateError::Restarting(container.id.clone()).into()),
        Phase::Idle | Phase::Removing => return Err(StateError::NotRunning(container.id.clone()).into()),
    }
    let request = PauseTaskRequest { container_id: container.id.clone() };
    daemon.supervisor.tasks().pause(request).await.map_err(supervisor("pause", container))?;
    container.set_paused(true);
    container.tell_event(daemon, "pause", &[]);
    Ok(())
}

/// Lets a frozen container go on.
pub(crate) async fn unpause(daemon: &Daemon, container: &Arc<Container>) -> Result<(), StopError> {
    let _action = container.action.lock().await;
    if !matches!(container.state().phase, Phase::Running { paused: true, .. }) {
        return Err(StateError::NotPaused(container.id.clone()).into());
    }
    thaw_task(daemon, container).await?;
    container.tell_event(daemon, "unpause", &[]);
    Ok(())
}

async fn thaw_task(daemon: &Daemon, container: &Container) -> Result<(), StopError> {
    let request = ResumeTaskRequest { container_id: container.id.clone() };
    daemon.supervisor.tasks().resume(request).await.map_err(supervisor("unpause", container))?;
    container.set_paused(false);
    Ok(())
}
