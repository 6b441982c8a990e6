//! `context create`: name a daemon.

use crate::command::Verb;
use crate::config::Context;
use crate::error::Failure;
use crate::output::{put_line, warn};
use crate::session::Session;

/// Name a daemon.
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// What is to be said of it
    #[arg(long, value_name = "string", default_value = "")]
    description: String,
    /// Where the daemon is (host=ADDRESS)
    #[arg(long, value_name = "stringToString", value_parser = super::endpoint)]
    docker: Option<String>,
    /// Make it like this context
    #[arg(long, value_name = "string")]
    from: Option<String>,
    context: String,
}

impl Verb for Create {
    const USAGE: &'static str = "[OPTIONS] CONTEXT";
    const ABOUT: &'static str = "Create a context";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        super::checked(&self.context)?;
        if super::find(session, &self.context).is_ok() {
            return Err(format!("context \"{}\" already exists", self.context).into());
        }
        let host = match (self.docker, self.from) {
            (Some(host), _) => host,
            (None, from) => {
                let from = from.unwrap_or_else(|| session.context_name());
                super::find(session, &from)?.endpoints.docker.host
            }
        };
        Context::new(&self.context, &self.description, &host).save(session.config().directory())?;
        put_line(&self.context)?;
        warn(&format!("Successfully created context \"{}\"", self.context));
        Ok(())
    }
}
