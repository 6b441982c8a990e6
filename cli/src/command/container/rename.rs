//! `rename`: give a container another name.

use crate::client::{Call, Query};
use crate::command::Verb;
use crate::error::Failure;
use crate::session::Session;

use super::path;

/// Rename a container.
#[derive(Debug, clap::Args)]
pub(crate) struct Rename {
    container: String,
    new_name: String,
}

impl Verb for Rename {
    const USAGE: &'static str = "CONTAINER NEW_NAME";
    const ABOUT: &'static str = "Rename a container";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let (old, new) = (self.container.trim(), self.new_name.trim());
        if old.is_empty() || new.is_empty() {
            return Err("Error: Neither old nor new names may be empty".into());
        }
        let call = Call::post(path(old, "rename")).query(Query::new().set("name", new));
        let failed = |failure: Failure| {
            failure.reword(|message| format!("{message}\nError: failed to rename container named {old}"))
        };
        session.client()?.done(call).await.map_err(Failure::from).map_err(failed)
    }
}
