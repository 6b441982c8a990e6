//! `checkpoint create`: keep the state of a running container.

use serde_json::json;

use crate::client::Call;
use crate::command::Verb;
use crate::error::Failure;
use crate::output::put_line;
use crate::session::Session;

use super::path;

/// Keep the state of a running container.
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// Where to keep it
    #[arg(long, value_name = "string", default_value = "")]
    checkpoint_dir: String,
    /// Leave the container running
    #[arg(long)]
    leave_running: bool,
    container: String,
    checkpoint: String,
}

impl Verb for Create {
    const USAGE: &'static str = "[OPTIONS] CONTAINER CHECKPOINT";
    const ABOUT: &'static str = "Create a checkpoint from a running container";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let request = json!({
            "CheckpointID": self.checkpoint,
            "CheckpointDir": self.checkpoint_dir,
            "Exit": !self.leave_running,
        });
        session.client()?.done(Call::post(path(&self.container)).json(&request)?).await?;
        put_line(&self.checkpoint)
    }
}
