//! `context update`: change a context.

use crate::command::Verb;
use crate::error::Failure;
use crate::output::{put_line, warn};
use crate::session::Session;

/// Change a context.
#[derive(Debug, clap::Args)]
pub(crate) struct Update {
    /// What is to be said of it
    #[arg(long, value_name = "string")]
    description: Option<String>,
    /// Where the daemon is (host=ADDRESS)
    #[arg(long, value_name = "stringToString", value_parser = super::endpoint)]
    docker: Option<String>,
    context: String,
}

impl Verb for Update {
    const USAGE: &'static str = "[OPTIONS] CONTEXT";
    const ABOUT: &'static str = "Update a context";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        super::checked(&self.context)?;
        let mut context = super::find(session, &self.context)?;
        if let Some(description) = self.description {
            context.metadata.description = description;
        }
        if let Some(host) = self.docker {
            context.endpoints.docker.host = host;
        }
        context.save(session.config().directory())?;
        put_line(&self.context)?;
        warn(&format!("Successfully updated context \"{}\"", self.context));
        Ok(())
    }
}
