//! `resize`: the size of a terminal.

use dhow_proto::containerd::services::tasks::v1::ResizePtyRequest;
use dhow_proto::error::Kind;

use super::failure::StateError;
use super::state::{Container, Phase};
use crate::daemon::Daemon;
use crate::error::Failure;

/// Why a terminal keeps its size.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResizeError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error("resize the terminal of {0}")]
    Supervisor(String, #[source] Box<tonic::Status>),
}

impl Failure for ResizeError {
    fn kind(&self) -> Kind {
        match self {
            Self::State(error) => error.kind(),
            Self::Supervisor(_, status) => status.code().into(),
        }
    }
}

/// Resizes the terminal of a container's first process.
pub(crate) async fn resize(
    daemon: &Daemon,
    container: &Container,
    height: u32,
    width: u32,
) -> Result<(), ResizeError> {
    if !matches!(container.state().phase, Phase::Running { .. }) {
        return Err(StateError::NotRunning(container.id.clone()).into());
    }
    resize_task(daemon, &container.id, "", height, width)
        .await
        .map_err(|status| ResizeError::Supervisor(container.id.clone(), Box::new(status)))?;
    container.tell_event(daemon, "resize", &[("height", &height.to_string()), ("width", &width.to_string())]);
    Ok(())
}

/// Resizes the terminal of a process.
pub(crate) async fn resize_task(
    daemon: &Daemon,
    id: &str,
    exec_id: &str,
    height: u32,
    width: u32,
) -> Result<(), tonic::Status> {
    let (container_id, exec_id) = (id.to_owned(), exec_id.to_owned());
    let request = ResizePtyRequest { container_id, exec_id, width, height };
    daemon.supervisor.tasks().resize_pty(request).await.map(drop)
}
