//! `container inspect`: all that is known of containers.

use crate::client::{Call, Query};
use crate::command::{Verb, inspect};
use crate::error::Failure;
use crate::session::Session;

use super::path;

/// Show all that is known of containers.
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// Format the output: 'json', or a Go template
    #[arg(short, long, value_name = "string", default_value = "")]
    format: String,
    /// Show the total sizes of files
    #[arg(short, long)]
    size: bool,
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Verb for Inspect {
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const ABOUT: &'static str = "Display detailed information on one or more containers";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.client()?;
        inspect::show(&self.containers, &self.format, |name| async move {
            let query = Query::new().flag("size", self.size);
            Ok(inspect::raw(client, Call::get(path(name, "json")).query(query)).await?)
        })
        .await
    }
}
