//! `network connect` and `network disconnect`, as far as the container goes.

use std::sync::Arc;

use dhow_engine_api::endpoint::EndpointSettings;
use dhow_proto::error::Kind;

use super::failure::StateError;
use super::record::RecordError;
use super::state::Phase;
use super::store::LookupError;
use super::surroundings;
use crate::daemon::Daemon;
use crate::error::Failure;
use crate::network::NetworkError;

/// Why a container keeps the networks it has.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error(transparent)]
    Lookup(#[from] LookupError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error("container {0} is not connected to network {1}")]
    NotConnected(String, String),
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl Failure for ConnectError {
    fn kind(&self) -> Kind {
        match self {
            Self::Lookup(error) => error.kind(),
            Self::State(error) => error.kind(),
            Self::Network(error) => error.kind(),
            Self::NotConnected(..) => Kind::PermissionDenied,
            Self::Record(error) => error.kind(),
        }
    }
}

/// Gives a container one more network, now if it runs, and at each start: the container's ID.
pub(crate) async fn connect(
    daemon: &Arc<Daemon>,
    reference: &str,
    network: &str,
    settings: EndpointSettings,
) -> Result<String, ConnectError> {
    let container = daemon.containers.find(reference)?;
    let _action = container.action.lock().await;
    let record = container.record();
    match container.state().phase {
        Phase::Removing => return Err(StateError::Removing("connected").into()),
        Phase::Idle | Phase::Restarting { .. } | Phase::Running { .. } => {}
    }
    if container.state().phase.pid().is_some() {
        let request = surroundings::request(&record);
        daemon.networks.connect(network, request, settings.clone()).await?;
    }
    {
        let mut state = container.state();
        let mode = state.record.host.network_mode.clone();
        let asked = state.record.networking.endpoints_config.get_or_insert_default();
        if asked.is_empty() {
            // What the mode alone meant so far is said from now on.
            let first = if mode == "default" { "bridge".to_owned() } else { mode };
            asked.insert(first, None);
        }
        asked.insert(network.to_owned(), Some(settings));
    }
    container.save().await?;
    Ok(container.id.clone())
}

/// Takes a container out of a network, now if it runs, and for each start: the container's ID.
pub(crate) async fn disconnect(
    daemon: &Arc<Daemon>,
    reference: &str,
    network: &str,
    force: bool,
) -> Result<String, ConnectError> {
    let container = daemon.containers.find(reference)?;
    let _action = container.action.lock().await;
    let runs = container.state().phase.pid().is_some();
    let removed = {
        let mut state = container.state();
        let asked = state.record.networking.endpoints_config.get_or_insert_default();
        asked.remove(network).is_some()
    };
    if runs {
        let left = daemon.networks.disconnect(network, &container.id).await;
        if !force {
            left?;
        }
    } else if !removed && !force {
        return Err(ConnectError::NotConnected(container.id.clone(), network.to_owned()));
    }
    container.save().await?;
    Ok(container.id.clone())
}
