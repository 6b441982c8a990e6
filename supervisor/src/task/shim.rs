//! One task, and the calls to its shim.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dhow_proto::containerd::task::v3;
use prost::Message;
use tokio::sync::watch;

use super::bundle::Bundle;
use super::error::{LaunchError, TaskError};
use super::exit::Exit;
use super::launch::Endpoint;
use super::log::ShimLog;
use crate::namespace::Namespace;
use crate::ttrpc::{CallError, Client};

/// How long a shim may take to say what state its task is in.
pub(super) const STATE: Duration = Duration::from_secs(2);

/// A task whose shim we are connected to.
#[derive(Debug)]
pub(crate) struct Task {
    pub(super) namespace: Namespace,
    pub(super) id: String,
    pub(super) bundle: Bundle,
    /// The shim's binary, for when it must be cleaned up after.
    pub(super) binary: PathBuf,
    pub(super) client: Client,
    service: &'static str,
    /// Set once the shim is meant to go away.
    leaving: AtomicBool,
    /// How it ended, once its shim is dead and was cleaned up after.
    ended: watch::Sender<Option<Exit>>,
    _log: ShimLog,
}

impl Task {
    /// Connects to the shim at `endpoint`.
    pub(super) async fn connect(
        (namespace, id): (Namespace, String),
        bundle: Bundle,
        binary: PathBuf,
        endpoint: &Endpoint,
        log: ShimLog,
    ) -> Result<Self, LaunchError> {
        let address = endpoint.path()?;
        let connected = Client::connect(&address).await;
        let client = connected.map_err(|source| LaunchError::Connect { address, source })?;
        let service =
            if endpoint.version == 2 { "containerd.task.v2.Task" } else { "containerd.task.v3.Task" };
        Ok(Self {
            namespace,
            id,
            bundle,
            binary,
            client,
            service,
            leaving: AtomicBool::new(false),
            ended: watch::Sender::new(None),
            _log: log,
        })
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Calls a method of the Task service.
    pub(crate) async fn call<Q: Message, R: Message + Default>(
        &self,
        method: &str,
        request: &Q,
    ) -> Result<R, TaskError> {
        self.call_raw(method, request, None).await.map_err(TaskError::call)
    }

    /// Calls a method that must answer within `limit`.
    pub(super) async fn call_within<Q: Message, R: Message + Default>(
        &self,
        method: &str,
        request: &Q,
        limit: Duration,
    ) -> Result<R, TaskError> {
        self.call_raw(method, request, Some(limit)).await.map_err(TaskError::call)
    }

    pub(super) async fn call_raw<Q: Message, R: Message + Default>(
        &self,
        method: &str,
        request: &Q,
        limit: Option<Duration>,
    ) -> Result<R, CallError> {
        self.client.call((self.service, method), self.namespace.as_str(), limit, request).await
    }

    /// The state of one of its processes; of a task whose shim is dead, that there is no such task.
    pub(crate) async fn state(&self, exec_id: &str) -> Result<v3::StateResponse, TaskError> {
        let request = v3::StateRequest { id: self.id.clone(), exec_id: exec_id.to_owned() };
        self.call_within("State", &request, STATE).await.map_err(|error| match error {
            error if error.is_closed() => TaskError::NotFound(self.id.clone()),
            error => error,
        })
    }

    /// Waits for the end of one of its processes, also through the death of its shim.
    pub(crate) async fn wait(&self, exec_id: &str) -> Result<v3::WaitResponse, TaskError> {
        let request = v3::WaitRequest { id: self.id.clone(), exec_id: exec_id.to_owned() };
        match self.call("Wait", &request).await {
            Err(error) if error.is_closed() => {
                let exit = self.ended().await;
                Ok(v3::WaitResponse { exit_status: exit.status, exited_at: exit.at })
            }
            answer => answer,
        }
    }

    /// Waits until the shim is dead and was cleaned up after.
    pub(super) async fn ended(&self) -> Exit {
        let mut ended = self.ended.subscribe();
        match ended.wait_for(Option::is_some).await {
            Ok(exit) => exit.clone().unwrap_or(Exit::UNKNOWN),
            // The sender is ours: this cannot be.
            Err(_) => Exit::UNKNOWN,
        }
    }

    pub(super) fn end(&self, exit: Exit) {
        self.ended.send_replace(Some(exit));
    }

    /// From now on the shim is expected to go away; whether it was not before.
    pub(super) fn leave(&self) -> bool {
        !self.leaving.swap(true, Ordering::AcqRel)
    }
}
