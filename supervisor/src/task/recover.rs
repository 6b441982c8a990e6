//! After a restart: every task is found again from its bundle, or its end is told.
//!
//! A shim that is there but says nothing (stopped, or starved) still has its container: the task is kept, and what it
//! says later is taken up then. Only a shim that is gone is cleaned up after.

use std::sync::Arc;
use std::time::Duration;

use dhow_proto::containerd::task::v3::StateResponse;
use dhow_proto::containerd::v1::types::Status;
use dhow_proto::error::{Kind, chain};

use super::bundle::found_below;
use super::cleanup::binary_of;
use super::error::LaunchError;
use super::exit::Exit;
use super::launch::Endpoint;
use super::log::ShimLog;
use super::manager::Manager;
use super::shim::{STATE, Task};
use crate::slot::{ANSWER, Departure, Key, recover};
use crate::ttrpc::CallError;

/// The pause between two questions to a shim that does not answer.
const AGAIN: Duration = Duration::from_secs(1);

/// The bundles that were there at the start, each still to be looked at.
#[derive(Debug)]
pub(crate) struct Recovery {
    manager: Manager,
    found: Vec<(Key, Departure)>,
}

impl Recovery {
    /// Finds all tasks; a shim that does not answer in time keeps nobody waiting.
    pub(crate) async fn run(self) {
        let (count, manager) = (self.found.len(), self.manager.clone());
        recover(self.found.into_iter().map(|(key, departure)| {
            let manager = self.manager.clone();
            async move { manager.recover_one(key, &departure).await }
        }))
        .await;
        if count > 0 {
            tracing::info!(bundles = count, tasks = manager.count(), "tasks recovered");
        }
    }
}

impl Manager {
    /// Looks for bundles and keeps their ids, also against a create that comes before [`Recovery::run`] is through.
    pub(crate) fn recovery(&self) -> Recovery {
        let keys = found_below(self.folder());
        let found = keys.into_iter().map(|key| {
            let departure = self.leave(&key);
            (key, departure)
        });
        Recovery { manager: self.clone(), found: found.collect() }
    }

    async fn recover_one(&self, key: Key, departure: &Departure) {
        let bundle = self.bundle(&key);
        if bundle.is_unfinished() {
            // Nobody was told that it is there, and nobody will ask for it.
            tracing::info!(task = %key.1, "we died in the middle of a create; undoing it");
            self.destroy_unfinished(&key, departure).await;
            return self.free(&key);
        }
        let Some(binary) = binary_of(&bundle) else { return self.free(&key) };
        let error = match self.reach(&key).await {
            Ok(task) => match task.ask_state("", ANSWER).await {
                Err(CallError::Closed) => CallError::Closed.into(),
                Err(CallError::Deadline) => return self.keep_asking(key, task),
                answer => return self.settle(key, task, answer, departure).await,
            },
            Err(error) => error,
        };
        tracing::info!(task = %key.1, error = %chain(&error), "shim is gone");
        drop(self.clean_up_after_dead(&key, &bundle, &binary, departure).await);
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
    async fn settle(
        &self,
        key: Key,
        task: Arc<Task>,
        answer: Result<StateResponse, CallError>,
        departure: &Departure,
    ) {
        match answer {
            Err(error) if error.kind() == Kind::NotFound => {
                // A shim without a container: we died in the middle of a delete.
                self.destroy(&task, departure).await;
                self.free(&key);
            }
            answer => {
                self.slots().ready(&key, Arc::clone(&task));
                self.take_up(&key, answer);
                self.follow(task);
            }
        }
    }

    /// Keeps a task whose shim does not answer, and asks it until it does.
    fn keep_asking(&self, key: Key, task: Arc<Task>) {
        tracing::warn!(task = %key.1, "shim does not answer; its task is kept");
        self.slots().ready(&key, Arc::clone(&task));
        self.follow(Arc::clone(&task));
        let manager = self.clone();
        tokio::spawn(async move {
            loop {
                match task.ask_state("", STATE).await {
                    Err(CallError::Deadline) => tokio::time::sleep(AGAIN).await,
                    // Whoever follows it cleans up.
                    Err(CallError::Closed) => return,
                    Err(error) if error.kind() == Kind::NotFound => return manager.retire(task),
                    answer => return manager.take_up(&key, answer),
                }
            }
        });
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
