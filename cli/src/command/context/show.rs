//! `context show`: the name of the chosen context.

use crate::command::Verb;
use crate::error::Failure;
use crate::output::put_line;
use crate::session::Session;

/// Show the name of the chosen context.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {}

impl Verb for Show {
    const USAGE: &'static str = "";
    const ABOUT: &'static str = "Print the name of the current context";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        put_line(&session.context_name())
    }
}
