//! `builder prune`: remove the build cache.

use dhow_engine_api::disk_usage::BuildPruneReport;

use crate::client::query::Filters;
use crate::client::{Call, Query};
use crate::command::{Verb, prune};
use crate::error::Failure;
use crate::option::number;
use crate::output::{put, units};
use crate::session::Session;

/// Remove the build cache.
#[derive(Debug, clap::Args)]
pub(crate) struct Prune {
    /// Remove all of it, not just what has no name
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    choice: prune::Choice,
    /// How much to keep
    #[arg(long, value_name = "bytes", value_parser = number::memory)]
    keep_storage: Option<i64>,
}

impl Verb for Prune {
    const USAGE: &'static str = "";
    const ABOUT: &'static str = "Remove build cache";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let warning = if self.all {
            "This will remove all build cache."
        } else {
            "This will remove all dangling build cache."
        };
        self.choice.put("builder", &format!("{warning} Are you sure you want to continue?"))?;
        let keep = self.keep_storage.map(|bytes| bytes.to_string()).unwrap_or_default();
        let (text, freed) = cache(session, self.all, &self.choice.filters()?, &keep).await?;
        put(&format!("{text}Total:\t{}\n", units::human_size(freed as f64)))
    }
}

/// Removes it; what was removed and how much it freed.
pub(crate) async fn cache(
    session: &Session,
    all: bool,
    filters: &Filters,
    keep: &str,
) -> Result<(String, u64), Failure> {
    let query = Query::new().flag("all", all).text("keep-storage", keep).filters(filters);
    let report: BuildPruneReport = session.client()?.fetch(Call::post("/build/prune").query(query)).await?;
    let text = prune::listed("Deleted build cache objects", &report.caches_deleted.unwrap_or_default());
    Ok((text, report.space_reclaimed))
}
