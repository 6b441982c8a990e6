//! `checkpoint ls`: the checkpoints of a container.

use serde_json::Value;

use crate::client::{Call, Query};
use crate::command::Verb;
use crate::error::Failure;
use crate::output::format::{Columns, Format, Row};
use crate::output::put;
use crate::session::Session;

use super::path;

/// List the checkpoints of a container.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Where they are kept
    #[arg(long, value_name = "string", default_value = "")]
    checkpoint_dir: String,
    container: String,
}

static COLUMNS: Columns =
    Columns { type_name: "*checkpoint.checkpointContext", headers: &[("Name", "CHECKPOINT NAME")] };

impl Verb for List {
    const USAGE: &'static str = "[OPTIONS] CONTAINER";
    const ABOUT: &'static str = "List checkpoints for a container";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let query = Query::new().text("dir", &self.checkpoint_dir);
        let found: Option<Vec<Value>> =
            session.client()?.fetch(Call::get(path(&self.container)).query(query)).await?;
        let name = |one: &Value| one.get("Name").and_then(Value::as_str).unwrap_or("").to_owned();
        let rows: Vec<Row> =
            found.iter().flatten().map(|one| Row::new(&COLUMNS).set("Name", name(one))).collect();
        put(&Format::parse("table {{.Name}}")?.render(&COLUMNS, &rows)?)
    }
}
