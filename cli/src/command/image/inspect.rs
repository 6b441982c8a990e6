//! `image inspect`: all that is known of images.

use crate::client::{ApiVersion, Call, Query};
use crate::command::{Verb, inspect};
use crate::error::Failure;
use crate::session::Session;

use super::path;

/// Show all that is known of images.
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// Format the output: 'json', or a Go template
    #[arg(short, long, value_name = "string", default_value = "")]
    format: String,
    /// Inspect this platform of it ("os[/arch[/variant]]")
    #[arg(long, value_name = "string", default_value = "")]
    platform: String,
    #[arg(required = true)]
    images: Vec<String>,
}

impl Verb for Inspect {
    const USAGE: &'static str = "[OPTIONS] IMAGE [IMAGE...]";
    const ABOUT: &'static str = "Display detailed information on one or more images";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.client()?;
        let mut query = Query::new();
        if !self.platform.is_empty() {
            client.require("platform", ApiVersion(1, 49)).await?;
            query = query.set("platform", crate::option::platform_json(&self.platform));
        }
        inspect::show(&self.images, &self.format, |name| {
            let call = Call::get(path(name, "json")).query(query.clone());
            async move { Ok(inspect::raw(client, call).await?) }
        })
        .await
    }
}
