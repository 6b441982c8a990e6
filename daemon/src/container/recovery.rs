//! Taking up what went on while the daemon, or the supervisor, was away.
//!
//! The supervisor's list of tasks says what is; the records say what was. Where they differ:
//!
//! | record       | task     | then                                                    |
//! |--------------|----------|---------------------------------------------------------|
//! | was started  | running  | it runs                                                 |
//! | was started  | stopped  | it ended, with the status that its shim wrote down      |
//! | was started  | none     | it ended with the machine, or with its shim: 255        |
//! | not started  | any      | a start was cut short: the task is ended and deleted    |

use std::collections::HashMap;
use std::sync::Arc;

use dhow_proto::containerd::services::tasks::v1::{CloseIoRequest, ListTasksRequest};
use dhow_proto::containerd::v1::types::{Process, Status};

use super::exit::{self, Ending};
use super::restart_policy::{self, Ended};
use super::start;
use super::state::{Container, Phase};
use crate::daemon::Daemon;

/// The exit code of a container that ended unseen.
const UNSEEN: i64 = 255;

/// When the look is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The daemon starts: nothing is known but the records.
    Start,
    /// The supervisor is back: what we think runs has run.
    Reconnected,
}

/// Brings every container into line with the supervisor's tasks.
pub(crate) async fn reconcile(daemon: &Arc<Daemon>, moment: Moment) -> Result<(), tonic::Status> {
    let answer = daemon.supervisor.tasks().list(ListTasksRequest::default()).await?.into_inner();
    let tasks: HashMap<String, Process> =
        answer.tasks.into_iter().map(|task| (task_id(&task), task)).collect();
    for container in daemon.containers.all() {
        let task = tasks.get(&container.id);
        if moment == Moment::Start {
            adopt(daemon, &container, task).await;
        }
        check(daemon, &container, task);
    }
    Ok(())
}

fn task_id(task: &Process) -> String {
    if task.container_id.is_empty() { task.id.clone() } else { task.container_id.clone() }
}

/// At the start of the daemon: what the record and the task together say becomes the phase.
async fn adopt(daemon: &Arc<Daemon>, container: &Arc<Container>, task: Option<&Process>) {
    let open = container.state().record.history.is_open();
    match task {
        Some(task) if open => {
            let paused = matches!(task.status(), Status::Paused | Status::Pausing);
            let record = container.record();
            container.state().phase = Phase::Running { pid: task.pid, paused };
            if record.config.stdin_once && record.config.open_stdin {
                // Whoever wrote to it was attached through the daemon that is gone.
                let request = CloseIoRequest {
                    container_id: container.id.clone(),
                    exec_id: String::new(),
                    stdin: true,
                };
                drop(daemon.supervisor.tasks().close_io(request).await);
            }
            super::health::watch(daemon, container);
        }
        Some(_) => exit::delete_task(Arc::clone(daemon), container.id.clone()).await,
        // Not idle: the end is still to be handled, by `check`.
        None if open => container.state().phase = Phase::Running { pid: 0, paused: false },
        None => {}
    }
}

/// Reports the end of a container that we think runs, and that does not.
fn check(daemon: &Arc<Daemon>, container: &Arc<Container>, task: Option<&Process>) {
    let Some(pid) = container.state().phase.pid() else { return };
    let ending = match task {
        Some(task) if task.status() == Status::Stopped => Ending {
            pid: Some(task.pid).filter(|task| *task != 0 && pid != 0),
            code: task.exit_status.into(),
            at: crate::time::from_wire(task.exited_at.as_ref()),
        },
        Some(_) => return,
        None => Ending { pid: None, code: UNSEEN, at: crate::time::now() },
    };
    let (daemon, container) = (Arc::clone(daemon), Arc::clone(container));
    tokio::spawn(async move {
        let known = container.state().phase.pid();
        // Between the list and now it may have ended and been started again: then this is old news.
        if known == Some(pid) {
            exit::handle(&daemon, &container, ending).await;
        }
    });
}

/// After the start of the daemon: starts what its policy wants up, and removes what `--rm` left.
pub(crate) fn resume(daemon: &Arc<Daemon>) {
    for container in daemon.containers.all() {
        let (again, removes) = {
            let state = container.state();
            let history = &state.record.history;
            let idle = matches!(state.phase, Phase::Idle);
            let ended = Ended {
                exit_code: history.exit_code,
                stopped_by_hand: history.stopped_by_hand,
                restarts: history.restart_count,
            };
            let again =
                history.was_started() && restart_policy::restarts(&state.record.host.restart_policy, ended);
            let removes = state.record.host.auto_remove && history.was_started();
            (idle && again, idle && removes || history.dead)
        };
        let daemon = Arc::clone(daemon);
        if again {
            tokio::spawn(async move {
                if let Err(error) = start::start(&daemon, &container).await {
                    let error = dhow_proto::error::chain(&error);
                    tracing::error!(container = %container.id, %error, "restart failed");
                }
            });
        } else if removes {
            tokio::spawn(async move { exit::remove_automatically(&daemon, &container).await });
        }
    }
}
