//! `volume ls`: the volumes.

use dhow_engine_api::volume::{Volume, VolumeList};

use crate::client::query::Filters;
use crate::client::{Call, Query};
use crate::command::Verb;
use crate::error::Failure;
use crate::output::format::{Columns, Format, Row, is_default};
use crate::output::{natural, put, units, warn};
use crate::session::Session;

/// List volumes.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Show only cluster volumes (not supported)
    #[arg(long)]
    cluster: bool,
    /// Show only what meets the conditions (key=value)
    #[arg(short, long, value_name = "filter", value_parser = crate::option::filter)]
    filter: Vec<String>,
    /// Format the output: 'table', 'table TEMPLATE', 'json', or a Go template
    #[arg(long, value_name = "string", default_value = "")]
    format: String,
    /// Show only names
    #[arg(short, long)]
    quiet: bool,
}

pub(crate) static COLUMNS: Columns = Columns {
    type_name: "*formatter.volumeContext",
    headers: &[
        ("Name", "VOLUME NAME"),
        ("Driver", "DRIVER"),
        ("Scope", "SCOPE"),
        ("Availability", "AVAILABILITY"),
        ("Mountpoint", "MOUNTPOINT"),
        ("Labels", "LABELS"),
        ("Links", "LINKS"),
        ("Size", "SIZE"),
        ("Group", "GROUP"),
        ("Status", "STATUS"),
    ],
};

impl Verb for List {
    const USAGE: &'static str = "[OPTIONS]";
    const ABOUT: &'static str = "List volumes";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        if self.cluster {
            return Err("--cluster is not supported: there are no cluster volumes without swarm".into());
        }
        let configured = &session.config().document.volumes_format;
        let source = match (self.format.as_str(), self.quiet) {
            ("", false) if !configured.is_empty() => configured.as_str(),
            ("raw", true) => "name: {{.Name}}",
            ("raw", false) => "name: {{.Name}}\ndriver: {{.Driver}}\n",
            (format, true) if is_default(format) => "{{.Name}}",
            (format, false) if is_default(format) => "table {{.Driver}}\t{{.Name}}",
            (format, _) => format,
        };
        let format = Format::parse(source)?;
        let query = Query::new().filters(&Filters::parse(&self.filter)?);
        let list: VolumeList = session.client()?.fetch(Call::get("/volumes").query(query)).await?;
        let mut volumes = list.volumes.unwrap_or_default();
        volumes.sort_by(|a, b| natural::order(&a.name, &b.name));
        let rows: Vec<Row> = volumes.into_iter().map(row).collect();
        put(&format.render(&COLUMNS, &rows)?)?;
        list.warnings.iter().flatten().for_each(|warning| warn(&format!("WARNING: {warning}")));
        Ok(())
    }
}

/// The row of a volume.
pub(crate) fn row(volume: Volume) -> Row {
    let (links, size) = match &volume.usage_data {
        Some(usage) => (usage.ref_count.to_string(), units::human_size(usage.size as f64)),
        None => ("N/A".into(), "N/A".into()),
    };
    Row::new(&COLUMNS)
        .set("Name", volume.name)
        .set("Driver", volume.driver)
        .set("Scope", volume.scope)
        .set("Availability", "N/A")
        .set("Mountpoint", volume.mountpoint)
        .set("Links", links)
        .set("Size", size)
        .set("Group", "N/A")
        .set("Status", "N/A")
        .labels(volume.labels.unwrap_or_default())
}
