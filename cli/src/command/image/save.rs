//! `save`: put images into an archive.

use crate::client::{ApiVersion, Call, Query};
use crate::command::{Verb, download};
use crate::error::Failure;
use crate::session::Session;

/// Put images into an archive.
#[derive(Debug, clap::Args)]
pub(crate) struct Save {
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "string", default_value = "")]
    output: String,
    /// Save only this platform ("os[/arch[/variant]]")
    #[arg(long, value_name = "string", default_value = "")]
    platform: String,
    #[arg(required = true)]
    images: Vec<String>,
}

impl Verb for Save {
    const USAGE: &'static str = "[OPTIONS] IMAGE [IMAGE...]";
    const ABOUT: &'static str = "Save one or more images to a tar archive (streamed to STDOUT by default)";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.client()?;
        let target = download::Target::new(&self.output)
            .map_err(|failure| failure.reword(|message| format!("failed to save image: {message}")))?;
        let mut query = Query::new();
        for image in &self.images {
            query = query.set("names", image);
        }
        if !self.platform.is_empty() {
            client.require("platform", ApiVersion(1, 48)).await?;
            query = query.set("platform", crate::option::platform_json(&self.platform));
        }
        target.save(client.send(Call::get("/images/get").query(query)).await?).await
    }
}
