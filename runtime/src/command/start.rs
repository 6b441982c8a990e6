//! `start`: lets a created container run its program.

use std::os::fd::OwnedFd;

use clap::Args;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::{Outcome, Refusal, Verb, open};
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

impl Verb for StartArgs {
    const NAME: &str = "start";
    const HELP: &str = "executes the user defined process in a created container";

    fn run(self, global: &Global) -> Outcome {
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
        let spec = container.spec()?;
        let hooks = Moment::StartContainer.has_hooks(spec.hooks.as_ref());
        let answer = hooks.then(|| open_fifo(&container, OFlags::RDONLY)).transpose()?;
        release(&container)?;
        if let Some(reason) = answer.map(|answer| failure_of_hooks(&answer)).transpose()?.flatten() {
            return Err(Refusal(reason).into());
        }
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
    let fifo = open_fifo(container, OFlags::WRONLY)?;
    // Two `start`s at once: only the one whose removal succeeds starts it.
    std::fs::remove_file(&path).map_err(PathError::at("remove exec fifo", &path))?;
    rustix::io::write(&fifo, b"0").map_err(|error| PathError::at("write exec fifo", &path)(error.into()))?;
    Ok(())
}

fn open_fifo(container: &Container, direction: OFlags) -> Result<OwnedFd, super::Failure> {
    let path = container.fifo();
    match rustix::fs::open(&path, direction | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()) {
        // Nobody waits at the other end.
        Err(Errno::NXIO) => Err(crate::container::ContainerError::NotRunning.into()),
        other => other.map_err(|error| PathError::at("open exec fifo", &path)(error.into()).into()),
    }
}

/// Waits until the startContainer hooks are over, which is when the container's process lets go of the fifo: by its
/// exec, or by its end after it wrote down why.
fn failure_of_hooks(fifo: &OwnedFd) -> Result<Option<String>, super::Failure> {
    let failed = |error: Errno| PathError::at("read", "exec fifo")(error.into());
    loop {
        let mut polled = [PollFd::new(fifo, PollFlags::empty())];
        match rustix::event::poll(&mut polled, None) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(failed(error).into()),
            Ok(_) => break,
        }
    }
    let mut text = vec![0; 4096];
    let read = rustix::io::read(fifo, &mut text).map_err(failed)?;
    text.truncate(read);
    Ok((read > 0).then(|| String::from_utf8_lossy(&text).into_owned()))
}
