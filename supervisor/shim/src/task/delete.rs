//! Delete: the last of a process, and of its container.

use std::rc::Rc;
use std::time::Duration;

use dhow_proto::containerd::events::TaskDelete;
use dhow_proto::containerd::task::v3::{DeleteRequest, DeleteResponse};

use super::container::{Container, Freezer};
use super::process::{Process, State};
use super::{Shim, TaskError};
use crate::exit_record;
use crate::journal;
use crate::oci_runtime::RuntimeError;
use crate::rootfs;

/// How long output may still be on its way, for a container and for an exec that left something behind.
const CONTAINER_OUTPUT: Duration = Duration::from_secs(10);
const EXEC_OUTPUT: Duration = Duration::from_secs(2);

/// When an unmounted file system may end, which takes a while: after the reply, and mostly with this process.
const AFTERWARDS: Duration = Duration::from_millis(500);

impl Shim {
    /// Deletes a process that does not run.
    pub(crate) async fn delete(&self, request: &DeleteRequest) -> Result<DeleteResponse, TaskError> {
        let (container, process) = self.process(&request.id, &request.exec_id)?;
        // One at a time: of two that delete a container the second finds none.
        let _deleting =
            if process.is_init() { Some(container.keep_others_from_deleting().await) } else { None };
        let busy = process.occupy().await;
        if process.state() == State::Deleted {
            return Err(TaskError::NoProcess(request.exec_id.clone()));
        }
        if process.state() == State::Running {
            let frozen = container.freezer.get() == Freezer::Frozen;
            let verb =
                if frozen { "cannot delete a paused process" } else { "cannot delete a running process" };
            return Err(TaskError::State(verb.to_owned()));
        }
        if process.is_init() {
            // A container that is ended here has to be free for its end to be told.
            drop(busy);
            self.delete_container(&container).await?;
        } else {
            self.delete_exec(&container, &process).await;
        }
        let exit = process.exit();
        process.enter(State::Deleted);
        Ok(DeleteResponse {
            pid: process.pid.get(),
            exit_status: exit.map_or(0, |exit| exit.status),
            exited_at: exit.map(|exit| exit.at),
        })
    }

    async fn delete_exec(&self, container: &Container, exec: &Process) {
        let io = exec.io.take();
        if let Some(io) = &io {
            io.drained(EXEC_OUTPUT).await;
        }
        drop(exec.bound.take());
        container.remove_exec(&exec.exec_id);
        drop(std::fs::remove_file(container.bundle.join(format!("{}.pid", exec.exec_id))));
        exit_record::remove(&container.bundle, &exec.exec_id);
    }

    async fn delete_container(&self, container: &Rc<Container>) -> Result<(), TaskError> {
        let init = &container.init;
        let io = init.io.borrow().clone();
        if let (Some(io), State::Stopped(_)) = (&io, init.state())
            && !io.drained(CONTAINER_OUTPUT).await
        {
            journal::debug("output was still being copied when the container was deleted");
        }
        // A container that was created and never started dies here.
        let force = init.state() == State::Created;
        let mut args = vec!["delete"];
        args.extend(force.then_some("--force"));
        args.push(&container.id);
        match container.runtime.run(args).await {
            Ok(_) => {}
            // The runtime has forgotten it already: a checkpoint, or an earlier try.
            Err(RuntimeError::Failed { message }) if message.contains("does not exist") => {}
            Err(source) => return Err(TaskError::Runtime { action: "failed to delete task", source }),
        }
        if force && init.pid.get() != 0 {
            self.reactor.within(CONTAINER_OUTPUT, init.ended()).await;
        }
        let detached = rootfs::detach_all(&container.bundle.join("rootfs")).map_err(TaskError::Unmount)?;
        let reactor = self.reactor.clone();
        self.reactor.spawn(async move {
            reactor.sleep(AFTERWARDS).await;
            drop(detached);
        });
        drop(init.io.take());
        exit_record::remove(&container.bundle, "");
        self.containers.borrow_mut().remove(&container.id);
        let exit = init.exit();
        let event = TaskDelete {
            container_id: container.id.clone(),
            pid: init.pid.get(),
            exit_status: exit.map_or(0, |exit| exit.status),
            exited_at: exit.map(|exit| exit.at),
            id: String::new(),
        };
        self.publisher.publish("/tasks/delete", &event);
        Ok(())
    }
}
