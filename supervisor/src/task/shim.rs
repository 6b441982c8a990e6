//! One task, and the calls to its shim.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dhow_linux::file::read_limited;
use dhow_proto::containerd::task::v3;
use dhow_proto::containerd::v1::types::Status;
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
/// The same for one that did not answer the last time.
const SILENT: Duration = Duration::from_millis(100);

/// What became of a task whose shim is gone.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ended {
    /// Somebody deleted it.
    Deleted,
    /// The shim died, and this is how the first process ended.
    Died(Exit),
}

/// A task whose shim we are connected to.
#[derive(Debug)]
pub(crate) struct Task {
    pub(super) namespace: Namespace,
    pub(super) id: String,
    pub(super) bundle: Bundle,
    /// The shim's binary, for when it must be cleaned up after.
    pub(super) binary: PathBuf,
    pub(super) client: Client,
    /// The shim's socket.
    pub(super) address: PathBuf,
    service: &'static str,
    /// Set once the shim is meant to go away.
    leaving: AtomicBool,
    /// Set while the shim does not answer.
    silent: AtomicBool,
    /// What became of it, once its shim is gone.
    ended: watch::Sender<Option<Ended>>,
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
        let client = match connected {
            Ok(client) => client,
            Err(source) => return Err(LaunchError::Connect { address, source }),
        };
        let service = endpoint.task_service();
        Ok(Self {
            namespace,
            id,
            bundle,
            binary,
            client,
            address,
            service,
            leaving: AtomicBool::new(false),
            silent: AtomicBool::new(false),
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
        self.state_within(exec_id, STATE).await
    }

    /// The state of its first process, for a list: a shim that did not answer the last time is not waited for as long
    /// again.
    pub(super) async fn state_in_list(&self) -> Result<v3::StateResponse, TaskError> {
        let limit = if self.silent.load(Ordering::Relaxed) { SILENT } else { STATE };
        self.state_within("", limit).await
    }

    async fn state_within(&self, exec_id: &str, limit: Duration) -> Result<v3::StateResponse, TaskError> {
        self.ask_state(exec_id, limit).await.map_err(|error| match error {
            CallError::Closed => TaskError::NotFound(self.id.clone()),
            error => TaskError::call(error),
        })
    }

    /// Asks the shim for the state of a process, and remembers whether it answered.
    pub(super) async fn ask_state(
        &self,
        exec_id: &str,
        limit: Duration,
    ) -> Result<v3::StateResponse, CallError> {
        let request = v3::StateRequest { id: self.id.clone(), exec_id: exec_id.to_owned() };
        let answer = self.call_raw("State", &request, Some(limit)).await;
        self.silent.store(matches!(answer, Err(CallError::Deadline)), Ordering::Relaxed);
        answer
    }

    /// What can be said of its first process while the shim does not answer.
    pub(super) fn unknown_state(&self) -> v3::StateResponse {
        let pid = read_limited(&self.bundle.file("init.pid"), 32).ok();
        let pid = pid.and_then(|text| std::str::from_utf8(&text).ok()?.trim().parse().ok());
        v3::StateResponse {
            id: self.id.clone(),
            bundle: self.bundle.path().to_string_lossy().into_owned(),
            pid: pid.unwrap_or(0),
            status: Status::Unknown.into(),
            ..v3::StateResponse::default()
        }
    }

    /// Waits for the end of one of its processes, also through the death of its shim.
    pub(crate) async fn wait(&self, exec_id: &str) -> Result<v3::WaitResponse, TaskError> {
        let request = v3::WaitRequest { id: self.id.clone(), exec_id: exec_id.to_owned() };
        match self.call("Wait", &request).await {
            Err(error) if error.is_closed() => {
                let exit = self.died().await?;
                Ok(v3::WaitResponse { exit_status: exit.status, exited_at: exit.at })
            }
            answer => answer,
        }
    }

    /// Waits until the shim, which has closed the connection, is done with: how the first process ended, unless the
    /// task was deleted.
    pub(super) async fn died(&self) -> Result<Exit, TaskError> {
        let mut ended = self.ended.subscribe();
        let ended = ended.wait_for(Option::is_some).await;
        match ended.as_deref() {
            Ok(Some(Ended::Died(exit))) => Ok(exit.clone()),
            _ => Err(TaskError::NotFound(self.id.clone())),
        }
    }

    pub(super) fn end(&self, ended: Ended) {
        self.ended.send_replace(Some(ended));
    }

    /// From now on the shim is expected to go away; whether it was not before.
    pub(super) fn leave(&self) -> bool {
        !self.leaving.swap(true, Ordering::AcqRel)
    }
}
