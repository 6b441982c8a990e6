//! `context use`: choose a context for the commands that follow.

use crate::command::Verb;
use crate::error::Failure;
use crate::output::{put_line, warn};
use crate::session::Session;

/// Choose a context.
#[derive(Debug, clap::Args)]
pub(crate) struct Use {
    context: String,
}

impl Verb for Use {
    const USAGE: &'static str = "CONTEXT";
    const ABOUT: &'static str = "Set the current docker context";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        super::find(session, &self.context)?;
        let mut config = session.config_to_change();
        let current = if self.context == super::DEFAULT { String::new() } else { self.context.clone() };
        if config.document.current_context != current {
            config.document.current_context = current;
            config.save()?;
        }
        put_line(&self.context)?;
        warn(&format!("Current context is now \"{}\"", self.context));
        if self.context != super::DEFAULT && crate::environment("DOCKER_HOST").is_some() {
            warn(
                "Warning: DOCKER_HOST environment variable overrides the active context. To use a context, either set the global --context flag, or unset DOCKER_HOST environment variable.",
            );
        }
        Ok(())
    }
}
