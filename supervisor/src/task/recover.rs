//! After a restart: every task is found again from its bundle, or its end is told.
//!
//! A shim that is there but says nothing (stopped, or starved) still has its container: the task is kept, and what it
//! says later is taken up then. Only a shim that is gone is cleaned up after.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dhow_proto::containerd::task::v3::StateResponse;
use dhow_proto::containerd::v1::types::Status;
use dhow_proto::error::{Kind, chain};
use tokio::task::JoinSet;

use super::cleanup::binary_of;
use super::error::LaunchError;
use super::exit::Exit;
use super::launch::Endpoint;
use super::log::ShimLog;
use super::manager::Manager;
use super::shim::{STATE, Task};
use crate::identifier;
use crate::namespace::Namespace;
use crate::slot::{Key, Slot};
use crate::ttrpc::CallError;

/// How long a shim may take to say what state its task is in before the others go on without it.
const ANSWER: Duration = Duration::from_millis(500);
/// How long the start waits for all of them together, and for the ends of those that are gone to be told.
const PATIENCE: Duration = Duration::from_secs(1);
/// The pause between two questions to a shim that does not answer.
const AGAIN: Duration = Duration::from_secs(1);

/// The bundles that were there at the start, each still to be looked at.
#[derive(Debug)]
pub(crate) struct Recovery {
    manager: Manager,
    keys: Vec<Key>,
}

impl Recovery {
    /// Finds all tasks, all at the same time; returns when each is there, or after [`PATIENCE`]: the rest follows.
    pub(crate) async fn run(self) {
        let count = self.keys.len();
        let mut recovering = JoinSet::new();
        for key in self.keys {
            let manager = self.manager.clone();
            recovering.spawn(async move { manager.recover_one(key).await });
        }
        let all = async { while recovering.join_next().await.is_some() {} };
        // A shim that keeps us waiting is told of by its own task.
        drop(tokio::time::timeout(PATIENCE, all).await);
        recovering.detach_all();
        if count > 0 {
            tracing::info!(bundles = count, tasks = self.manager.count(), "tasks recovered");
        }
    }
}

impl Manager {
    /// Looks for bundles and keeps their ids, also against a create that comes before [`Recovery::run`] is through.
    pub(crate) fn recovery(&self) -> Recovery {
        let mut keys = Vec::new();
        for namespace in folders(self.folder()) {
            let Ok(parsed) = namespace.parse::<Namespace>() else { continue };
            let ids = folders(&self.folder().join(&namespace));
            keys.extend(ids.into_iter().map(|id| (parsed.clone(), id)));
        }
        keys.iter().for_each(|key| self.set(key, Slot::Leaving));
        Recovery { manager: self.clone(), keys }
    }

    async fn recover_one(&self, key: Key) {
        let bundle = self.bundle(&key);
        let Some(binary) = binary_of(&bundle) else { return self.free(&key) };
        let error = match self.reach(&key).await {
            Ok(task) => match task.ask_state("", ANSWER).await {
                Err(CallError::Closed) => CallError::Closed.into(),
                Err(CallError::Deadline) => return self.keep_asking(key, task).await,
                answer => return self.settle(key, task, answer).await,
            },
            Err(error) => error,
        };
        tracing::info!(task = %key.1, error = %chain(&error), "shim is gone");
        drop(self.clean_up_after_dead(&key, &bundle, &binary).await);
        self.free(&key);
    }

    /// Connects to a task's shim, which must be there for that, and need not do anything.
    pub(super) async fn reach(&self, key: &Key) -> Result<Arc<Task>, LaunchError> {
        let bundle = self.bundle(key);
        let endpoint = Endpoint::load(&bundle)?;
        let log = ShimLog::open(&bundle.file("log"), &key.1)?;
        let binary = binary_of(&bundle).unwrap_or_default();
        Ok(Arc::new(Task::connect(key.clone(), bundle, binary, &endpoint, log).await?))
    }

    /// Takes up a task whose shim has answered.
    async fn settle(&self, key: Key, task: Arc<Task>, answer: Result<StateResponse, CallError>) {
        match answer {
            Err(error) if error.kind() == Kind::NotFound => {
                // A shim without a container: we died in the middle of a create.
                self.destroy(&task).await;
                self.free(&key);
            }
            answer => {
                self.set(&key, Slot::Ready(Arc::clone(&task)));
                self.take_up(&key, answer);
                self.follow(task);
            }
        }
    }

    /// Keeps a task whose shim does not answer, until it does.
    async fn keep_asking(&self, key: Key, task: Arc<Task>) {
        tracing::warn!(task = %key.1, "shim does not answer; its task is kept");
        self.set(&key, Slot::Ready(Arc::clone(&task)));
        self.follow(Arc::clone(&task));
        loop {
            match task.ask_state("", STATE).await {
                Err(CallError::Deadline) => tokio::time::sleep(AGAIN).await,
                // Whoever follows it cleans up.
                Err(CallError::Closed) => return,
                Err(error) if error.kind() == Kind::NotFound => return self.retire(task),
                answer => return self.take_up(&key, answer),
            }
        }
    }

    /// Tells the exit of a task that has ended, if its state says so.
    fn take_up(&self, key: &Key, answer: Result<StateResponse, CallError>) {
        match answer {
            Ok(state) if state.status() == Status::Stopped => {
                let (status, at) = (state.exit_status, state.exited_at);
                self.tell_exit(key, &Exit { pid: state.pid, status, at, ..Exit::UNKNOWN });
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(task = %key.1, error = %chain(&error), "ask for state"),
        }
    }
}

/// The names in a folder of folders; hidden ones are being removed.
pub(crate) fn folders(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let names = folders.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| identifier::validate(name).is_ok()).collect()
}
