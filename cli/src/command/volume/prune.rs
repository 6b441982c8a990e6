//! `volume prune`: remove volumes that nothing uses.

use dhow_engine_api::volume::VolumePruneReport;

use crate::client::query::Filters;
use crate::client::{ApiVersion, Call, Query};
use crate::command::{Verb, prune};
use crate::error::Failure;
use crate::output::put;
use crate::session::Session;

/// Remove volumes that nothing uses.
#[derive(Debug, clap::Args)]
pub(crate) struct Prune {
    /// Remove all unused volumes, not just anonymous ones
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    choice: prune::Choice,
}

/// The version since which only anonymous volumes are removed unless `all` is said.
const ANONYMOUS_ONLY: ApiVersion = ApiVersion(1, 42);

impl Verb for Prune {
    const USAGE: &'static str = "[OPTIONS]";
    const ABOUT: &'static str = "Remove unused local volumes";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.client()?;
        let mut filters = self.choice.filters()?;
        let anonymous = client.version().await? >= ANONYMOUS_ONLY;
        if self.all {
            client.require("all", ANONYMOUS_ONLY).await?;
            if filters.has("all") {
                return Err("conflicting options: cannot specify both --all and --filter all=1".into());
            }
            filters.add("all", "true");
        }
        let warning = if anonymous && !self.all {
            "This will remove anonymous local volumes not used by at least one container."
        } else {
            "This will remove all local volumes not used by at least one container."
        };
        self.choice.ask("volume", warning)?;
        let (text, freed) = volumes(session, &filters).await?;
        put(&(text + &prune::total(freed)))
    }
}

/// Removes them; what was removed and how much it freed.
pub(crate) async fn volumes(session: &Session, filters: &Filters) -> Result<(String, u64), Failure> {
    let call = Call::post("/volumes/prune").query(Query::new().filters(filters));
    let report: VolumePruneReport = session.client()?.fetch(call).await?;
    let text = prune::listed("Deleted Volumes", &report.volumes_deleted.unwrap_or_default());
    Ok((text, report.space_reclaimed))
}
