//! Endpoints: a container's place in one network, planned and shown.

use std::collections::BTreeSet;
use std::net::IpAddr;

use dhow_engine_api::endpoint::{EndpointIpamConfig, EndpointSettings};
use ipnet::IpNet;

use super::definition::{Definition, Driver};
use super::error::NetworkError;
use super::link::Mac;
use super::record::EndpointRecord;
use super::sandbox::SandboxRequest;
use crate::identifier;

/// Chooses what a container has in `network`; `taken` are the addresses of others there.
pub(super) fn plan(
    network: &Definition,
    settings: &EndpointSettings,
    request: &SandboxRequest,
    index: usize,
    taken: &BTreeSet<IpAddr>,
) -> Result<EndpointRecord, NetworkError> {
    let wanted = settings.ipam_config.clone().unwrap_or_default();
    let ipv4 = address(network, &wanted.ipv4_address, taken, false)?;
    let ipv6 = address(network, &wanted.ipv6_address, taken, true)?;
    let gateway = |v6: bool| {
        let pool = network.pools.iter().find(|pool| pool.subnet.addr().is_ipv6() == v6)?;
        (!network.internal).then(|| pool.subnet().gateway)
    };
    let asked =
        if settings.mac_address.is_empty() && index == 0 { &request.mac } else { &settings.mac_address };
    Ok(EndpointRecord {
        network: network.id.clone(),
        network_name: network.name.clone(),
        id: super::random_hex(32),
        interface: format!("eth{index}"),
        host_interface: String::new(),
        gateway4: ipv4.and_then(|_| gateway(false)),
        gateway6: ipv6.and_then(|_| gateway(true)),
        mac: mac(network, asked, ipv4)?,
        aliases: settings.aliases.clone().unwrap_or_default(),
        names: names(network, settings, request),
        links: settings.links.clone().unwrap_or_default(),
        driver_opts: settings.driver_opts.clone().unwrap_or_default(),
        priority: settings.gw_priority,
        ipv4,
        ipv6,
    })
}

fn address(
    network: &Definition,
    wanted: &str,
    taken: &BTreeSet<IpAddr>,
    v6: bool,
) -> Result<Option<IpNet>, NetworkError> {
    let Some(pool) = network.pools.iter().find(|pool| pool.subnet.addr().is_ipv6() == v6) else {
        if wanted.is_empty() { return Ok(None) } else { return Err(NetworkError::NoStaticAddress) }
    };
    let subnet = pool.subnet();
    if wanted.is_empty() {
        let mut taken = taken.clone();
        taken.extend(pool.reserved.values());
        return Ok(Some(subnet.with_prefix(subnet.allocate(&taken)?)));
    }
    if network.is_default_bridge() {
        return Err(NetworkError::StaticOnDefault);
    }
    let wanted: IpAddr = wanted.parse().map_err(|_| NetworkError::Address(wanted.to_owned()))?;
    Ok(Some(subnet.with_prefix(subnet.claim(wanted, taken)?)))
}

/// The address asked for, or one after the IPv4 address; none where there is no link.
fn mac(network: &Definition, asked: &str, ipv4: Option<IpNet>) -> Result<String, NetworkError> {
    if network.driver != Driver::Bridge {
        return Ok(String::new());
    }
    if !asked.is_empty() {
        return Mac::parse(asked)
            .map(|mac| mac.to_string())
            .ok_or_else(|| NetworkError::Mac(asked.to_owned()));
    }
    Ok(match ipv4.map(|net| net.addr()) {
        Some(IpAddr::V4(address)) => Mac::of(address).to_string(),
        _ => {
            let mut bytes = [0x02, 0x42, 0, 0, 0, 0];
            bytes[2..].copy_from_slice(&super::random_bytes::<4>());
            Mac(bytes).to_string()
        }
    })
}

/// Every name that resolves to a container in a network: none in the default bridge.
fn names(network: &Definition, settings: &EndpointSettings, request: &SandboxRequest) -> Vec<String> {
    if network.predefined {
        return Vec::new();
    }
    let mut names = vec![request.name.clone()];
    names.extend(settings.aliases.iter().flatten().cloned());
    names.push(identifier::short(&request.container).to_owned());
    names.push(request.hostname.clone());
    let mut seen = BTreeSet::new();
    names.retain(|name| !name.is_empty() && seen.insert(name.clone()));
    names
}

/// An endpoint as `inspect` shows it.
pub(super) fn settings(endpoint: &EndpointRecord) -> EndpointSettings {
    let text = |address: Option<IpAddr>| address.map(|address| address.to_string()).unwrap_or_default();
    let length = |net: Option<IpNet>| net.map_or(0, |net| i64::from(net.prefix_len()));
    let list = |list: &Vec<String>| Some(list.clone()).filter(|list| !list.is_empty());
    EndpointSettings {
        ipam_config: None::<EndpointIpamConfig>,
        links: list(&endpoint.links),
        aliases: list(&endpoint.aliases),
        mac_address: endpoint.mac.clone(),
        driver_opts: Some(endpoint.driver_opts.clone()).filter(|options| !options.is_empty()),
        gw_priority: endpoint.priority,
        network_id: endpoint.network.clone(),
        endpoint_id: endpoint.id.clone(),
        gateway: text(endpoint.gateway4),
        ip_address: text(endpoint.ipv4.map(|net| net.addr())),
        ip_prefix_len: length(endpoint.ipv4),
        ipv6_gateway: text(endpoint.gateway6),
        global_ipv6_address: text(endpoint.ipv6.map(|net| net.addr())),
        global_ipv6_prefix_len: length(endpoint.ipv6),
        dns_names: list(&endpoint.names),
    }
}
