//! `context ls`: the contexts.

use crate::command::Verb;
use crate::config::Context;
use crate::error::Failure;
use crate::output::format::{Columns, Format, Row, is_default};
use crate::output::{natural, put};
use crate::session::Session;

/// List contexts.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Format the output: 'table', 'table TEMPLATE', 'json', or a Go template
    #[arg(long, value_name = "string", default_value = "")]
    format: String,
    /// Show only names
    #[arg(short, long)]
    quiet: bool,
}

static COLUMNS: Columns = Columns {
    type_name: "*formatter.clientContextContext",
    headers: &[
        ("Name", "NAME"),
        ("Description", "DESCRIPTION"),
        ("DockerEndpoint", "DOCKER ENDPOINT"),
        ("Error", "ERROR"),
    ],
};

impl Verb for List {
    const USAGE: &'static str = "[OPTIONS]";
    const ABOUT: &'static str = "List contexts";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let table =
            "table {{.Name}}{{if .Current}} *{{end}}\t{{.Description}}\t{{.DockerEndpoint}}\t{{.Error}}";
        let source = match (self.quiet, is_default(&self.format)) {
            (true, _) => "{{.Name}}",
            (false, true) => table,
            (false, false) => &self.format,
        };
        let format = Format::parse(source)?;
        let current = session.context_name();
        let mut contexts = Context::all(session.config().directory());
        contexts.push(super::default_context(session)?);
        contexts.sort_by(|a, b| natural::order(&a.name, &b.name));
        let row = |context: Context| {
            Row::new(&COLUMNS)
                .set("Current", context.name == current)
                .set("Name", context.name)
                .set("Description", context.metadata.description)
                .set("DockerEndpoint", context.endpoints.docker.host)
                .set("Error", "")
        };
        put(&format.render(&COLUMNS, &contexts.into_iter().map(row).collect::<Vec<_>>())?)
    }
}
