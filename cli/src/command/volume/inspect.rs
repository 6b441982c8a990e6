//! `volume inspect`: all that is known of volumes.

use crate::client::Call;
use crate::command::{Verb, inspect};
use crate::error::Failure;
use crate::session::Session;

use super::path;

/// Show all that is known of volumes.
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// Format the output: 'json', or a Go template
    #[arg(short, long, value_name = "string", default_value = "")]
    format: String,
    #[arg(required = true)]
    volumes: Vec<String>,
}

impl Verb for Inspect {
    const USAGE: &'static str = "[OPTIONS] VOLUME [VOLUME...]";
    const ABOUT: &'static str = "Display detailed information on one or more volumes";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.client()?;
        inspect::show(&self.volumes, &self.format, |name| async move {
            Ok(inspect::raw(client, Call::get(path(name))).await?)
        })
        .await
    }
}
