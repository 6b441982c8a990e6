//! `pull`: get an image from a registry.

use crate::client::{Call, Query};
use crate::command::Verb;
use crate::error::Failure;
use crate::option::reference::Reference;
use crate::output::progress::{self, Sink};
use crate::output::put_line;
use crate::session::Session;

/// Get an image from a registry.
#[derive(Debug, clap::Args)]
pub(crate) struct Pull {
    /// Get all tags of the repository
    #[arg(short, long)]
    all_tags: bool,
    /// Skip image verification (there is none; accepted for old scripts) (default true)
    #[arg(long)]
    disable_content_trust: bool,
    /// Choose an image by platform when it has several
    #[arg(long, value_name = "string", env = "DOCKER_DEFAULT_PLATFORM", hide_env = true, default_value = "")]
    platform: String,
    /// Show nothing but the name
    #[arg(short, long)]
    quiet: bool,
    name: String,
}

impl Verb for Pull {
    const USAGE: &'static str = "[OPTIONS] NAME[:TAG|@DIGEST]";
    const ABOUT: &'static str = "Download an image from a registry";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let reference = super::transferred(&self.name, self.all_tags, self.quiet)?;
        let sink = if self.quiet { Sink::Nowhere } else { Sink::Stdout };
        let query = Query::new().set("fromImage", reference.canonical_name());
        let query = if self.all_tags { query } else { query.set("tag", reference.tag_or_digest()) };
        let query = query.text("platform", &self.platform);
        request(session, &reference, query, sink).await?;
        let canonical = if self.all_tags { reference.canonical_name() } else { reference.canonical() };
        put_line(&canonical)
    }
}

/// Gets the image `name`, its progress going to `sink`.
pub(crate) async fn pull(session: &Session, name: &str, platform: &str, sink: Sink) -> Result<(), Failure> {
    let reference = Reference::parse(name)?;
    let query = Query::new()
        .set("fromImage", reference.canonical_name())
        .set("tag", reference.tag_or_digest())
        .text("platform", platform);
    request(session, &reference, query, sink).await
}

async fn request(session: &Session, reference: &Reference, query: Query, sink: Sink) -> Result<(), Failure> {
    let auth = session.config().registry_header(&reference.canonical());
    let call = Call::post("/images/create").query(query).registry_auth(&auth);
    let reply = session.client()?.send(call).await?;
    progress::show(reply.messages(), sink, |_| {}).await
}

/// A name for people, with the tag that is meant when it has none.
pub(crate) fn familiar_tagged(name: &str) -> String {
    Reference::parse(name).map_or_else(|_| name.to_owned(), |reference| reference.familiar())
}
