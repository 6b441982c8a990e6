//! `network disconnect`: take a container out of a network.

use dhow_engine_api::network::NetworkDisconnect;

use crate::client::Call;
use crate::command::Verb;
use crate::error::Failure;
use crate::session::Session;

use super::path;

/// Take a container out of a network.
#[derive(Debug, clap::Args)]
pub(crate) struct Disconnect {
    /// Do it even when the container is in trouble
    #[arg(short, long)]
    force: bool,
    network: String,
    container: String,
}

impl Verb for Disconnect {
    const USAGE: &'static str = "[OPTIONS] NETWORK CONTAINER";
    const ABOUT: &'static str = "Disconnect a container from a network";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let request = NetworkDisconnect { container: self.container, force: self.force };
        let call = Call::post(path(&self.network) + "/disconnect").json(&request)?;
        Ok(session.client()?.done(call).await?)
    }
}
