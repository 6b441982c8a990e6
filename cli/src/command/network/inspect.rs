//! `network inspect`: all that is known of networks.

use crate::client::{Call, Query};
use crate::command::{Verb, inspect};
use crate::error::Failure;
use crate::session::Session;

use super::path;

/// Show all that is known of networks.
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// Format the output: 'json', or a Go template
    #[arg(short, long, value_name = "string", default_value = "")]
    format: String,
    /// Show more, for diagnostics
    #[arg(short, long)]
    verbose: bool,
    #[arg(required = true)]
    networks: Vec<String>,
}

impl Verb for Inspect {
    const USAGE: &'static str = "[OPTIONS] NETWORK [NETWORK...]";
    const ABOUT: &'static str = "Display detailed information on one or more networks";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.client()?;
        let query = Query::new().text("verbose", if self.verbose { "true" } else { "" });
        inspect::show(&self.networks, &self.format, |name| {
            let call = Call::get(path(name)).query(query.clone());
            async move { Ok(inspect::raw(client, call).await?) }
        })
        .await
    }
}
