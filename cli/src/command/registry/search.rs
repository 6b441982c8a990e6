//! `search`: find images at a registry.

use serde_json::Value;

use crate::client::query::Filters;
use crate::client::{Call, Query};
use crate::command::Verb;
use crate::error::Failure;
use crate::option::number;
use crate::output::format::{Columns, Format, Row, is_default};
use crate::output::{ellipsis, put};
use crate::session::Session;

/// Find images at a registry.
#[derive(Debug, clap::Args)]
pub(crate) struct Search {
    /// Show only what meets the conditions (key=value)
    #[arg(short, long, value_name = "filter", value_parser = crate::option::filter)]
    filter: Vec<String>,
    /// Format the output: 'table', 'table TEMPLATE', 'json', or a Go template
    #[arg(long, value_name = "string", default_value = "")]
    format: String,
    /// Most results
    #[arg(long, value_name = "int", value_parser = number::integer)]
    limit: Option<i64>,
    /// Show whole descriptions
    #[arg(long)]
    no_trunc: bool,
    term: String,
}

static COLUMNS: Columns = Columns {
    type_name: "*registry.searchContext",
    headers: &[
        ("Name", "NAME"),
        ("Description", "DESCRIPTION"),
        ("StarCount", "STARS"),
        ("IsOfficial", "OFFICIAL"),
    ],
};

impl Verb for Search {
    const USAGE: &'static str = "[OPTIONS] TERM";
    const ABOUT: &'static str = "Search Docker Hub for images";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let table = "table {{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}";
        let format = Format::parse(if is_default(&self.format) { table } else { &self.format })?;
        let limit = self.limit.map(|limit| limit.to_string()).unwrap_or_default();
        let query = Query::new()
            .set("term", &self.term)
            .text("limit", &limit)
            .filters(&Filters::parse(&self.filter)?);
        let auth = session.config().registry_header(&self.term);
        let call = Call::get("/images/search").query(query).registry_auth(&auth);
        let results: Vec<Value> = session.client()?.fetch(call).await?;
        let rows: Vec<Row> = results.iter().map(|result| self.row(result)).collect();
        put(&format.render(&COLUMNS, &rows)?)
    }
}

impl Search {
    fn row(&self, result: &Value) -> Row {
        let text = |key: &str| result.get(key).and_then(Value::as_str).unwrap_or("");
        let description = text("description").replace(['\n', '\r'], " ");
        let description = if self.no_trunc { description } else { ellipsis(&description, 45) };
        let official = result.get("is_official").and_then(Value::as_bool) == Some(true);
        let official = match (self.format.as_str(), official) {
            ("json", official) => official.to_string(),
            (_, true) => "[OK]".into(),
            (_, false) => String::new(),
        };
        let stars = result.get("star_count").and_then(Value::as_i64).unwrap_or(0);
        Row::new(&COLUMNS)
            .set("Name", text("name"))
            .set("Description", description)
            .set("StarCount", stars.to_string())
            .set("IsOfficial", official)
    }
}
