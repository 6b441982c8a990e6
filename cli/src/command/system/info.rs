//! `info`: the daemon's state and settings.

use dhow_engine_api::system::Info;
use serde_json::{Value, json};

use crate::client::Call;
use crate::command::Verb;
use crate::config::DEFAULT_REGISTRY;
use crate::error::Failure;
use crate::output::template::{Missing, Template};
use crate::output::{format, put, units, warn};
use crate::session::Session;

/// Show the daemon's state and settings.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowInfo {
    /// Format the output: 'json', or a Go template
    #[arg(short, long, value_name = "string", default_value = "")]
    format: String,
}

impl Verb for ShowInfo {
    const USAGE: &'static str = "[OPTIONS]";
    const ABOUT: &'static str = "Display system-wide information";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let call = Call::get("/info");
        let context = session.context_name();
        let client = json!({
            "Debug": false,
            "Version": env!("CARGO_PKG_VERSION"),
            "GitCommit": super::build(),
            "Os": std::env::consts::OS,
            "Context": context,
            "Plugins": [],
            "Warnings": null,
        });
        if self.format.is_empty() {
            let mut text = format!(
                "Client: Dhow\n Version:    {}\n Context:    {context}\n Debug Mode: false\n\nServer:\n",
                env!("CARGO_PKG_VERSION")
            );
            let info: Result<Info, Failure> = async { Ok(session.client()?.fetch(call).await?) }.await;
            if let Ok(info) = &info {
                text.push_str(&server(info, &session.config().credentials(DEFAULT_REGISTRY).username));
                text.push('\n');
            }
            put(&text)?;
            let info = info?;
            info.warnings.iter().flatten().for_each(|warning| warn(warning));
            return Ok(());
        }
        if self.format != "json" {
            Template::parse(&self.format).map_err(|error| Failure::from(error).code(64))?;
        }
        let only_client = json!({ "ClientInfo": client });
        if let Ok(text) = format::document(&self.format, &only_client, Missing::Strict)
            && self.format.contains("ClientInfo")
        {
            return put(&(text + "\n"));
        }
        let mut info: Value = session.client()?.fetch(call).await?;
        info["ClientInfo"] = client;
        put(&(format::document(&self.format, &info, Missing::Typed)? + "\n"))
    }
}

/// Stands for the value of a line that has none.
const HEADING: &str = "\0";

/// The lines about the daemon.
fn server(info: &Info, user: &str) -> String {
    let mut text = String::new();
    let mut line = |label: &str, value: &str| {
        text.push_str(label);
        // A heading ends with no space, a label without a value does.
        if value != HEADING {
            text.push(' ');
            text.push_str(value);
        }
        text.push('\n');
    };
    let joined = |list: &Option<Vec<String>>| list.as_deref().unwrap_or_default().join(" ");
    line(" Containers:", &info.containers.to_string());
    line("  Running:", &info.containers_running.to_string());
    line("  Paused:", &info.containers_paused.to_string());
    line("  Stopped:", &info.containers_stopped.to_string());
    line(" Images:", &info.images.to_string());
    let given = |line: &mut dyn FnMut(&str, &str), label: &str, value: &str| {
        if !value.is_empty() {
            line(label, value);
        }
    };
    given(&mut line, " Server Version:", &info.server_version);
    given(&mut line, " Storage Driver:", &info.driver);
    for [key, value] in info.driver_status.iter().flatten() {
        line(&format!("  {key}:"), value);
    }
    given(&mut line, " Logging Driver:", &info.logging_driver);
    given(&mut line, " Cgroup Driver:", &info.cgroup_driver);
    given(&mut line, " Cgroup Version:", &info.cgroup_version);
    line(" Plugins:", HEADING);
    line("  Volume:", &joined(&info.plugins.volume));
    line("  Network:", &joined(&info.plugins.network));
    given(&mut line, "  Authorization:", &joined(&info.plugins.authorization));
    line("  Log:", &joined(&info.plugins.log));
    if let Some(directories) = info.cdi_spec_dirs.as_ref().filter(|directories| !directories.is_empty()) {
        line(" CDI spec directories:", HEADING);
        directories.iter().for_each(|directory| line(&format!("  {directory}"), HEADING));
    }
    line(" Swarm:", &info.swarm.local_node_state);
    if !info.runtimes.is_empty() {
        line(" Runtimes:", &info.runtimes.keys().cloned().collect::<Vec<_>>().join(" "));
        line(" Default Runtime:", &info.default_runtime);
    }
    line(" Init Binary:", &info.init_binary);
    line(" containerd version:", &info.containerd_commit.id);
    line(" runc version:", &info.runc_commit.id);
    line(" init version:", &info.init_commit.id);
    security(info, &mut line);
    given(&mut line, " Kernel Version:", &info.kernel_version);
    given(&mut line, " Operating System:", &info.operating_system);
    given(&mut line, " OSType:", &info.os_type);
    given(&mut line, " Architecture:", &info.architecture);
    line(" CPUs:", &info.n_cpu.to_string());
    line(" Total Memory:", &units::bytes_size(info.mem_total as f64));
    given(&mut line, " Name:", &info.name);
    given(&mut line, " ID:", &info.id);
    line(" Docker Root Dir:", &info.docker_root_dir);
    line(" Debug Mode:", &info.debug.to_string());
    if info.debug {
        line("  File Descriptors:", &info.n_fd.to_string());
        line("  Goroutines:", &info.n_goroutines.to_string());
        line("  System Time:", &info.system_time);
        line("  EventsListeners:", &info.n_events_listener.to_string());
    }
    given(&mut line, " HTTP Proxy:", &info.http_proxy);
    given(&mut line, " HTTPS Proxy:", &info.https_proxy);
    given(&mut line, " No Proxy:", &info.no_proxy);
    given(&mut line, " Username:", user);
    if let Some(labels) = info.labels.as_ref().filter(|labels| !labels.is_empty()) {
        line(" Labels:", HEADING);
        labels.iter().for_each(|label| line(&format!("  {label}"), HEADING));
    }
    line(" Experimental:", &info.experimental_build.to_string());
    registries(info, &mut line);
    line(" Live Restore Enabled:", &info.live_restore_enabled.to_string());
    given(&mut line, " Product License:", &info.product_license);
    if let Some(pools) = info.default_address_pools.as_ref().filter(|pools| !pools.is_empty()) {
        line(" Default Address Pools:", HEADING);
        pools.iter().for_each(|pool| line(&format!("   Base: {}, Size: {}", pool.base, pool.size), HEADING));
    }
    if let Some(firewall) = &info.firewall_backend {
        line(" Firewall Backend:", &firewall.driver);
        for [key, value] in firewall.info.iter().flatten() {
            line(&format!("  {key}:"), value);
        }
    }
    text
}

fn security(info: &Info, line: &mut dyn FnMut(&str, &str)) {
    let options = info.security_options.as_deref().unwrap_or_default();
    if options.is_empty() {
        return;
    }
    line(" Security Options:", HEADING);
    for option in options {
        for (key, value) in option.split(',').filter_map(|pair| pair.split_once('=')) {
            match key {
                "name" => line(&format!("  {value}"), HEADING),
                "profile" => line("   Profile:", value),
                _ => {}
            }
        }
    }
}

fn registries(info: &Info, line: &mut dyn FnMut(&str, &str)) {
    let Some(registries) = &info.registry_config else { return };
    let networks = registries.insecure_registry_cidrs.as_deref().unwrap_or_default();
    if !networks.is_empty() || !registries.index_configs.is_empty() {
        line(" Insecure Registries:", HEADING);
        for index in registries.index_configs.values().filter(|index| !index.secure) {
            line(&format!("  {}", index.name), HEADING);
        }
        networks.iter().for_each(|network| line(&format!("  {network}"), HEADING));
    }
    let mirrors = registries.mirrors.as_deref().unwrap_or_default();
    if !mirrors.is_empty() {
        line(" Registry Mirrors:", HEADING);
        mirrors.iter().for_each(|mirror| line(&format!("  {mirror}"), HEADING));
    }
}
