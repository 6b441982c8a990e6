//! `network ls`: the networks.

use dhow_engine_api::network::Network;

use crate::client::query::Filters;
use crate::client::{Call, Query};
use crate::command::Verb;
use crate::error::Failure;
use crate::output::format::{Columns, Format, Row, is_default};
use crate::output::{natural, put, short_id, time};
use crate::session::Session;

/// List networks.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Show only what meets the conditions (key=value)
    #[arg(short, long, value_name = "filter", value_parser = crate::option::filter)]
    filter: Vec<String>,
    /// Format the output: 'table', 'table TEMPLATE', 'json', or a Go template
    #[arg(long, value_name = "string", default_value = "")]
    format: String,
    /// Show whole IDs
    #[arg(long)]
    no_trunc: bool,
    /// Show only IDs
    #[arg(short, long)]
    quiet: bool,
}

static COLUMNS: Columns = Columns {
    type_name: "*network.networkContext",
    headers: &[
        ("ID", "NETWORK ID"),
        ("Name", "NAME"),
        ("Driver", "DRIVER"),
        ("Scope", "SCOPE"),
        ("IPv4", "IPV4"),
        ("IPv6", "IPV6"),
        ("Internal", "INTERNAL"),
        ("Labels", "LABELS"),
        ("CreatedAt", "CREATED AT"),
    ],
};

impl Verb for List {
    const USAGE: &'static str = "[OPTIONS]";
    const ABOUT: &'static str = "List networks";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let configured = &session.config().document.networks_format;
        let source = match (self.format.as_str(), self.quiet) {
            ("", false) if !configured.is_empty() => configured.as_str(),
            ("raw", true) => "network_id: {{.ID}}",
            ("raw", false) => {
                "network_id: {{.ID}}\nname: {{.Name}}\ndriver: {{.Driver}}\nscope: {{.Scope}}\n"
            }
            (format, true) if is_default(format) => "{{.ID}}",
            (format, false) if is_default(format) => "table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
            (format, _) => format,
        };
        let format = Format::parse(source)?;
        let query = Query::new().filters(&Filters::parse(&self.filter)?);
        let mut networks: Vec<Network> = session.client()?.fetch(Call::get("/networks").query(query)).await?;
        networks.sort_by(|a, b| natural::order(&a.name, &b.name));
        let rows: Vec<Row> = networks.into_iter().map(|network| self.row(network)).collect();
        put(&format.render(&COLUMNS, &rows)?)
    }
}

impl List {
    fn row(&self, network: Network) -> Row {
        let created = time::go_string_of(&network.created);
        Row::new(&COLUMNS)
            .set("ID", if self.no_trunc { network.id } else { short_id(&network.id) })
            .set("Name", network.name)
            .set("Driver", network.driver)
            .set("Scope", network.scope)
            .set("IPv4", network.enable_ipv4.to_string())
            .set("IPv6", network.enable_ipv6.to_string())
            .set("Internal", network.internal.to_string())
            .set("CreatedAt", created)
            .labels(network.labels.unwrap_or_default())
    }
}
