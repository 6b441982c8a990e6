//! Deleting a task or an exec.

use std::sync::Arc;

use dhow_proto::containerd::task::v3::{DeleteRequest, DeleteResponse};
use dhow_proto::error::Kind;

use super::error::TaskError;
use super::exit::Exit;
use super::manager::Manager;
use super::shim::{Ended, Task};
use crate::fault::Fault;

impl Manager {
    /// Deletes a task that has ended. Its shim goes in the background; the id is usable at once, as a new task waits
    /// for that.
    pub(crate) async fn delete(&self, task: Arc<Task>) -> Result<Exit, TaskError> {
        match delete(&task, "").await {
            Ok(exit) => {
                self.retire(task);
                Ok(exit)
            }
            // The shim has died, and with it the task: that it is gone is what was wanted.
            Err(error) if error.is_closed() => task.died().await,
            Err(error) if error.kind() == Kind::NotFound => {
                self.retire(task);
                Err(error)
            }
            Err(TaskError::Call { call, .. }) => {
                Err(TaskError::Call { context: "failed to delete task: ", call })
            }
            Err(error) => Err(error),
        }
    }

    /// Deletes an exec that has ended.
    pub(crate) async fn delete_process(&self, task: &Task, exec_id: &str) -> Result<Exit, TaskError> {
        delete(task, exec_id).await
    }

    /// Lets a task go whose container is deleted.
    pub(super) fn retire(&self, task: Arc<Task>) {
        if !task.leave() {
            return;
        }
        let key = (task.namespace.clone(), task.id.clone());
        let departure = self.leave(&key);
        let manager = self.clone();
        tokio::spawn(async move {
            if departure.within(manager.dismiss(&task)).await.is_none() {
                manager.kill_shim(&task).await;
            }
            task.bundle.discard();
            manager.free(&key);
            task.end(Ended::Deleted);
        });
    }
}

async fn delete(task: &Task, exec_id: &str) -> Result<Exit, TaskError> {
    let request = DeleteRequest { id: task.id.clone(), exec_id: exec_id.to_owned() };
    let DeleteResponse { pid, exit_status, exited_at } = task.call("Delete", &request).await?;
    Ok(Exit { exec_id: exec_id.to_owned(), pid, status: exit_status, at: exited_at })
}
