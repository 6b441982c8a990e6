//! Taking away what is left of a task: its shim, its container, its bundle.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dhow_linux::file::read_limited;
use dhow_proto::containerd::events::{TaskDelete, TaskExit};
use dhow_proto::containerd::task::v3::{
    ConnectRequest, ConnectResponse, DeleteRequest, DeleteResponse, ShutdownRequest,
};
use dhow_proto::error::chain;
use nix::unistd::Pid;

use super::bundle::Bundle;
use super::error::LaunchError;
use super::exit::Exit;
use super::kill::{kill_listener, kill_with_group};
use super::launch::{Endpoint, has_joined};
use super::manager::Manager;
use super::runtime_name;
use super::shim::{Ended, STATE, Task};
use crate::slot::{Departure, Key};

/// How long a shim may take to delete or to go away.
const LEAVE: Duration = Duration::from_secs(5);

impl Manager {
    /// Watches over a task until its shim goes away.
    pub(super) fn follow(&self, task: Arc<Task>) {
        let manager = self.clone();
        tokio::spawn(async move {
            task.client.closed().await;
            if task.leave() {
                tracing::warn!(namespace = %task.namespace, task = %task.id, "shim died; cleaning up after it");
                let key = (task.namespace.clone(), task.id.clone());
                // Whoever creates it anew waits for that.
                let departure = manager.leave(&key);
                let exit = manager.clean_up_after_dead(&key, &task.bundle, &task.binary, &departure).await;
                manager.free(&key);
                task.end(Ended::Died(exit));
            }
        });
    }

    /// Ends the container of a dead shim and tells how everything in it ended; the exit of its first process.
    pub(super) async fn clean_up_after_dead(
        &self,
        key: &Key,
        bundle: &Bundle,
        binary: &Path,
        departure: &Departure,
    ) -> Exit {
        // Read before `delete` can touch them.
        let mut exits = Exit::load_all(bundle.path());
        let delete = self.launcher().delete(binary, (key.0.as_str(), &key.1), bundle);
        let overdue = || Err(LaunchError::Timeout { binary: binary.to_owned(), action: "delete" });
        let cleaned = departure.within(delete).await.unwrap_or_else(overdue);
        let cleaned = cleaned.inspect_err(|error| {
            tracing::warn!(task = %key.1, error = %chain(error), "clean up after dead shim");
        });
        if !exits.iter().any(|exit| exit.exec_id.is_empty()) {
            exits.push(match cleaned {
                Ok(DeleteResponse { pid, exit_status, exited_at }) => {
                    Exit { pid, status: exit_status, at: exited_at, ..Exit::UNKNOWN }
                }
                Err(_) => Exit { at: Some(std::time::SystemTime::now().into()), ..Exit::UNKNOWN },
            });
        }
        for exit in &exits {
            self.tell_exit(key, exit);
        }
        let last = exits.pop().unwrap_or(Exit::UNKNOWN);
        let event = TaskDelete {
            container_id: key.1.clone(),
            pid: last.pid,
            exit_status: last.status,
            exited_at: last.at,
            id: String::new(),
        };
        self.events().publish(key.0.as_str(), "/tasks/delete", &event);
        bundle.discard();
        last
    }

    /// Publishes an exit that subscribers do not know yet.
    pub(super) fn tell_exit(&self, key: &Key, exit: &Exit) {
        let id = if exit.exec_id.is_empty() { &key.1 } else { &exit.exec_id };
        if !self.tell(key, id, exit.pid) {
            return;
        }
        let event = TaskExit {
            container_id: key.1.clone(),
            id: id.clone(),
            pid: exit.pid,
            exit_status: exit.status,
            exited_at: exit.at,
        };
        self.events().publish(key.0.as_str(), "/tasks/exit", &event);
    }

    /// Takes away a task that must not stay: its container, its shim and its bundle.
    pub(super) async fn destroy(&self, task: &Task, departure: &Departure) {
        task.leave();
        let request = DeleteRequest { id: task.id.clone(), exec_id: String::new() };
        let kindly = async {
            // A container that was never created is not found, which is as good.
            drop(task.call_within::<_, DeleteResponse>("Delete", &request, LEAVE).await);
            self.dismiss(task).await;
        };
        if departure.within(kindly).await.is_some() {
            task.bundle.discard();
        } else {
            self.kill_shim(task).await;
            let key = (task.namespace.clone(), task.id.clone());
            drop(self.clean_up_after_dead(&key, &task.bundle, &task.binary, departure).await);
        }
        task.end(Ended::Deleted);
    }

    /// Takes away what a create left that never ended, or failed before there was a task.
    pub(super) async fn destroy_unfinished(&self, key: &Key, departure: &Departure) {
        let bundle = self.bundle(key);
        let reached = self.reach(key).await.ok();
        if let Some(task) = &reached {
            self.kill_shim(task).await;
        }
        if !has_joined(&bundle) && !reached.is_some_and(|task| self.is_shared(&task)) {
            self.launcher().kill_started(key);
        }
        match binary_of(&bundle).filter(|_| Endpoint::load(&bundle).is_ok()) {
            Some(binary) => drop(self.clean_up_after_dead(key, &bundle, &binary, departure).await),
            // No shim was ever there to make a container.
            None => bundle.discard(),
        }
    }

    /// Ends a shim that has no container any more; one that serves others, of the same pod, stays.
    pub(super) async fn dismiss(&self, task: &Task) {
        if has_joined(&task.bundle) || self.is_shared(task) {
            return;
        }
        let request = ShutdownRequest { id: task.id.clone(), now: false };
        let asked: Result<(), _> = task.call_within("Shutdown", &request, LEAVE).await;
        let closed = tokio::time::timeout(LEAVE, task.client.closed()).await;
        match asked {
            _ if closed.is_ok() => {}
            // It has heard, and has its reasons: a container that just joined it, or the pod itself.
            Ok(()) => tracing::debug!(task = %task.id, "shim stays"),
            Err(error) => {
                tracing::warn!(task = %task.id, error = %chain(&error), "shim does not shut down; killing it");
                self.kill_shim(task).await;
            }
        }
    }

    /// Kills a shim that serves no other task. It is asked for its pid only when the socket does not tell: it may be
    /// past answering.
    pub(super) async fn kill_shim(&self, task: &Task) {
        if has_joined(&task.bundle) || self.is_shared(task) || kill_listener(&task.client, &task.id) {
            return;
        }
        let request = ConnectRequest { id: task.id.clone() };
        let answer: Result<ConnectResponse, _> = task.call_within("Connect", &request, STATE).await;
        let pid = answer.ok().and_then(|answer| i32::try_from(answer.shim_pid).ok()).filter(|&pid| pid > 1);
        match pid.map(|pid| kill_with_group(Pid::from_raw(pid))) {
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::warn!(task = %task.id, %error, "kill shim"),
            None => {
                tracing::warn!(task = %task.id, "shim neither answers nor tells its pid; it is left alone")
            }
        }
    }
}

/// The shim that a bundle was made for; our own when that was not noted.
pub(crate) fn binary_of(bundle: &Bundle) -> Option<PathBuf> {
    let noted = read_limited(&bundle.file("shim-binary-path"), 4 << 10).ok();
    let noted = noted.and_then(|bytes| String::from_utf8(bytes).ok()).filter(|path| !path.is_empty());
    noted.map(PathBuf::from).or_else(runtime_name::own)
}
