//! After a restart: every task is found again from its bundle, or its end is told.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dhow_proto::containerd::v1::types::Status;
use dhow_proto::error::{Kind, chain};

use super::cleanup::binary_of;
use super::error::TaskError;
use super::exit::Exit;
use super::launch::Endpoint;
use super::log::ShimLog;
use super::manager::{Key, Manager, Slot};
use super::shim::Task;
use crate::fault::Fault;
use crate::identifier;
use crate::namespace::Namespace;

/// How long one shim may hold up the start, however many calls it takes.
const PATIENCE: Duration = Duration::from_secs(5);

/// The bundles that were there at the start, each still to be looked at.
#[derive(Debug)]
pub(crate) struct Recovery {
    manager: Manager,
    keys: Vec<Key>,
}

impl Recovery {
    /// Finds all tasks, all at the same time; returns when each is there or given up.
    pub(crate) async fn run(self) {
        let count = self.keys.len();
        let mut recovering = tokio::task::JoinSet::new();
        for key in self.keys {
            let manager = self.manager.clone();
            recovering.spawn(async move { manager.recover_one(key).await });
        }
        while recovering.join_next().await.is_some() {}
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
        let reached = tokio::time::timeout(PATIENCE, self.reach(&key)).await;
        match reached {
            Ok(Ok(Some((task, exit)))) => {
                self.set(&key, Slot::Ready(Arc::clone(&task)));
                if let Some(exit) = exit {
                    self.tell_exit(&key, &exit);
                }
                self.follow(task);
                return;
            }
            // A shim without a container: we died in the middle of a create.
            Ok(Ok(None)) => {}
            Ok(Err(error)) => {
                tracing::info!(task = %key.1, error = %chain(&error), "shim is gone");
                drop(self.clean_up_after_dead(&key, &bundle, &binary).await);
            }
            Err(_) => {
                tracing::warn!(task = %key.1, "shim does not answer; killing it");
                self.destroy_unfinished(&key).await;
            }
        }
        self.free(&key);
    }

    /// Connects to a task's shim; the task, and its exit if it has ended.
    async fn reach(&self, key: &Key) -> Result<Option<(Arc<Task>, Option<Exit>)>, TaskError> {
        let bundle = self.bundle(key);
        let endpoint = Endpoint::load(&bundle)?;
        let log = ShimLog::open(&bundle.file("log"), &key.1)?;
        let binary = binary_of(&bundle).unwrap_or_default();
        let task = Arc::new(Task::connect(key.clone(), bundle, binary, &endpoint, log).await?);
        match task.state("").await {
            Ok(state) if state.status() == Status::Stopped => {
                let exit =
                    Exit { pid: state.pid, status: state.exit_status, at: state.exited_at, ..Exit::UNKNOWN };
                Ok(Some((task, Some(exit))))
            }
            Ok(_) => Ok(Some((task, None))),
            Err(error) if error.kind() == Kind::NotFound => {
                self.destroy(&task).await;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// The names in a folder of folders; hidden ones are being removed.
fn folders(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let names = folders.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| identifier::validate(name).is_ok()).collect()
}
