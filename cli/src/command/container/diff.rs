//! `diff`: files of a container that differ from its image.

use dhow_engine_api::container::FilesystemChange;

use crate::client::Call;
use crate::command::Verb;
use crate::error::Failure;
use crate::output::put;
use crate::session::Session;

use super::path;

/// Show files of a container that differ from its image.
#[derive(Debug, clap::Args)]
pub(crate) struct Diff {
    container: String,
}

impl Verb for Diff {
    const USAGE: &'static str = "CONTAINER";
    const ABOUT: &'static str = "Inspect changes to files or directories on a container's filesystem";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let changes: Option<Vec<FilesystemChange>> =
            session.client()?.fetch(Call::get(path(&self.container, "changes"))).await?;
        let letter = |kind| match kind {
            0 => 'C',
            1 => 'A',
            2 => 'D',
            _ => '?',
        };
        let lines = changes.unwrap_or_default().into_iter();
        put(&lines.map(|change| format!("{} {}\n", letter(change.kind), change.path)).collect::<String>())
    }
}
