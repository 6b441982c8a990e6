//! Creating a task: bundle, shim, container; all of it or nothing.

use std::sync::Arc;

use dhow_proto::containerd::task::v3::{CreateTaskRequest, CreateTaskResponse};
use dhow_proto::containerd::types::Mount;
use prost_types::Any;

use super::bundle::Bundle;
use super::error::TaskError;
use super::launch::Endpoint;
use super::log::ShimLog;
use super::manager::Manager;
use super::shim::Task;
use crate::checkpoint;
use crate::identifier;
use crate::namespace::Namespace;
use crate::slot::{Departure, Key, Maker, Slots, attempt};

/// The folder of a bundle with the checkpoint that its task is restored from.
const CHECKPOINT: &str = "checkpoint";

/// What a task is made from.
#[derive(Debug, Default)]
pub(crate) struct NewTask {
    pub(crate) id: String,
    /// The OCI spec, as JSON.
    pub(crate) spec: Vec<u8>,
    pub(crate) rootfs: Vec<Mount>,
    pub(crate) stdin: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) terminal: bool,
    /// The name or path of a shim.
    pub(crate) runtime: String,
    pub(crate) options: Option<Any>,
    /// A folder to restore from.
    pub(crate) checkpoint: String,
    /// The same when it must live as long as the task.
    pub(crate) unpacked: Option<checkpoint::Folder>,
    /// The sandbox whose shim the task joins.
    pub(crate) sandbox: Option<(String, Endpoint)>,
}

impl Manager {
    /// Creates a task; the pid of its first process.
    ///
    /// It goes on when the caller is dropped, and is then undone: a client that gave up finds the id free again.
    pub(crate) async fn create(&self, namespace: &Namespace, new: NewTask) -> Result<u32, TaskError> {
        identifier::validate(&new.id).map_err(TaskError::Id)?;
        let key = (namespace.clone(), new.id.clone());
        if !self.slots().reserve(&key).await {
            return Err(TaskError::AlreadyExists(key.1));
        }
        let id = key.1.clone();
        attempt(self, key, new).await.unwrap_or(Err(TaskError::Canceled(id)))
    }
}

impl Maker for Manager {
    type New = NewTask;
    type Made = Task;
    type Answer = u32;
    type Error = TaskError;

    fn slots(&self) -> &Slots<Task> {
        self.slots()
    }

    async fn bring_up(&self, key: &Key, new: &NewTask) -> Result<(Arc<Task>, u32), TaskError> {
        let binary = self.launcher().resolve(&new.runtime)?;
        let bundle = Bundle::create(self.bundle(key).path().to_owned(), &new.spec)?;
        let names = (key.0.as_str(), key.1.as_str());
        let connected = async {
            let log = ShimLog::open(&bundle.file("log"), &key.1)?;
            if let Some(unpacked) = &new.unpacked {
                unpacked.move_to(&bundle.file(CHECKPOINT))?;
            }
            let endpoint = match &new.sandbox {
                Some((sandbox, endpoint)) => {
                    endpoint.join(&bundle, &binary, sandbox)?;
                    endpoint.clone()
                }
                None => self.launcher().start(&binary, names, &bundle, new.options.as_ref()).await?,
            };
            let task = Task::connect(key.clone(), bundle.clone(), binary.clone(), &endpoint, log).await?;
            Ok::<_, TaskError>(Arc::new(task))
        };
        let task = match connected.await {
            Ok(task) => task,
            Err(error) => {
                self.destroy_unfinished(key, &self.leave(key)).await;
                return Err(error);
            }
        };
        let created = task.call_raw("Create", &request(new, &bundle), None).await;
        let failed = |call| TaskError::Call { context: "failed to create shim task: ", call };
        let finished = created.map_err(failed).and_then(|created: CreateTaskResponse| {
            bundle.finish()?;
            Ok(created.pid)
        });
        match finished {
            Ok(pid) => Ok((task, pid)),
            Err(error) => {
                self.destroy(&task, &self.leave(key)).await;
                Err(error)
            }
        }
    }

    async fn undo(&self, made: &Task, departure: &Departure) {
        self.destroy(made, departure).await;
    }

    async fn undo_unfinished(&self, key: &Key, departure: &Departure) {
        self.destroy_unfinished(key, departure).await;
    }

    fn keep(&self, _: &Key, made: Arc<Task>) {
        self.follow(made);
    }

    fn free(&self, key: &Key) {
        self.free(key);
    }
}

fn request(new: &NewTask, bundle: &Bundle) -> CreateTaskRequest {
    let checkpoint = match &new.unpacked {
        Some(_) => bundle.file(CHECKPOINT).to_string_lossy().into_owned(),
        None => new.checkpoint.clone(),
    };
    CreateTaskRequest {
        id: new.id.clone(),
        bundle: bundle.path().to_string_lossy().into_owned(),
        rootfs: new.rootfs.clone(),
        terminal: new.terminal,
        stdin: new.stdin.clone(),
        stdout: new.stdout.clone(),
        stderr: new.stderr.clone(),
        checkpoint,
        parent_checkpoint: String::new(),
        options: new.options.clone(),
    }
}
