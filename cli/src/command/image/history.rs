//! `history`: how an image was made.

use dhow_engine_api::image::HistoryItem;

use crate::client::{ApiVersion, Call, Query};
use crate::command::{Verb, boolean};
use crate::error::Failure;
use crate::output::format::{Columns, Format, Row, is_default};
use crate::output::{ellipsis, put, short_id, time, units};
use crate::session::Session;

use super::path;

/// Show how an image was made.
#[derive(Debug, clap::Args)]
pub(crate) struct History {
    /// Format the output: 'table', 'table TEMPLATE', 'json', or a Go template
    #[arg(long, value_name = "string", default_value = "")]
    format: String,
    /// Show sizes and times for people (default true)
    #[arg(short = 'H', long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", value_parser = boolean)]
    human: bool,
    /// Show whole IDs and commands
    #[arg(long)]
    no_trunc: bool,
    /// Show this platform of it ("os[/arch[/variant]]")
    #[arg(long, value_name = "string", default_value = "")]
    platform: String,
    /// Show only IDs
    #[arg(short, long)]
    quiet: bool,
    image: String,
}

const TABLE: &str = "table {{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";
const MACHINE_TABLE: &str = "table {{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";
/// Times before 2000 are not shown: builds use them to hide when they ran.
const EPOCH: i64 = 946_684_800;

static COLUMNS: Columns = Columns {
    type_name: "*image.historyContext",
    headers: &[
        ("ID", "IMAGE"),
        ("CreatedSince", "CREATED"),
        ("CreatedAt", "CREATED AT"),
        ("CreatedBy", "CREATED BY"),
        ("Size", "SIZE"),
        ("Comment", "COMMENT"),
    ],
};

impl Verb for History {
    const USAGE: &'static str = "[OPTIONS] IMAGE";
    const ABOUT: &'static str = "Show the history of an image";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.client()?;
        let mut query = Query::new();
        if !self.platform.is_empty() {
            client.require("platform", ApiVersion(1, 48)).await?;
            query = query.set("platform", crate::option::platform_json(&self.platform));
        }
        let source = match (self.format.as_str(), self.quiet, self.human) {
            (format, true, _) if is_default(format) => "{{.ID}}",
            (format, false, true) if is_default(format) => TABLE,
            (format, false, false) if is_default(format) => MACHINE_TABLE,
            (format, ..) => format,
        };
        let format = Format::parse(source)?;
        let items: Vec<HistoryItem> =
            client.fetch(Call::get(path(&self.image, "history")).query(query)).await?;
        let rows: Vec<Row> = items.iter().map(|item| self.row(item)).collect();
        put(&format.render(&COLUMNS, &rows)?)
    }
}

impl History {
    fn row(&self, item: &HistoryItem) -> Row {
        let command = item.created_by.replace('\t', " ");
        let created = time::rfc3339(item.created);
        let since = match (self.human, item.created <= EPOCH) {
            (false, _) => created.clone(),
            (true, true) => "N/A".into(),
            (true, false) => time::ago(item.created),
        };
        let size =
            if self.human { units::human_size_with(item.size as f64, 3) } else { item.size.to_string() };
        Row::new(&COLUMNS)
            .set("ID", if self.no_trunc { item.id.clone() } else { short_id(&item.id) })
            .set("CreatedSince", since)
            .set("CreatedAt", created)
            .set("CreatedBy", if self.no_trunc { command } else { ellipsis(&command, 45) })
            .set("Size", size)
            .set("Comment", item.comment.clone())
    }
}
