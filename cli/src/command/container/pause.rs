//! `pause`: freeze containers.

use crate::client::Call;
use crate::command::Verb;
use crate::error::Failure;
use crate::session::Session;

use super::{each, path};

/// Freeze containers.
#[derive(Debug, clap::Args)]
pub(crate) struct Pause {
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Verb for Pause {
    const USAGE: &'static str = "CONTAINER [CONTAINER...]";
    const ABOUT: &'static str = "Pause all processes within one or more containers";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.client()?;
        each(&self.containers, |name| async move {
            client.done(Call::post(path(&name, "pause"))).await?;
            Ok(Some(name))
        })
        .await
    }
}
