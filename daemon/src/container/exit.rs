//! The end of a container: what is cleared away, who is told, what follows.

use std::sync::Arc;
use std::time::Duration;

use dhow_proto::containerd::services::containers::v1::DeleteContainerRequest;
use dhow_proto::containerd::services::tasks::v1::{DeleteTaskRequest, KillRequest};

use super::restart_policy::{self, Ended};
use super::state::{Container, Phase, Until};
use super::{remove, start, surroundings};
use crate::daemon::Daemon;

/// How long readers may take to read the last output before the task is deleted.
const LAST_OUTPUT: Duration = Duration::from_secs(2);

/// What is known of an end.
#[derive(Debug, Clone)]
pub(crate) struct Ending {
    /// The process that ended; `None` when it is only known that the container has none any more.
    pub(crate) pid: Option<u32>,
    pub(crate) code: i64,
    pub(crate) at: String,
}

/// Handles the end of a container's first process, once: a second report of it changes nothing.
pub(crate) async fn handle(daemon: &Arc<Daemon>, container: &Arc<Container>, ending: Ending) {
    let action = container.action.lock().await;
    {
        let state = container.state();
        let Some(pid) = state.phase.pid() else { return };
        if ending.pid.is_some_and(|ended| ended != pid) {
            return;
        }
    }
    super::health::stop(container);
    let mut readers = container.readers.subscribe();
    drop(tokio::time::timeout(LAST_OUTPUT, readers.wait_for(|count| *count == 0)).await);
    clear(daemon, &container.id).await;
    daemon.execs.forget(&container.id);

    let next = settle(container, &ending);
    if let Err(error) = container.save().await {
        tracing::error!(container = %container.id, error = %dhow_proto::error::chain(&error), "record not kept");
    }
    let seconds = next.up.as_secs().to_string();
    container.tell_event(
        daemon,
        "die",
        &[("execDuration", &seconds), ("exitCode", &ending.code.to_string())],
    );
    surroundings::release(daemon, container).await;
    let exit = container.state().exit();
    if let Some(pause) = next.pause {
        schedule(daemon, container, pause);
    }
    container.state().tell(Until::NextExit, &exit);
    drop(action);
    if next.removes {
        remove_automatically(daemon, container).await;
    }
}

/// What follows an end.
struct Next {
    up: Duration,
    pause: Option<Duration>,
    removes: bool,
}

/// Notes the end in the record and decides what follows.
fn settle(container: &Container, ending: &Ending) -> Next {
    let mut state = container.state();
    let state = &mut *state;
    let history = &mut state.record.history;
    history.finished_at.clone_from(&ending.at);
    history.exit_code = ending.code;
    state.phase = Phase::Idle;
    let up = crate::time::between(&history.started_at, &history.finished_at);
    let ended = Ended {
        exit_code: ending.code,
        stopped_by_hand: history.stopped_by_hand,
        restarts: history.restart_count,
    };
    let stays = state.stays_down || state.restarted_by_hand;
    let again = !stays && restart_policy::restarts(&state.record.host.restart_policy, ended);
    let pause = again.then(|| restart_policy::pause(state.pause, up));
    state.pause = pause;
    if again {
        history.restart_count += 1;
    }
    Next { up, pause, removes: !again && !state.restarted_by_hand && state.record.host.auto_remove }
}

/// Starts the container again after a pause, unless somebody calls that off.
fn schedule(daemon: &Arc<Daemon>, container: &Arc<Container>, pause: Duration) {
    let (daemon, waiting) = (Arc::clone(daemon), Arc::clone(container));
    let mut state = container.state();
    let timer = tokio::spawn(async move {
        tokio::time::sleep(pause).await;
        // From here on it cannot be called off: the start is on its own feet, and the action lock orders it.
        tokio::spawn(again(daemon, waiting));
    });
    state.phase = Phase::Restarting { timer: timer.abort_handle() };
}

async fn again(daemon: Arc<Daemon>, container: Arc<Container>) {
    let action = container.action.lock().await;
    {
        let mut state = container.state();
        if !matches!(state.phase, Phase::Restarting { .. }) {
            return;
        }
        state.phase = Phase::Idle;
    }
    let launched = start::launch(&daemon, &container).await;
    drop(action);
    if let Err(error) = launched {
        tracing::error!(container = %container.id, error = %dhow_proto::error::chain(&error), "restart failed");
        remove_automatically(&daemon, &container).await;
    }
}

/// Removes a container that was started with `--rm`.
pub(crate) async fn remove_automatically(daemon: &Arc<Daemon>, container: &Arc<Container>) {
    if !container.state().record.host.auto_remove {
        return;
    }
    let how = remove::How { force: true, volumes: true };
    if let Err(error) = remove::remove(daemon, container, how).await {
        tracing::warn!(container = %container.id, error = %dhow_proto::error::chain(&error), "not removed");
    }
}

/// Clears away whatever the supervisor has of a container that does not run.
pub(crate) async fn clear(daemon: &Daemon, id: &str) {
    delete_dead_task(daemon, id).await;
    let request = DeleteContainerRequest { id: id.to_owned() };
    report("container", id, daemon.supervisor.containers().delete(request).await.map(drop));
}

async fn delete_dead_task(daemon: &Daemon, id: &str) {
    let request = DeleteTaskRequest { container_id: id.to_owned() };
    report("task", id, daemon.supervisor.tasks().delete(request).await.map(drop));
}

/// Ends and deletes a task that was created and not started: a step to take back.
pub(crate) async fn delete_task(daemon: Arc<Daemon>, id: String) {
    let request = KillRequest { container_id: id.clone(), exec_id: String::new(), signal: 9, all: true };
    report("task", &id, daemon.supervisor.tasks().kill(request).await.map(drop));
    for _ in 0..100 {
        let request = DeleteTaskRequest { container_id: id.clone() };
        match daemon.supervisor.tasks().delete(request).await {
            Err(status) if status.code() == tonic::Code::FailedPrecondition => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            result => return report("task", &id, result.map(drop)),
        }
    }
    tracing::warn!(container = %id, "a task that was never started does not end");
}

/// Deletes the supervisor's record of a container: a step to take back.
pub(crate) async fn delete_container(daemon: Arc<Daemon>, id: String) {
    let request = DeleteContainerRequest { id: id.clone() };
    report("container", &id, daemon.supervisor.containers().delete(request).await.map(drop));
}

fn report(what: &'static str, id: &str, result: Result<(), tonic::Status>) {
    match result {
        Ok(()) => {}
        Err(status) if status.code() == tonic::Code::NotFound => {}
        Err(status) => tracing::warn!(container = %id, %status, what, "not cleared away"),
    }
}
