//! `run`: create and start in one, by default in the foreground.

use clap::Args;

use super::create::BundleArgs;
use super::{Failure, Outcome, Verb};
use crate::launch::launch;
use crate::options::Global;

/// What stands in front of its errors.
pub(super) const FAILED: &str = "runc run failed";

/// The verb.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    bundle: BundleArgs,
    /// detach from the container's process
    #[arg(long, short)]
    detach: bool,
    /// do not delete the container after it exits
    #[arg(long)]
    keep: bool,
    /// disable the use of the subreaper used to reap reparented processes
    #[arg(long)]
    no_subreaper: bool,
}

impl Verb for RunArgs {
    const NAME: &str = "run";
    const HELP: &str = "create and run a container";

    fn run(self, global: &Global) -> Outcome {
        let mut creation = self.bundle.creation(global);
        creation.waits = false;
        creation.connection.detach = self.detach;
        creation.keep = self.keep;
        creation.subreaper = !self.no_subreaper;
        launch(creation).map_err(Failure::from).map_err(Failure::context(FAILED, 1))
    }
}
