//! Pause and Resume: freezing a container and letting it go on.

use dhow_proto::containerd::events::{TaskPaused, TaskResumed};
use dhow_proto::containerd::task::v3::{PauseRequest, ResumeRequest};

use super::container::Freezer;
use super::process::State;
use super::{Shim, TaskError};

impl Shim {
    /// Freezes a running container.
    pub(crate) async fn pause(&self, request: &PauseRequest) -> Result<(), TaskError> {
        let container = self.container(&request.id)?;
        let _busy = container.init.occupy().await;
        if container.init.state() != State::Running || container.freezer.get() != Freezer::Thawed {
            let state = match container.freezer.get() {
                Freezer::Thawed => container.init.state().name(),
                Freezer::Freezing | Freezer::Frozen => "paused",
            };
            return Err(refusal("pause", state));
        }
        container.freezer.set(Freezer::Freezing);
        let paused = container.runtime.run(["pause", &container.id]).await;
        container.freezer.set(if paused.is_ok() { Freezer::Frozen } else { Freezer::Thawed });
        drop(paused.map_err(TaskError::runtime("OCI runtime pause failed"))?);
        self.publisher.publish("/tasks/paused", &TaskPaused { container_id: container.id.clone() });
        Ok(())
    }

    /// Lets a frozen container go on.
    pub(crate) async fn resume(&self, request: &ResumeRequest) -> Result<(), TaskError> {
        let container = self.container(&request.id)?;
        let _busy = container.init.occupy().await;
        if container.freezer.get() != Freezer::Frozen {
            return Err(refusal("resume", container.init.state().name()));
        }
        let resumed = container.runtime.run(["resume", &container.id]).await;
        drop(resumed.map_err(TaskError::runtime("OCI runtime resume failed"))?);
        container.freezer.set(Freezer::Thawed);
        self.publisher.publish("/tasks/resumed", &TaskResumed { container_id: container.id.clone() });
        Ok(())
    }
}

/// Why a container in `state` does not `action`, in the words of runc's shim.
fn refusal(action: &str, state: &str) -> TaskError {
    TaskError::State(match (action, state) {
        (_, "created") => format!("cannot {action} task in {state} state"),
        ("resume", "running") => format!("cannot {action} a {state} process"),
        _ => format!("cannot {action} a {state} container"),
    })
}
