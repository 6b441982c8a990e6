//! `kill`: send a signal to containers.

use crate::client::{Call, Query};
use crate::command::Verb;
use crate::error::Failure;
use crate::session::Session;

use super::{each, path};

/// Send a signal to containers.
#[derive(Debug, clap::Args)]
pub(crate) struct Kill {
    /// Signal to send (default SIGKILL)
    #[arg(short, long, value_name = "string", default_value = "")]
    signal: String,
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Verb for Kill {
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const ABOUT: &'static str = "Kill one or more running containers";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.client()?;
        let query = Query::new().text("signal", &self.signal);
        each(&self.containers, |name| {
            let call = Call::post(path(&name, "kill")).query(query.clone());
            async move {
                client.done(call).await?;
                Ok(Some(name))
            }
        })
        .await
    }
}
