//! `hostname`, `hosts` and `resolv.conf` of a container: written beside its record, mounted over its own.

use std::net::IpAddr;
use std::path::Path;

use dhow_engine_api::container::{ContainerConfig, HostConfig};
use dhow_linux::file::{self, Durability, PathError};

use super::sandbox::Sandbox;
use crate::container::spec::mount::MountPlan;

/// Where Docker's resolver listens in containers of user-defined networks.
pub(crate) const RESOLVER: &str = "127.0.0.11";
const LIMIT: u64 = 1 << 20;
/// What Docker asks when the host has no name server that a container could reach.
const PUBLIC: [&str; 2] = ["8.8.8.8", "8.8.4.4"];
const LOCAL: &str = "127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
";

/// The files' names in the container's folder, and where they are mounted.
const FILES: [(&str, &str); 3] =
    [("resolv.conf", "/etc/resolv.conf"), ("hostname", "/etc/hostname"), ("hosts", "/etc/hosts")];

/// Writes the three files into `folder`.
///
/// # Errors
/// When the folder cannot be written to.
pub(crate) fn write(
    folder: &Path,
    config: &ContainerConfig,
    host: &HostConfig,
    sandbox: &Sandbox,
) -> Result<(), PathError> {
    let shared = sandbox.netns.is_none();
    let system = |path: &str| {
        let bytes = file::read_limited(Path::new(path), LIMIT).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let contents = [
        resolv_conf(&system(resolv_conf_path()), host, sandbox),
        format!("{}\n", full_name(config)),
        hosts(&system("/etc/hosts"), config, host, sandbox, shared),
    ];
    for ((name, _), content) in FILES.iter().zip(contents) {
        file::replace(&folder.join(name), content.as_bytes(), 0o644, Durability::Process)?;
    }
    Ok(())
}

/// The mounts of the files in `folder`, which may be another container's; those that the user mounts himself are
/// left out by the caller's own mounts being there.
pub(crate) fn mounts(folder: &Path, host: &HostConfig, taken: &[MountPlan]) -> Vec<MountPlan> {
    let free =
        FILES.iter().filter(|(_, destination)| !taken.iter().any(|plan| plan.destination == *destination));
    free.map(|(name, destination)| MountPlan::file(destination, folder.join(name), !host.readonly_rootfs))
        .collect()
}

/// systemd-resolved's list of real servers, when `/etc/resolv.conf` only names its local stub.
fn resolv_conf_path() -> &'static str {
    const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";
    let stub = super::bridge::name_servers().iter().all(|server| server.to_string() == "127.0.0.53");
    if stub && Path::new(RESOLVED).exists() { RESOLVED } else { "/etc/resolv.conf" }
}

fn full_name(config: &ContainerConfig) -> String {
    match config.domainname.as_str() {
        "" => config.hostname.clone(),
        domain => format!("{}.{domain}", config.hostname),
    }
}

fn hosts(
    system: &str,
    config: &ContainerConfig,
    host: &HostConfig,
    sandbox: &Sandbox,
    shared: bool,
) -> String {
    let mut text = if shared { system.to_owned() } else { LOCAL.to_owned() };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let gateway =
        sandbox.endpoints.values().map(|endpoint| endpoint.gateway.as_str()).find(|text| !text.is_empty());
    for extra in host.extra_hosts.iter().flatten() {
        let Some((name, address)) = extra.split_once(':').or_else(|| extra.split_once('=')) else { continue };
        let address = address.trim_start_matches('[').trim_end_matches(']');
        let address = if address == "host-gateway" { gateway.unwrap_or("127.0.0.1") } else { address };
        text += &format!("{address}\t{name}\n");
    }
    let full = full_name(config);
    let names = if full == config.hostname { full } else { format!("{full} {}", config.hostname) };
    for endpoint in sandbox.endpoints.values() {
        for address in [&endpoint.ip_address, &endpoint.global_ipv6_address] {
            if !address.is_empty() && !names.is_empty() {
                text += &format!("{address}\t{names}\n");
            }
        }
    }
    text
}

/// What is in a resolv.conf.
#[derive(Debug, Default, PartialEq, Eq)]
struct Resolving {
    servers: Vec<String>,
    search: Vec<String>,
    options: Vec<String>,
}

impl Resolving {
    fn parse(text: &str) -> Self {
        let mut parsed = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace().map(str::to_owned);
            match words.next().as_deref() {
                Some("nameserver") => parsed.servers.extend(words.next()),
                Some("search" | "domain") => parsed.search = words.collect(),
                Some("options") => parsed.options.extend(words),
                _ => {}
            }
        }
        parsed
    }

    fn write(&self) -> String {
        let mut text = String::from("# Written by dhowd for this container.\n");
        for server in &self.servers {
            text += &format!("nameserver {server}\n");
        }
        for (word, list) in [("search", &self.search), ("options", &self.options)] {
            if !list.is_empty() {
                text += &format!("{word} {}\n", list.join(" "));
            }
        }
        text
    }
}

fn resolv_conf(system: &str, host: &HostConfig, sandbox: &Sandbox) -> String {
    let said = |list: &Option<Vec<String>>| list.clone().filter(|list| !list.is_empty());
    let mut resolving = Resolving::parse(system);
    if let Some(servers) = said(&host.dns) {
        resolving.servers = servers;
    } else if sandbox.netns.is_some() {
        resolving.servers.retain(|server| reachable(server));
        if resolving.servers.is_empty() {
            resolving.servers = PUBLIC.map(str::to_owned).to_vec();
        }
    }
    if let Some(search) = said(&host.dns_search) {
        resolving.search = search.into_iter().filter(|domain| domain != ".").collect();
    }
    if let Some(options) = said(&host.dns_options) {
        resolving.options = options;
    }
    if sandbox.resolves() {
        resolving.servers = vec![RESOLVER.to_owned()];
        if !resolving.options.iter().any(|option| option.starts_with("ndots:")) {
            resolving.options.push("ndots:0".to_owned());
        }
    }
    resolving.write()
}

/// Whether a container in a network of its own can ask this server.
fn reachable(server: &str) -> bool {
    let address = server.split('%').next().unwrap_or_default();
    address.parse::<IpAddr>().is_ok_and(|address| !address.is_loopback()) && !server.contains('%')
}

#[cfg(test)]
mod tests {
    use dhow_engine_api::endpoint::EndpointSettings;

    use super::*;

    fn sandbox(names: Option<Vec<String>>) -> Sandbox {
        let endpoint = EndpointSettings {
            ip_address: "172.17.0.2".into(),
            gateway: "172.17.0.1".into(),
            dns_names: names,
            ..Default::default()
        };
        Sandbox {
            netns: Some("/run/netns".into()),
            endpoints: [("net".to_owned(), endpoint)].into(),
            ..Default::default()
        }
    }

    #[test]
    fn hosts_name_the_container_and_what_the_user_adds() {
        let config =
            ContainerConfig { hostname: "box".into(), domainname: "lan".into(), ..Default::default() };
        let extra = ["db:10.0.0.7", "host:host-gateway", "six:[::1]"].map(str::to_owned).to_vec();
        let host = HostConfig { extra_hosts: Some(extra), ..Default::default() };
        let text = hosts("", &config, &host, &sandbox(None), false);
        for line in ["10.0.0.7\tdb", "172.17.0.1\thost", "::1\tsix", "172.17.0.2\tbox.lan box"] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }

    #[test]
    fn servers_on_loopback_are_of_no_use_inside() {
        let system = "nameserver 127.0.0.53\nnameserver 10.1.1.1\nsearch lan\noptions edns0\n";
        let host = HostConfig::default();
        let inside = Resolving::parse(&resolv_conf(system, &host, &sandbox(None)));
        assert_eq!((inside.servers, inside.search), (vec!["10.1.1.1".to_owned()], vec!["lan".to_owned()]));
        let outside = Resolving::parse(&resolv_conf(system, &host, &Sandbox::default()));
        assert_eq!(outside.servers.len(), 2);
        let none = Resolving::parse(&resolv_conf("nameserver ::1", &host, &sandbox(None)));
        assert_eq!(none.servers, PUBLIC);
    }

    #[test]
    fn user_networks_have_a_resolver_of_their_own() {
        let host = HostConfig { dns_search: Some(vec![".".into()]), ..Default::default() };
        let text = resolv_conf("nameserver 10.1.1.1\nsearch lan", &host, &sandbox(Some(vec!["web".into()])));
        let parsed = Resolving::parse(&text);
        assert_eq!((parsed.servers, parsed.search), (vec![RESOLVER.to_owned()], Vec::new()));
        assert_eq!(parsed.options, ["ndots:0"]);
    }
}
