//! `load`: take images out of an archive.

use crate::client::{ApiVersion, Call, Query};
use crate::command::{Verb, upload};
use crate::error::Failure;
use crate::output::progress::{self, Sink};
use crate::output::put;
use crate::session::Session;
use crate::terminal;

/// Take images out of an archive.
#[derive(Debug, clap::Args)]
pub(crate) struct Load {
    /// Read from a file, instead of STDIN
    #[arg(short, long, value_name = "string", default_value = "")]
    input: String,
    /// Load only this platform ("os[/arch[/variant]]")
    #[arg(long, value_name = "string", default_value = "")]
    platform: String,
    /// Do not show progress
    #[arg(short, long)]
    quiet: bool,
}

impl Verb for Load {
    const USAGE: &'static str = "[OPTIONS]";
    const ABOUT: &'static str = "Load an image from a tar archive or STDIN";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let body = match self.input.as_str() {
            "" if terminal::stdin_is_terminal() => {
                return Err("requested load from stdin, but stdin is empty".into());
            }
            "" => upload::stdin(),
            path => upload::file(path)?,
        };
        let client = session.client()?;
        let quiet = self.quiet || !terminal::stdout_is_terminal();
        let mut query = Query::new().set("quiet", if quiet { "1" } else { "0" });
        if !self.platform.is_empty() {
            client.require("platform", ApiVersion(1, 48)).await?;
            query = query.set("platform", crate::option::platform_json(&self.platform));
        }
        let reply =
            client.send(Call::post("/images/load").query(query).body(body, "application/x-tar")).await?;
        if reply.header("content-type").is_some_and(|kind| kind.starts_with("application/json")) {
            return progress::show(reply.messages(), Sink::Stdout, |_| {}).await;
        }
        put(&reply.text().await?)
    }
}
