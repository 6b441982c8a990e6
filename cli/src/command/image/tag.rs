//! `tag`: give an image another name.

use crate::client::{Call, Query};
use crate::command::Verb;
use crate::error::Failure;
use crate::option::reference::Reference;
use crate::session::Session;

use super::path;

/// Give an image another name.
#[derive(Debug, clap::Args)]
pub(crate) struct Tag {
    source: String,
    target: String,
}

impl Verb for Tag {
    const USAGE: &'static str = "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]";
    const ABOUT: &'static str = "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let invalid = |cause: String| {
            format!("Error parsing reference: \"{}\" is not a valid repository/tag: {cause}", self.target)
        };
        let target = Reference::parse(&self.target).map_err(invalid)?;
        if target.has_digest() {
            return Err("refusing to create a tag with a digest reference".into());
        }
        let query = Query::new().set("repo", target.canonical_name()).set("tag", target.tag_or_digest());
        Ok(session.client()?.done(Call::post(path(&self.source, "tag")).query(query)).await?)
    }
}
