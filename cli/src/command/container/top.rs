//! `top`: the processes of a container.

use dhow_engine_api::container::TopResponse;

use crate::client::{Call, Query};
use crate::command::Verb;
use crate::error::Failure;
use crate::output::{put, table};
use crate::session::Session;

use super::path;

/// Show the processes of a container.
#[derive(Debug, clap::Args)]
pub(crate) struct Top {
    /// The container, then options of ps.
    #[arg(required = true, num_args = 1.., trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

impl Verb for Top {
    const USAGE: &'static str = "CONTAINER [ps OPTIONS]";
    const ABOUT: &'static str = "Display the running processes of a container";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let [container, options @ ..] = &self.words[..] else { return Ok(()) };
        let query = Query::new().text("ps_args", &options.join(" "));
        let top: TopResponse =
            session.client()?.fetch(Call::get(path(container, "top")).query(query)).await?;
        let mut text = top.titles.join("\t") + "\n";
        for process in &top.processes {
            text.push_str(&process.join("\t"));
            text.push('\n');
        }
        put(&table::align_with(&text, 20, 3))
    }
}
