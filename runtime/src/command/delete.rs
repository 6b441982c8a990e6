//! `delete`: everything that a container left.

use std::io::Write;

use clap::Args;

use super::{Outcome, Refusal, Verb, open};
use crate::container::{ContainerError, ContainerId, Status, unfinished};
use crate::options::Global;

/// The verb.
#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// Forcibly deletes the container if it is still running (uses SIGKILL)
    #[arg(long, short)]
    force: bool,
    /// the container to delete
    #[arg(value_name = "CONTAINER-ID")]
    id: ContainerId,
}

impl Verb for DeleteArgs {
    const NAME: &str = "delete";
    const HELP: &str = "delete any resources held by the container often used with detached container";

    fn run(self, global: &Global) -> Outcome {
        let container = match open(global, &self.id) {
            Err(ContainerError::NotFound) => return self.remove_unfinished(global),
            other => other?,
        };
        if self.force {
            // Also for a stopped container: without a PID namespace some of its processes may be left.
            container.kill_and_destroy()?;
            return Ok(0);
        }
        match container.status()? {
            Status::Stopped => container.destroy(&container.spec()?)?,
            Status::Created => container.kill_and_destroy()?,
            status => {
                let text =
                    format!("cannot delete container {} that is not stopped: {}", self.id, status.name());
                return Err(Refusal(text).into());
            }
        }
        Ok(0)
    }
}

impl DeleteArgs {
    /// A `create` that was killed leaves a folder without a state document.
    fn remove_unfinished(self, global: &Global) -> Outcome {
        if let Err(error) = unfinished::remove(&global.root, &self.id) {
            let text = format!("remove {}: {}\n", self.id, crate::error::chain(&error));
            drop(std::io::stderr().write_all(text.as_bytes()));
        }
        if self.force { Ok(0) } else { Err(ContainerError::NotFound.into()) }
    }
}
