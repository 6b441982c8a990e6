//! `push`: send an image to a registry.

use crate::client::{ApiVersion, Call, Query};
use crate::command::Verb;
use crate::error::Failure;
use crate::output::progress::{self, Sink};
use crate::output::put;
use crate::session::Session;

use super::path;

/// Send an image to a registry.
#[derive(Debug, clap::Args)]
pub(crate) struct Push {
    /// Send all tags of the repository
    #[arg(short, long)]
    all_tags: bool,
    /// Skip signing (there is none; accepted for old scripts) (default true)
    #[arg(long)]
    disable_content_trust: bool,
    /// Send only this platform ("os[/arch[/variant]]")
    #[arg(long, value_name = "string", env = "DOCKER_DEFAULT_PLATFORM", hide_env = true, default_value = "")]
    platform: String,
    /// Show nothing but the name
    #[arg(short, long)]
    quiet: bool,
    name: String,
}

impl Verb for Push {
    const USAGE: &'static str = "[OPTIONS] NAME[:TAG]";
    const ABOUT: &'static str = "Upload an image to a registry";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let reference = super::transferred(&self.name, self.all_tags, self.quiet)?;
        if reference.has_digest() {
            return Err("cannot push a digest reference".into());
        }
        let client = session.client()?;
        let mut query = Query::new();
        if !self.all_tags {
            query = query.set("tag", reference.tag_or_digest());
        }
        if !self.platform.is_empty() {
            client.require("platform", ApiVersion(1, 46)).await?;
            query = query.set("platform", crate::option::platform_json(&self.platform));
        }
        let auth = session.config().registry_header(&reference.canonical());
        let call = Call::post(path(&reference.canonical_name(), "push")).query(query).registry_auth(&auth);
        let reply = client.send(call).await?;
        let sink = if self.quiet { Sink::Nowhere } else { Sink::Stdout };
        progress::show(reply.messages(), sink, |_| {}).await?;
        if self.quiet { put(&(reference.canonical() + "\n")) } else { Ok(()) }
    }
}
