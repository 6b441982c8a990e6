//! `commit`: make an image of a container.

use dhow_engine_api::exec::IdResponse;

use crate::client::{Call, Query};
use crate::command::Verb;
use crate::error::Failure;
use crate::option::reference::Reference;
use crate::output::put_line;
use crate::session::Session;

/// Make an image of a container.
#[derive(Debug, clap::Args)]
pub(crate) struct Commit {
    /// Author (e.g. "John Hannibal Smith <hannibal@a-team.com>")
    #[arg(short, long, value_name = "string", default_value = "")]
    author: String,
    /// Apply a Dockerfile instruction to the image
    #[arg(short, long, value_name = "list")]
    change: Vec<String>,
    /// Message of the commit
    #[arg(short, long, value_name = "string", default_value = "")]
    message: String,
    /// Freeze the container meanwhile (default true)
    #[arg(short, long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", value_parser = crate::command::boolean)]
    pause: bool,
    container: String,
    name: Option<String>,
}

impl Verb for Commit {
    const USAGE: &'static str = "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]";
    const ABOUT: &'static str = "Create a new image from a container's changes";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let mut query = Query::new().set("container", &self.container);
        if let Some(name) = &self.name {
            let reference = Reference::parse(name)?;
            if reference.has_digest() {
                return Err("refusing to create a tag with a digest reference".into());
            }
            query = query.set("repo", reference.canonical_name()).set("tag", reference.tag_or_digest());
        }
        query = query.text("comment", &self.message).text("author", &self.author);
        for change in &self.change {
            query = query.set("changes", change);
        }
        if !self.pause {
            query = query.set("pause", "0");
        }
        let created: IdResponse = session.client()?.fetch(Call::post("/commit").query(query)).await?;
        put_line(&created.id)
    }
}
