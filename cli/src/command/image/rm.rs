//! `rmi`: remove images.

use dhow_engine_api::image::DeleteItem;

use crate::client::query::escape_path;
use crate::client::{ApiVersion, Call, Query};
use crate::command::Verb;
use crate::error::Failure;
use crate::output::{put_line, warn};
use crate::session::Session;

/// Remove images.
#[derive(Debug, clap::Args)]
pub(crate) struct Rm {
    /// Remove it even when it is used or has other names
    #[arg(short, long)]
    force: bool,
    /// Keep parents without a name
    #[arg(long)]
    no_prune: bool,
    /// Remove only this platform of it ("os[/arch[/variant]]")
    #[arg(long, value_name = "strings")]
    platform: Vec<String>,
    #[arg(required = true)]
    images: Vec<String>,
}

impl Verb for Rm {
    const USAGE: &'static str = "[OPTIONS] IMAGE [IMAGE...]";
    const ABOUT: &'static str = "Remove one or more images";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.client()?;
        let mut query = Query::new().flag("force", self.force).flag("noprune", self.no_prune);
        if !self.platform.is_empty() {
            client.require("platform", ApiVersion(1, 50)).await?;
            for platform in &self.platform {
                query = query.set("platforms", crate::option::platform_json(platform));
            }
        }
        let mut failures: Vec<Failure> = Vec::new();
        let mut fatal = false;
        for image in &self.images {
            let call = Call::delete(format!("/images/{}", escape_path(image))).query(query.clone());
            match client.fetch::<Vec<DeleteItem>>(call).await {
                Ok(items) => {
                    for item in &items {
                        match (item.deleted.as_str(), item.untagged.as_str()) {
                            ("", name) => put_line(&format!("Untagged: {name}"))?,
                            (id, _) => put_line(&format!("Deleted: {id}"))?,
                        }
                    }
                }
                Err(error) => {
                    fatal |= !error.is_not_found();
                    failures.push(error.into());
                }
            }
        }
        match Failure::join(failures) {
            Err(failure) if self.force && !fatal => {
                warn(failure.message());
                Ok(())
            }
            result => result,
        }
    }
}
