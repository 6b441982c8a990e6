//! Start: lets a created container run, or runs an exec in it.

use std::ffi::OsString;
use std::path::Path;
use std::rc::Rc;

use dhow_linux::file::{Durability, replace};
use dhow_proto::containerd::events::{TaskExecStarted, TaskStart};
use dhow_proto::containerd::task::v3::{StartRequest, StartResponse};

use super::container::{Checkpoint, Container, Freezer};
use super::process::{Process, State};
use super::{Shim, TaskError};

impl Shim {
    /// Starts the first process of a container, or an exec.
    pub(crate) async fn start(self: &Rc<Self>, request: &StartRequest) -> Result<StartResponse, TaskError> {
        let (container, process) = self.process(&request.id, &request.exec_id)?;
        let busy = process.occupy().await;
        if process.state() != State::Created {
            return Err(process.refuse("start"));
        }
        if process.is_init() {
            self.start_init(&container, &process).await?;
        } else {
            self.start_exec(&container, &process).await?;
        }
        // Only now may the exit be told, if it is there already.
        drop(busy);
        Ok(StartResponse { pid: process.pid.get() })
    }

    async fn start_init(
        self: &Rc<Self>,
        container: &Rc<Container>,
        init: &Rc<Process>,
    ) -> Result<(), TaskError> {
        if container.freezer.get() == Freezer::Frozen {
            return Err(TaskError::State("cannot start a paused process".to_owned()));
        }
        if container.is_being_deleted() {
            return Err(TaskError::State("cannot start a process that is being deleted".to_owned()));
        }
        init.start_stdin()?;
        match &container.checkpoint {
            Some(checkpoint) => self.restore(container, init, checkpoint).await?,
            None => {
                let started = container.runtime.run(["start", &container.id]).await;
                drop(started.map_err(TaskError::runtime("OCI runtime start failed"))?);
            }
        }
        init.enter(State::Running);
        let event = TaskStart { container_id: container.id.clone(), pid: init.pid.get() };
        self.publisher.publish("/tasks/start", &event);
        Ok(())
    }

    async fn restore(
        self: &Rc<Self>,
        container: &Rc<Container>,
        init: &Rc<Process>,
        checkpoint: &Checkpoint,
    ) -> Result<(), TaskError> {
        let mut args: Vec<OsString> = ["restore", "--detach", "--no-subreaper"].map(Into::into).to_vec();
        let paths =
            [("--image-path", Path::new(&checkpoint.image)), ("--work-path", checkpoint.work.as_path())];
        for (flag, path) in paths.into_iter().chain([("--parent-path", Path::new(&checkpoint.parent))]) {
            if !path.as_os_str().is_empty() {
                args.extend([flag.into(), path.into()]);
            }
        }
        args.extend(container.restore_flags.iter().filter(|flag| **flag == "--no-pivot").map(Into::into));
        args.extend(["--bundle".into(), container.bundle.clone().into()]);
        let action = "OCI runtime restore failed";
        let (id, bundle) = (&container.id, &container.bundle);
        self.launch(&container.runtime, init, &container.owner, action, args, id, bundle).await?;
        self.follow(container, init);
        Ok(())
    }

    async fn start_exec(
        self: &Rc<Self>,
        container: &Rc<Container>,
        exec: &Rc<Process>,
    ) -> Result<(), TaskError> {
        if container.init_is_dead.get() {
            return Err(TaskError::State(format!("container {} init process is not running", container.id)));
        }
        if container.freezer.get() != Freezer::Thawed {
            return Err(TaskError::State("cannot exec in a paused state".to_owned()));
        }
        let spec = container.bundle.join(format!("{}.process.json", exec.exec_id));
        replace(&spec, &exec.spec, 0o600, Durability::Process)?;
        let args = vec!["exec".into(), "--detach".into(), "--process".into(), spec.clone().into()];
        let action = "OCI runtime exec failed";
        let (id, bundle) = (&container.id, &container.bundle);
        let launched =
            self.launch(&container.runtime, exec, &container.owner, action, args, id, bundle).await;
        drop(std::fs::remove_file(&spec));
        launched?;
        exec.start_stdin()?;
        exec.enter(State::Running);
        self.publisher.publish(
            "/tasks/exec-started",
            &TaskExecStarted {
                container_id: container.id.clone(),
                exec_id: exec.exec_id.clone(),
                pid: exec.pid.get(),
            },
        );
        self.follow(container, exec);
        Ok(())
    }
}
