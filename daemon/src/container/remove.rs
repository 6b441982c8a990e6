//! `rm`: a container, its root file system, its record, and the volumes that only it had.

use std::sync::Arc;

use dhow_linux::file::PathError;
use dhow_proto::containerd::services::snapshots::v1::RemoveSnapshotRequest;
use dhow_proto::error::Kind;

use super::exit;
use super::record::RecordError;
use super::start::SNAPSHOTTER;
use super::state::{Container, Exit, Phase, Until};
use super::stop::{self, StopError};
use crate::daemon::Daemon;
use crate::error::Failure;

/// How a container is removed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct How {
    /// Kill it if it runs.
    pub(crate) force: bool,
    /// With its anonymous volumes.
    pub(crate) volumes: bool,
}

/// Why a container could not be removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoveError {
    #[error("cannot remove container \"/{name}\": container is {status}: {advice}")]
    Running { name: String, status: &'static str, advice: &'static str },
    #[error("removal of container {0} is already in progress")]
    InProgress(String),
    #[error("cannot remove container \"/{name}\": could not kill container")]
    Kill { name: String, source: Box<StopError> },
    #[error("remove the root file system of container {id}")]
    Snapshot { id: String, source: Box<tonic::Status> },
    #[error("remove the folder of a container")]
    Folder(#[from] PathError),
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl Failure for RemoveError {
    fn kind(&self) -> Kind {
        match self {
            Self::Running { .. } | Self::InProgress(_) => Kind::FailedPrecondition,
            Self::Kill { source, .. } => source.kind(),
            Self::Snapshot { .. } | Self::Folder(_) | Self::Record(_) => Kind::Internal,
        }
    }
}

/// Removes a container.
pub(crate) async fn remove(
    daemon: &Arc<Daemon>,
    container: &Arc<Container>,
    how: How,
) -> Result<(), RemoveError> {
    make_idle(daemon, container, how).await?;
    let _action = container.action.lock().await;
    {
        let mut state = container.state();
        match state.phase {
            Phase::Removing => return Err(RemoveError::InProgress(container.id.clone())),
            Phase::Running { .. } | Phase::Restarting { .. } => return Err(running(container, &state)),
            Phase::Idle => state.phase = Phase::Removing,
        }
        state.early.clear();
    }
    let removed = clear_away(daemon, container).await;
    let mut exit = container.state().exit();
    if let Err(error) = &removed {
        exit = Exit { code: exit.code, error: dhow_proto::error::chain(error) };
        let mut state = container.state();
        state.phase = Phase::Idle;
        state.record.history.dead = true;
    } else {
        daemon.containers.remove(container);
        daemon.execs.forget_all(&container.id);
        if how.volumes {
            let users = crate::http::handler::volume::users(daemon);
            daemon.volumes.remove_anonymous(&container.record().mounts, &users);
        }
        container.tell_event(daemon, "destroy", &[]);
    }
    container.state().tell(Until::Removed, &exit);
    if removed.is_err() {
        container.save().await?;
    }
    removed
}

async fn make_idle(daemon: &Daemon, container: &Arc<Container>, how: How) -> Result<(), RemoveError> {
    {
        let state = container.state();
        match &state.phase {
            Phase::Idle => return Ok(()),
            Phase::Removing => return Err(RemoveError::InProgress(container.id.clone())),
            Phase::Running { .. } | Phase::Restarting { .. } if !how.force => {
                return Err(running(container, &state));
            }
            Phase::Running { .. } | Phase::Restarting { .. } => {}
        }
    }
    let killed = if matches!(container.state().phase, Phase::Restarting { .. }) {
        stop::stop(daemon, container, None, None).await.map(drop)
    } else {
        stop::kill_and_wait(daemon, container).await
    };
    killed.map_err(|source| RemoveError::Kill { name: container.name(), source: Box::new(source) })
}

fn running(_: &Container, state: &super::state::State) -> RemoveError {
    let advice = match state.phase {
        Phase::Running { paused: true, .. } => {
            "unpause and then stop the container before removing or force remove"
        }
        _ => "stop the container before removing or force remove",
    };
    RemoveError::Running { name: state.record.name.clone(), status: state.status(), advice }
}

async fn clear_away(daemon: &Arc<Daemon>, container: &Arc<Container>) -> Result<(), RemoveError> {
    exit::clear(daemon, &container.id).await;
    let request = RemoveSnapshotRequest { snapshotter: SNAPSHOTTER.to_owned(), key: container.id.clone() };
    match daemon.supervisor.snapshots().remove(request).await {
        Ok(_) => {}
        Err(status) if status.code() == tonic::Code::NotFound => {}
        Err(status) => {
            return Err(RemoveError::Snapshot { id: container.id.clone(), source: Box::new(status) });
        }
    }
    discard_folder(daemon, container)
}

/// A folder is gone when it is renamed: what is in it is removed behind the client's back.
fn discard_folder(daemon: &Daemon, container: &Container) -> Result<(), RemoveError> {
    let trash = daemon.options.data_root.join("trash").join(&container.id);
    match std::fs::rename(&container.folder, &trash) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(PathError::at("rename to trash", &container.folder)(error).into()),
    }
    tokio::task::spawn_blocking(move || {
        if let Err(error) = std::fs::remove_dir_all(&trash) {
            tracing::warn!(folder = %trash.display(), %error, "trash stays until the next start");
        }
    });
    Ok(())
}
