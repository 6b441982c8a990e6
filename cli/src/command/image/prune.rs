//! `image prune`: remove images that nothing uses.

use dhow_engine_api::image::ImagePruneReport;

use crate::client::query::Filters;
use crate::client::{Call, Query};
use crate::command::{Verb, prune};
use crate::error::Failure;
use crate::output::put;
use crate::session::Session;

/// Remove images that nothing uses.
#[derive(Debug, clap::Args)]
pub(crate) struct Prune {
    /// Remove all unused images, not just those without a name
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    choice: prune::Choice,
}

impl Verb for Prune {
    const USAGE: &'static str = "[OPTIONS]";
    const ABOUT: &'static str = "Remove unused images";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let warning = if self.all {
            "This will remove all images without at least one container associated to them."
        } else {
            "This will remove all dangling images."
        };
        self.choice.ask("image", warning)?;
        let (text, freed) = images(session, self.all, self.choice.filters()?).await?;
        put(&(text + &prune::total(freed)))
    }
}

/// Removes them; what was removed and how much it freed.
pub(crate) async fn images(
    session: &Session,
    all: bool,
    mut filters: Filters,
) -> Result<(String, u64), Failure> {
    filters.add("dangling", if all { "false" } else { "true" });
    let call = Call::post("/images/prune").query(Query::new().filters(&filters));
    let report: ImagePruneReport = session.client()?.fetch(call).await?;
    let line = |item: &dhow_engine_api::image::DeleteItem| match item.untagged.as_str() {
        "" => format!("deleted: {}", item.deleted),
        name => format!("untagged: {name}"),
    };
    let lines: Vec<String> = report.images_deleted.iter().flatten().map(line).collect();
    Ok((prune::listed("Deleted Images", &lines), report.space_reclaimed))
}
