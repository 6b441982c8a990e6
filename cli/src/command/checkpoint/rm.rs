//! `checkpoint rm`: remove a checkpoint.

use crate::client::query::escape;
use crate::client::{Call, Query};
use crate::command::Verb;
use crate::error::Failure;
use crate::session::Session;

use super::path;

/// Remove a checkpoint.
#[derive(Debug, clap::Args)]
pub(crate) struct Rm {
    /// Where it is kept
    #[arg(long, value_name = "string", default_value = "")]
    checkpoint_dir: String,
    container: String,
    checkpoint: String,
}

impl Verb for Rm {
    const USAGE: &'static str = "[OPTIONS] CONTAINER CHECKPOINT";
    const ABOUT: &'static str = "Remove a checkpoint";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let query = Query::new().text("dir", &self.checkpoint_dir);
        let path = format!("{}/{}", path(&self.container), escape(&self.checkpoint));
        Ok(session.client()?.done(Call::delete(path).query(query)).await?)
    }
}
