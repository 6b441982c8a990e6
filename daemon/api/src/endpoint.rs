//! A container's place in networks: its endpoints and its published ports.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::is_default;

/// Container port (`80/tcp`) to the host addresses that it is published at; `null` when it is only exposed.
pub type PortMap = BTreeMap<String, Option<Vec<PortBinding>>>;

/// One address of the host that leads to a container's port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PortBinding {
    /// Address of the host; empty for all.
    pub host_ip: String,
    /// Port or range of ports of the host; empty or `0` for one of the system's choice.
    pub host_port: String,
}

/// The networks of a container that is being created.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct NetworkingConfig {
    /// Network name or ID to what is wanted there.
    pub endpoints_config: Option<BTreeMap<String, Option<EndpointSettings>>>,
}

/// What a container asks of a network, and what it got.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointSettings {
    /// Addresses asked for.
    #[serde(rename = "IPAMConfig")]
    pub ipam_config: Option<EndpointIpamConfig>,
    /// Links (`container:alias`).
    #[serde(rename = "Links")]
    pub links: Option<Vec<String>>,
    /// Names of the container in this network beside its own.
    #[serde(rename = "Aliases")]
    pub aliases: Option<Vec<String>>,
    /// Link-layer address, asked for or given.
    #[serde(rename = "MacAddress")]
    pub mac_address: String,
    /// Options of the network's driver.
    #[serde(rename = "DriverOpts")]
    pub driver_opts: Option<BTreeMap<String, String>>,
    /// The endpoint with the highest priority gives the default gateway.
    #[serde(rename = "GwPriority")]
    pub gw_priority: i64,
    /// ID of the network.
    #[serde(rename = "NetworkID")]
    pub network_id: String,
    /// ID of the endpoint; empty while the container does not run.
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    /// IPv4 gateway.
    #[serde(rename = "Gateway")]
    pub gateway: String,
    /// IPv4 address.
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    /// Length of the IPv4 prefix.
    #[serde(rename = "IPPrefixLen")]
    pub ip_prefix_len: i64,
    /// IPv6 gateway.
    #[serde(rename = "IPv6Gateway")]
    pub ipv6_gateway: String,
    /// IPv6 address.
    #[serde(rename = "GlobalIPv6Address")]
    pub global_ipv6_address: String,
    /// Length of the IPv6 prefix.
    #[serde(rename = "GlobalIPv6PrefixLen")]
    pub global_ipv6_prefix_len: i64,
    /// Every name that resolves to this endpoint.
    #[serde(rename = "DNSNames")]
    pub dns_names: Option<Vec<String>>,
}

/// Addresses that a container asks for in a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointIpamConfig {
    /// IPv4 address.
    #[serde(rename = "IPv4Address", skip_serializing_if = "is_default")]
    pub ipv4_address: String,
    /// IPv6 address.
    #[serde(rename = "IPv6Address", skip_serializing_if = "is_default")]
    pub ipv6_address: String,
    /// Link-local addresses.
    #[serde(rename = "LinkLocalIPs", skip_serializing_if = "is_default")]
    pub link_local_ips: Option<Vec<String>>,
}
