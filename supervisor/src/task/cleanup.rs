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
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::bundle::Bundle;
use super::exit::Exit;
use super::launch::has_joined;
use super::manager::Manager;
use super::runtime_name;
use super::shim::{Ended, STATE, Task};
use crate::slot::{Key, Slot};
use crate::ttrpc::Client;

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
                manager.set(&key, Slot::Leaving);
                let exit = manager.clean_up_after_dead(&key, &task.bundle, &task.binary).await;
                manager.free(&key);
                task.end(Ended::Died(exit));
            }
        });
    }

    /// Ends the container of a dead shim and tells how everything in it ended; the exit of its first process.
    pub(super) async fn clean_up_after_dead(&self, key: &Key, bundle: &Bundle, binary: &Path) -> Exit {
        // Read before `delete` can touch them.
        let mut exits = Exit::load_all(bundle.path());
        let cleaned = self.launcher().delete(binary, (key.0.as_str(), &key.1), bundle).await;
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
        self.remove_bundle(bundle).await;
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
    pub(super) async fn destroy(&self, task: &Task) {
        task.leave();
        let request = DeleteRequest { id: task.id.clone(), exec_id: String::new() };
        // A container that was never created is not found, which is as good.
        drop(task.call_within::<_, DeleteResponse>("Delete", &request, LEAVE).await);
        self.dismiss(task).await;
        self.remove_bundle(&task.bundle).await;
        task.end(Ended::Deleted);
    }

    /// Takes away what a create left that never ended, or failed before there was a task.
    pub(super) async fn destroy_unfinished(&self, key: &Key) {
        let bundle = self.bundle(key);
        match self.reach(key).await {
            Ok(task) => {
                if !has_joined(&bundle) && !self.is_shared(&task) {
                    kill_shim(&task).await;
                }
                drop(self.clean_up_after_dead(key, &bundle, &task.binary).await);
            }
            Err(_) => self.remove_bundle(&bundle).await,
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
                kill_shim(task).await;
            }
        }
    }

    /// Removes a bundle. On some disks each folder takes a while.
    pub(super) async fn remove_bundle(&self, bundle: &Bundle) {
        let bundle = bundle.clone();
        if let Err(error) = crate::blocking::run(move || bundle.remove()).await {
            tracing::warn!(error = %chain(&error), "remove bundle");
        }
    }
}

/// The shim that a bundle was made for; our own when that was not noted.
pub(crate) fn binary_of(bundle: &Bundle) -> Option<PathBuf> {
    let noted = read_limited(&bundle.file("shim-binary-path"), 4 << 10).ok();
    let noted = noted.and_then(|bytes| String::from_utf8(bytes).ok()).filter(|path| !path.is_empty());
    noted.map(PathBuf::from).or_else(runtime_name::own)
}

/// Kills a shim. It is asked for its pid only when the socket does not tell: it may be past answering.
async fn kill_shim(task: &Task) {
    if kill_listener(&task.client, &task.id) {
        return;
    }
    let request = ConnectRequest { id: task.id.clone() };
    let answer: Result<ConnectResponse, _> = task.call_within("Connect", &request, STATE).await;
    let pid = answer.ok().and_then(|answer| i32::try_from(answer.shim_pid).ok()).filter(|&pid| pid > 1);
    match pid.map(|pid| kill_with_group(Pid::from_raw(pid))) {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::warn!(task = %task.id, %error, "kill shim"),
        None => tracing::warn!(task = %task.id, "shim neither answers nor tells its pid; it is left alone"),
    }
}

/// Kills the shim at the other end of a connection, if its socket tells that it was started for `id`.
pub(crate) fn kill_listener(client: &Client, id: &str) -> bool {
    let listener = client.server().filter(|&pid| is_shim_of(pid, id));
    listener.is_some_and(|pid| kill_with_group(Pid::from_raw(pid)).is_ok())
}

/// Kills a shim, and what it started that is no container: a hook may hang for ever.
fn kill_with_group(shim: Pid) -> nix::Result<()> {
    let leads = nix::unistd::getpgid(Some(shim)) == Ok(shim);
    if leads { killpg(shim, Signal::SIGKILL) } else { kill(shim, Signal::SIGKILL) }
}

/// Whether the process with this pid was started as the shim of task `id`: a pid alone may be another's by now.
fn is_shim_of(pid: i32, id: &str) -> bool {
    let command = read_limited(&PathBuf::from(format!("/proc/{pid}/cmdline")), 64 << 10).unwrap_or_default();
    let words: Vec<&[u8]> = command.split(|&byte| byte == 0).collect();
    words.windows(2).any(|pair| pair == [b"-id".as_slice(), id.as_bytes()])
}
