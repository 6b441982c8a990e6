//! `volume rm`: remove volumes.

use crate::client::{Call, Query};
use crate::command::Verb;
use crate::error::Failure;
use crate::output::put_line;
use crate::session::Session;

use super::path;

/// Remove volumes.
#[derive(Debug, clap::Args)]
pub(crate) struct Rm {
    /// Remove it even when its driver fails
    #[arg(short, long)]
    force: bool,
    #[arg(required = true)]
    volumes: Vec<String>,
}

impl Verb for Rm {
    const USAGE: &'static str = "[OPTIONS] VOLUME [VOLUME...]";
    const ABOUT: &'static str = "Remove one or more volumes";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.client()?;
        let mut failures = Vec::new();
        for volume in &self.volumes {
            let call = Call::delete(path(volume)).query(Query::new().flag("force", self.force));
            match client.done(call).await {
                Ok(()) => put_line(volume)?,
                Err(error) => failures.push(error.into()),
            }
        }
        Failure::join(failures)
    }
}
