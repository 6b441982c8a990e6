//! `rename`.

use std::sync::Arc;

use dhow_proto::error::Kind;

use super::failure::StateError;
use super::name::{self, NameError};
use super::record::RecordError;
use super::state::{Container, Phase};
use super::store::NameTaken;
use crate::daemon::Daemon;
use crate::error::Failure;

/// Why a container keeps its name.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RenameError {
    #[error("Neither old nor new names may be empty")]
    Empty,
    #[error("Renaming a container with the same name as its current name")]
    Same,
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("Error when allocating new name")]
    Taken(#[from] NameTaken),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl Failure for RenameError {
    fn kind(&self) -> Kind {
        match self {
            Self::Empty | Self::Same => Kind::InvalidArgument,
            Self::Name(error) => error.kind(),
            Self::Taken(error) => error.kind(),
            Self::State(error) => error.kind(),
            Self::Record(error) => error.kind(),
        }
    }
}

/// Gives a container another name.
pub(crate) async fn rename(
    daemon: &Daemon,
    container: &Arc<Container>,
    asked: &str,
) -> Result<(), RenameError> {
    if asked.is_empty() {
        return Err(RenameError::Empty);
    }
    let new = name::check(asked)?;
    let _action = container.action.lock().await;
    let old = container.name();
    if old == new {
        return Err(RenameError::Same);
    }
    if matches!(container.state().phase, Phase::Removing) {
        return Err(StateError::Removing("renamed").into());
    }
    daemon.containers.take_name(new, &container.id)?;
    new.clone_into(&mut container.state().record.name);
    if let Err(error) = container.save().await {
        container.state().record.name.clone_from(&old);
        daemon.containers.drop_name(new);
        return Err(error.into());
    }
    daemon.containers.drop_name(&old);
    container.tell_event(daemon, "rename", &[("oldName", &format!("/{old}"))]);
    Ok(())
}
