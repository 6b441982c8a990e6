//! `container prune`: remove containers that do not run.

use dhow_engine_api::container::PruneReport;

use crate::client::query::Filters;
use crate::client::{Call, Query};
use crate::command::{Verb, prune};
use crate::error::Failure;
use crate::output::put;
use crate::session::Session;

/// Remove containers that do not run.
#[derive(Debug, clap::Args)]
pub(crate) struct Prune {
    #[command(flatten)]
    choice: prune::Choice,
}

impl Verb for Prune {
    const USAGE: &'static str = "[OPTIONS]";
    const ABOUT: &'static str = "Remove all stopped containers";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        self.choice.ask("container", "This will remove all stopped containers.")?;
        let (text, freed) = containers(session, &self.choice.filters()?).await?;
        put(&(text + &prune::total(freed)))
    }
}

/// Removes them; what was removed and how much it freed.
pub(crate) async fn containers(session: &Session, filters: &Filters) -> Result<(String, u64), Failure> {
    let call = Call::post("/containers/prune").query(Query::new().filters(filters));
    let report: PruneReport = session.client()?.fetch(call).await?;
    let text = prune::listed("Deleted Containers", &report.containers_deleted.unwrap_or_default());
    Ok((text, report.space_reclaimed))
}
