//! `update`: other limits and another restart policy, also while the container runs.

use std::sync::Arc;

use dhow_engine_api::container::{Resources, UpdateConfig, UpdateResponse};
use dhow_proto::any;
use dhow_proto::containerd::services::tasks::v1::UpdateTaskRequest;
use dhow_proto::error::Kind;
use serde_json::Value;

use super::failure::StateError;
use super::record::RecordError;
use super::spec::device::DeviceError;
use super::spec::{HostFacts, SpecError, resource, validate};
use super::state::{Container, Phase};
use crate::daemon::Daemon;
use crate::error::Failure;

/// Why a container stays as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpdateError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error("Restart policy cannot be updated because AutoRemove is enabled for the container")]
    AutoRemove,
    #[error(
        "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
    )]
    Swap,
    #[error("merge limits")]
    Merge(#[from] serde_json::Error),
    #[error("Cannot update container {0}")]
    Supervisor(String, #[source] Box<tonic::Status>),
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl Failure for UpdateError {
    fn kind(&self) -> Kind {
        match self {
            Self::State(error) => error.kind(),
            Self::Spec(error) => error.kind(),
            Self::Device(_) | Self::AutoRemove | Self::Swap => Kind::InvalidArgument,
            Self::Supervisor(_, status) => status.code().into(),
            Self::Merge(_) | Self::Record(_) => Kind::Internal,
        }
    }
}

/// Changes what `wanted` names; everything else stays.
pub(crate) async fn update(
    daemon: &Daemon,
    container: &Arc<Container>,
    wanted: UpdateConfig,
) -> Result<UpdateResponse, UpdateError> {
    let _action = container.action.lock().await;
    let (host, runs) = {
        let state = container.state();
        if matches!(state.phase, Phase::Removing) {
            return Err(StateError::Removing("updated").into());
        }
        (state.record.host.clone(), state.phase.pid().is_some())
    };
    let policy = wanted.restart_policy;
    if !policy.name.is_empty() && host.auto_remove && policy.name != "no" {
        return Err(UpdateError::AutoRemove);
    }
    let merged = merge(&host.resources, &wanted.resources)?;
    if merged.memory > merged.memory_swap && merged.memory_swap > 0 {
        return Err(UpdateError::Swap);
    }
    validate::resources(&merged)?;
    if runs && wanted.resources != Resources::default() {
        let mut asked = host.clone();
        asked.resources = merged.clone();
        let facts = HostFacts::gather(&asked, &[])?;
        let limits = serde_json::to_vec(&resource::limits(&merged, &facts)?)?;
        let request = UpdateTaskRequest {
            container_id: container.id.clone(),
            resources: Some(any::pack_json(any::RESOURCES_URL, limits)),
            ..UpdateTaskRequest::default()
        };
        let updated = daemon.supervisor.tasks().update(request).await;
        updated.map_err(|status| UpdateError::Supervisor(container.id.clone(), Box::new(status)))?;
    }
    {
        let mut state = container.state();
        state.record.host.resources = merged;
        if !policy.name.is_empty() {
            state.record.host.restart_policy = policy;
        }
    }
    container.save().await?;
    container.tell_event(daemon, "update", &[]);
    Ok(UpdateResponse { warnings: None })
}

/// The old limits, with those of the new ones that are not zero.
fn merge(old: &Resources, new: &Resources) -> Result<Resources, serde_json::Error> {
    let (mut old, new) = (serde_json::to_value(old)?, serde_json::to_value(new)?);
    if let (Value::Object(old), Value::Object(new)) = (&mut old, new) {
        old.extend(new.into_iter().filter(|(_, value)| !is_zero(value)));
    }
    serde_json::from_value(old)
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Bool(_) | Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_zero_stays_as_it_was() {
        let old =
            Resources { memory: 5, cpuset_cpus: "0".into(), pids_limit: Some(7), ..Resources::default() };
        let new = Resources { memory: 6, oom_kill_disable: Some(false), ..Resources::default() };
        let merged = merge(&old, &new).expect("merge");
        assert_eq!((merged.memory, merged.cpuset_cpus.as_str(), merged.pids_limit), (6, "0", Some(7)));
        assert_eq!(merged.oom_kill_disable, Some(false));
    }
}
