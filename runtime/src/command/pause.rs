//! `pause` and `resume`.

use clap::Args;

use super::{Outcome, open};
use crate::container::ContainerId;
use crate::options::Global;

/// The first verb.
#[derive(Debug, Args)]
pub(crate) struct PauseArgs {
    /// the container to freeze
    #[arg(value_name = "CONTAINER-ID")]
    id: ContainerId,
}

impl PauseArgs {
    pub(super) fn run(self, global: &Global) -> Outcome {
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

impl ResumeArgs {
    pub(super) fn run(self, global: &Global) -> Outcome {
        open(global, &self.id)?.resume()?;
        Ok(0)
    }
}
