//! `network rm`: remove networks.

use crate::client::Call;
use crate::command::Verb;
use crate::error::Failure;
use crate::output::{put_line, warn};
use crate::session::Session;

use super::path;

/// Remove networks.
#[derive(Debug, clap::Args)]
pub(crate) struct Rm {
    /// Do not fail when a network is not there
    #[arg(short, long)]
    force: bool,
    #[arg(required = true)]
    networks: Vec<String>,
}

impl Verb for Rm {
    const USAGE: &'static str = "NETWORK [NETWORK...]";
    const ABOUT: &'static str = "Remove one or more networks";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.client()?;
        let mut failed = false;
        for network in &self.networks {
            match client.done(Call::delete(path(network))).await {
                Ok(()) => put_line(network)?,
                Err(error) if self.force && error.is_not_found() => {}
                Err(error) => {
                    let failure = Failure::from(error);
                    warn(failure.message());
                    failed = true;
                }
            }
        }
        if failed { Err(Failure::new("exit status 1")) } else { Ok(()) }
    }
}
