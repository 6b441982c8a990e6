//! `unpause`: let frozen containers go on.

use crate::client::Call;
use crate::command::Verb;
use crate::error::Failure;
use crate::session::Session;

use super::{each, path};

/// Let frozen containers go on.
#[derive(Debug, clap::Args)]
pub(crate) struct Unpause {
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Verb for Unpause {
    const USAGE: &'static str = "CONTAINER [CONTAINER...]";
    const ABOUT: &'static str = "Unpause all processes within one or more containers";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.client()?;
        each(&self.containers, |name| async move {
            client.done(Call::post(path(&name, "unpause"))).await?;
            Ok(Some(name))
        })
        .await
    }
}
