//! `ps`: the containers.

use dhow_engine_api::container::{ContainerSummary, Port};

use crate::client::query::Filters;
use crate::client::{Call, Query};
use crate::command::Verb;
use crate::error::Failure;
use crate::option::number;
use crate::output::format::{Columns, Format, Row, is_default};
use crate::output::{ellipsis, put, short_id, time, units};
use crate::session::Session;

/// List containers.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    /// Show only what meets the conditions (key=value)
    #[arg(short, long, value_name = "filter", value_parser = crate::option::filter)]
    filter: Vec<String>,
    /// Format the output: 'table', 'table TEMPLATE', 'json', or a Go template
    #[arg(long, value_name = "string", default_value = "")]
    format: String,
    /// Show the n last created containers, whatever their state (default -1)
    #[arg(short = 'n', long, value_name = "int", value_parser = number::integer, default_value = "-1")]
    last: i64,
    /// Show the last created container, whatever its state
    #[arg(short, long)]
    latest: bool,
    /// Show whole IDs and commands
    #[arg(long)]
    no_trunc: bool,
    /// Show only IDs
    #[arg(short, long)]
    quiet: bool,
    /// Show the sizes of files
    #[arg(short, long)]
    size: bool,
}

/// The default table.
const TABLE: &str =
    "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";

pub(crate) static COLUMNS: Columns = Columns {
    type_name: "*formatter.ContainerContext",
    headers: &[
        ("ID", "CONTAINER ID"),
        ("Names", "NAMES"),
        ("Image", "IMAGE"),
        ("Command", "COMMAND"),
        ("CreatedAt", "CREATED AT"),
        ("RunningFor", "CREATED"),
        ("Ports", "PORTS"),
        ("State", "STATE"),
        ("Status", "STATUS"),
        ("Size", "SIZE"),
        ("Labels", "LABELS"),
        ("Mounts", "MOUNTS"),
        ("LocalVolumes", "LOCAL VOLUMES"),
        ("Networks", "NETWORKS"),
        ("Platform", "PLATFORM"),
    ],
};

impl Verb for List {
    const USAGE: &'static str = "[OPTIONS]";
    const ABOUT: &'static str = "List containers";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let configured = &session.config().document.ps_format;
        let source = match self.format.as_str() {
            "" if !configured.is_empty() && !self.quiet => configured.clone(),
            format if is_default(format) || self.quiet && format != "raw" => self.default_format(),
            "raw" => self.raw_format(),
            format => format.to_owned(),
        };
        let format = Format::parse(&source)?;
        let size = self.size || format.mentions("Size");
        let limit = if self.latest && self.last == -1 { 1 } else { self.last };
        let limit = if limit > 0 { limit.to_string() } else { String::new() };
        let query = Query::new()
            .flag("all", self.all)
            .text("limit", &limit)
            .flag("size", size)
            .filters(&Filters::parse(&self.filter)?);
        let call = Call::get("/containers/json").query(query);
        let containers: Vec<ContainerSummary> = session.client()?.fetch(call).await?;
        let rows: Vec<Row> = containers.iter().map(|container| row(container, !self.no_trunc)).collect();
        put(&format.render(&COLUMNS, &rows)?)
    }
}

impl List {
    fn default_format(&self) -> String {
        match (self.quiet, self.size) {
            (true, _) => "{{.ID}}".into(),
            (false, true) => format!("{TABLE}\t{{{{.Size}}}}"),
            (false, false) => TABLE.into(),
        }
    }

    fn raw_format(&self) -> String {
        if self.quiet {
            return "container_id: {{.ID}}".into();
        }
        let mut format = "container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\n\
            created_at: {{.CreatedAt}}\nstate: {{- pad .State 1 0}}\nstatus: {{- pad .Status 1 0}}\n\
            names: {{.Names}}\nlabels: {{- pad .Labels 1 0}}\nports: {{- pad .Ports 1 0}}\n"
            .to_owned();
        if self.size {
            format.push_str("size: {{.Size}}\n");
        }
        format
    }
}

/// The row of a container.
pub(crate) fn row(container: &ContainerSummary, truncate: bool) -> Row {
    let command = if truncate { ellipsis(&container.command, 20) } else { container.command.clone() };
    let mounts: Vec<String> = container
        .mounts
        .iter()
        .map(|mount| if mount.name.is_empty() { &mount.source } else { &mount.name })
        .map(|name| if truncate { ellipsis(name, 15) } else { name.clone() })
        .collect();
    let local = container.mounts.iter().filter(|mount| mount.driver == "local").count();
    let networks: Vec<&str> = container.network_settings.networks.keys().map(String::as_str).collect();
    Row::new(&COLUMNS)
        .set("ID", if truncate { short_id(&container.id) } else { container.id.clone() })
        .set("Names", names(container, truncate))
        .set("Image", image(container, truncate))
        .set("Command", units::quote(&command))
        .set("CreatedAt", time::go_string(container.created))
        .set("RunningFor", time::ago(container.created))
        .set("Ports", ports(&container.ports))
        .set("State", container.state.clone())
        .set("Status", container.status.clone())
        .set("Size", size(container))
        .set("Mounts", mounts.join(","))
        .set("LocalVolumes", local.to_string())
        .set("Networks", networks.join(","))
        .set("Platform", serde_json::Value::Null)
        .labels(container.labels.clone())
}

fn names(container: &ContainerSummary, truncate: bool) -> String {
    let names = container.names.iter().map(|name| name.trim_start_matches('/'));
    if truncate {
        // The others come from links to it.
        return names.into_iter().find(|name| !name.contains('/')).unwrap_or("").to_owned();
    }
    names.collect::<Vec<_>>().join(",")
}

fn image(container: &ContainerSummary, truncate: bool) -> String {
    let image = &container.image;
    if image.is_empty() {
        return "<no image>".into();
    }
    if !truncate {
        return image.clone();
    }
    let short = short_id(&container.image_id);
    if short == short_id(image) {
        return short;
    }
    match image.split_once('@') {
        Some((name, _)) => name.to_owned(),
        None => image.clone(),
    }
}

fn size(container: &ContainerSummary) -> String {
    let human = |size: i64| units::human_size_with(size as f64, 3);
    let written = human(container.size_rw);
    if container.size_root_fs > 0 {
        return format!("{written} (virtual {})", human(container.size_root_fs));
    }
    written
}

/// The ports in one line, neighbours as ranges.
fn ports(ports: &[Port]) -> String {
    struct Group {
        key: (String, String),
        first: u16,
        last: u16,
    }
    let join = |address: &str, port: &str| {
        if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
    };
    let show = |group: &Group| {
        let (address, kind) = &group.key;
        let range = if group.first == group.last {
            group.first.to_string()
        } else {
            format!("{}-{}", group.first, group.last)
        };
        if address.is_empty() {
            format!("{range}/{kind}")
        } else {
            format!("{}->{range}/{kind}", join(address, &range))
        }
    };
    let mut sorted: Vec<&Port> = ports.iter().collect();
    sorted.sort_by_key(|port| {
        (port.private_port, port.ip.parse::<std::net::IpAddr>().ok(), port.public_port, port.kind.clone())
    });
    let mut done = Vec::new();
    let mut groups: Vec<Group> = Vec::new();
    let mut mappings = Vec::new();
    for port in sorted {
        let number = port.private_port;
        if !port.ip.is_empty() && port.public_port != number {
            let outer = join(&port.ip, &port.public_port.to_string());
            mappings.push(format!("{outer}->{number}/{}", port.kind));
            continue;
        }
        let key = (port.ip.clone(), port.kind.clone());
        match groups.iter_mut().find(|group| group.key == key) {
            Some(group) if group.last.checked_add(1) == Some(number) => group.last = number,
            Some(group) => {
                done.push(show(group));
                (group.first, group.last) = (number, number);
            }
            None => groups.push(Group { key, first: number, last: number }),
        }
    }
    done.extend(groups.iter().map(show));
    done.extend(mappings);
    done.join(", ")
}

#[cfg(test)]
mod tests {
    use super::{Port, ports};

    fn port(ip: &str, private_port: u16, public_port: u16, kind: &str) -> Port {
        Port { ip: ip.into(), private_port, public_port, kind: kind.into() }
    }

    #[test]
    fn ports_are_grouped() {
        for (given, expected) in [
            (vec![port("", 9988, 0, "tcp")], "9988/tcp"),
            (vec![port("", 9988, 0, "tcp"), port("", 9989, 0, "tcp")], "9988-9989/tcp"),
            (vec![port("4.3.2.1", 9988, 8899, "tcp")], "4.3.2.1:8899->9988/tcp"),
            (vec![port("4.3.2.1", 9988, 9988, "tcp")], "4.3.2.1:9988->9988/tcp"),
            (
                vec![port("::", 80, 80, "tcp"), port("0.0.0.0", 80, 80, "tcp")],
                "0.0.0.0:80->80/tcp, [::]:80->80/tcp",
            ),
            (
                vec![
                    port("1.2.3.4", 9988, 9988, "udp"),
                    port("1.2.3.4", 9989, 9989, "udp"),
                    port("", 3322, 0, "tcp"),
                ],
                "3322/tcp, 1.2.3.4:9988-9989->9988-9989/udp",
            ),
            (vec![port("", 80, 0, "tcp"), port("", 82, 0, "tcp")], "80/tcp, 82/tcp"),
        ] {
            assert_eq!(ports(&given), expected);
        }
    }
}
