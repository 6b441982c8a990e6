//! `start`: lets a created container run its program.

use clap::Args;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::{Outcome, Refusal, open};
use crate::container::{Container, ContainerId, OciState, Status};
use crate::hook::{self, Moment};
use crate::log;
use crate::notify::Notify;
use crate::options::Global;
use dhow_linux::file::PathError;

/// The verb.
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// the container to start
    #[arg(value_name = "CONTAINER-ID")]
    id: ContainerId,
}

impl StartArgs {
    pub(super) fn run(self, global: &Global) -> Outcome {
        let container = open(global, &self.id)?;
        match container.status()? {
            Status::Created => {}
            Status::Stopped => {
                return Err(Refusal("cannot start a container that has stopped".to_owned()).into());
            }
            Status::Running => {
                return Err(Refusal("cannot start an already running container".to_owned()).into());
            }
            other => {
                return Err(Refusal(format!("cannot start a container in the {} state", other.name())).into());
            }
        }
        let notify = Notify::of(container.folder()).map(Notify::listen).transpose()?.flatten();
        release(&container)?;
        let spec = container.spec()?;
        let state = &container.state;
        let pid = state.init.map_or(0, |init| init.pid);
        let oci = OciState::new(state.id.as_str(), Status::Running, pid, &state.bundle, &spec.annotations);
        if let Err(error) = hook::run(spec.hooks.as_ref(), Moment::Poststart, &oci, None) {
            if let Err(error) = container.kill(&spec, rustix::process::Signal::KILL) {
                log::warn(&format!("kill after failed poststart: {}", crate::error::chain(&error)));
            }
            return Err(error.into());
        }
        if let (Some(listener), Some(init)) = (notify, container.init()) {
            listener.forward(init, pid);
        }
        Ok(0)
    }
}

/// Writes the byte that the container waits for. Removing the fifo is what makes it "running".
fn release(container: &Container) -> Result<(), super::Failure> {
    let path = container.fifo();
    let failed = |error: Errno| PathError::at("open exec fifo", &path)(error.into());
    let fifo =
        match rustix::fs::open(&path, OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()) {
            // Nobody waits at the other end.
            Err(Errno::NXIO) => return Err(crate::container::ContainerError::NotRunning.into()),
            other => other.map_err(failed)?,
        };
    // Two `start`s at once: only the one whose removal succeeds starts it.
    std::fs::remove_file(&path).map_err(PathError::at("remove exec fifo", &path))?;
    rustix::io::write(&fifo, b"0").map_err(|error| PathError::at("write exec fifo", &path)(error.into()))?;
    Ok(())
}
