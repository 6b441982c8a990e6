//! `export`: the files of a container as a tar archive.

use crate::client::Call;
use crate::command::{Verb, download};
use crate::error::Failure;
use crate::session::Session;

use super::path;

/// Write the files of a container as a tar archive.
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "string", default_value = "")]
    output: String,
    container: String,
}

impl Verb for Export {
    const USAGE: &'static str = "[OPTIONS] CONTAINER";
    const ABOUT: &'static str = "Export a container's filesystem as a tar archive";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let target = download::Target::new(&self.output)
            .map_err(|failure| failure.reword(|message| format!("failed to export container: {message}")))?;
        let reply = session.client()?.send(Call::get(path(&self.container, "export"))).await?;
        target.save(reply).await
    }
}
