//! `wait`: until a container does not run, ends next, or is gone.

use std::sync::Arc;

use dhow_proto::error::Kind;
use tokio::sync::oneshot;

pub(crate) use super::state::Exit;
use super::state::{Container, Until};
use crate::error::Failure;

/// A word that is no condition.
#[derive(Debug, thiserror::Error)]
#[error("invalid condition: {0:?}")]
pub(crate) struct ConditionError(String);

impl Failure for ConditionError {
    fn kind(&self) -> Kind {
        Kind::InvalidArgument
    }
}

/// What a client waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    NotRunning,
    NextExit,
    Removed,
}

impl Condition {
    /// Reads the `condition` of a request; empty means the first.
    pub(crate) fn parse(text: &str) -> Result<Self, ConditionError> {
        match text {
            "" | "not-running" => Ok(Self::NotRunning),
            "next-exit" => Ok(Self::NextExit),
            "removed" => Ok(Self::Removed),
            other => Err(ConditionError(other.to_owned())),
        }
    }
}

/// Begins to wait: what happens after this call is not missed.
pub(crate) fn wait(container: &Arc<Container>, condition: Condition) -> oneshot::Receiver<Exit> {
    let mut state = container.state();
    match condition {
        Condition::NotRunning if !state.is_running() => {
            let (sender, receiver) = oneshot::channel();
            drop(sender.send(state.exit()));
            receiver
        }
        Condition::NotRunning | Condition::NextExit => state.wait(Until::NextExit),
        Condition::Removed => state.wait(Until::Removed),
    }
}
