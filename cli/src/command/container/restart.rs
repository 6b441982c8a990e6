//! `restart`: stop containers and start them again.

use crate::command::Verb;
use crate::error::Failure;
use crate::option::number;
use crate::session::Session;

/// Restart containers.
#[derive(Debug, clap::Args)]
pub(crate) struct Restart {
    /// Signal that asks the container to stop
    #[arg(short, long, value_name = "string", default_value = "")]
    signal: String,
    /// Seconds to wait before it is killed
    #[arg(short, long, alias = "time", value_name = "int", value_parser = number::integer)]
    timeout: Option<i64>,
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Verb for Restart {
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const ABOUT: &'static str = "Restart one or more containers";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        super::stop::signalled(session, "restart", &self.containers, &self.signal, self.timeout).await
    }
}
