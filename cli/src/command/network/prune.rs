//! `network prune`: remove networks that nothing uses.

use dhow_engine_api::network::NetworkPruneReport;

use crate::client::query::Filters;
use crate::client::{Call, Query};
use crate::command::{Verb, prune};
use crate::error::Failure;
use crate::output::put;
use crate::session::Session;

/// Remove networks that nothing uses.
#[derive(Debug, clap::Args)]
pub(crate) struct Prune {
    #[command(flatten)]
    choice: prune::Choice,
}

impl Verb for Prune {
    const USAGE: &'static str = "[OPTIONS]";
    const ABOUT: &'static str = "Remove all unused networks";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let warning = "This will remove all custom networks not used by at least one container.";
        self.choice.ask("network", warning)?;
        put(&networks(session, &self.choice.filters()?).await?)
    }
}

/// Removes them; what was removed.
pub(crate) async fn networks(session: &Session, filters: &Filters) -> Result<String, Failure> {
    let call = Call::post("/networks/prune").query(Query::new().filters(filters));
    let report: NetworkPruneReport = session.client()?.fetch(call).await?;
    Ok(prune::listed("Deleted Networks", &report.networks_deleted.unwrap_or_default()))
}
