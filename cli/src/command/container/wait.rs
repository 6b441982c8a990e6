//! `wait`: wait for containers to end and print their exit codes.

use dhow_engine_api::container::WaitResponse;

use crate::client::Call;
use crate::command::Verb;
use crate::error::Failure;
use crate::output::put_line;
use crate::session::Session;

use super::path;

/// Wait for containers to end.
#[derive(Debug, clap::Args)]
pub(crate) struct Wait {
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Verb for Wait {
    const USAGE: &'static str = "CONTAINER [CONTAINER...]";
    const ABOUT: &'static str = "Block until one or more containers stop, then print their exit codes";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.client()?;
        let mut failures = Vec::new();
        for container in &self.containers {
            match client.fetch::<WaitResponse>(Call::post(path(container, "wait"))).await {
                Ok(WaitResponse { error: Some(error), .. }) if !error.message.is_empty() => {
                    failures.push(error.message.into());
                }
                Ok(response) => put_line(&response.status_code.to_string())?,
                Err(error) => failures.push(error.into()),
            }
        }
        Failure::join(failures)
    }
}
