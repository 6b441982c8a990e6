//! `port`: where ports of a container are published.

use dhow_engine_api::container::ContainerInspect;

use crate::client::Call;
use crate::command::Verb;
use crate::error::Failure;
use crate::output::put;
use crate::session::Session;

use super::path;

/// Show where ports of a container are published.
#[derive(Debug, clap::Args)]
pub(crate) struct Port {
    container: String,
    /// A port of the container, with its protocol.
    private_port: Option<String>,
}

impl Verb for Port {
    const USAGE: &'static str = "CONTAINER [PRIVATE_PORT[/PROTO]]";
    const ABOUT: &'static str = "List port mappings or a specific mapping for the container";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let found: ContainerInspect =
            session.client()?.fetch(Call::get(path(&self.container, "json"))).await?;
        let ports = found.network_settings.ports.unwrap_or_default();
        let join = |address: &str, port: &str| {
            if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
        };
        let mut lines = Vec::new();
        if let Some(wanted) = &self.private_port {
            let (port, protocol) = wanted.split_once('/').unwrap_or((wanted, "tcp"));
            if port.parse::<u16>().is_err() {
                return Err(format!("invalid port '{port}': invalid syntax").into());
            }
            let key = format!("{port}/{}", if protocol.is_empty() { "tcp" } else { protocol });
            let Some(bindings) = ports.get(&key).and_then(Option::as_ref) else {
                return Err(format!("no public port '{key}' published for {}", self.container).into());
            };
            lines.extend(bindings.iter().map(|one| join(&one.host_ip, &one.host_port)));
        } else {
            for (port, bindings) in &ports {
                for one in bindings.iter().flatten() {
                    lines.push(format!("{port} -> {}", join(&one.host_ip, &one.host_port)));
                }
            }
        }
        lines.sort_by_key(|line| {
            let port = line.split('/').next().and_then(|port| port.parse::<u32>().ok());
            (port, line.clone())
        });
        put(&lines.iter().map(|line| format!("{line}\n")).collect::<String>())
    }
}
