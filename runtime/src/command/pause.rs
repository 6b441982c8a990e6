//! `pause` and `resume`.

use clap::Args;

use super::{Outcome, Verb, open};
use crate::container::ContainerId;
use crate::options::Global;

/// The first verb.
#[derive(Debug, Args)]
pub(crate) struct PauseArgs {
    /// the container to freeze
    #[arg(value_name = "CONTAINER-ID")]
    id: ContainerId,
}

impl Verb for PauseArgs {
    const NAME: &str = "pause";
    const HELP: &str = "pause suspends all processes inside the container";

    fn run(self, global: &Global) -> Outcome {
        open(global, &self.id)?.pause()?;
        Ok(0)
    }
}

/// The second verb.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// the container to thaw
    #[arg(value_name = "CONTAINER-ID")]
    id: ContainerId,
}

impl Verb for ResumeArgs {
    const NAME: &str = "resume";
    const HELP: &str = "resumes all processes that have been previously paused";

    fn run(self, global: &Global) -> Outcome {
        open(global, &self.id)?.resume()?;
        Ok(0)
    }
}
