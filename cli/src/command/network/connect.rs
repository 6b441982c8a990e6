//! `network connect`: bring a container into a network.

use dhow_engine_api::endpoint::{EndpointIpamConfig, EndpointSettings};
use dhow_engine_api::network::NetworkConnect;

use crate::client::Call;
use crate::command::Verb;
use crate::error::Failure;
use crate::option::{key_values, list, network, number};
use crate::session::Session;

use super::path;

/// Bring a container into a network.
#[derive(Debug, clap::Args)]
pub(crate) struct Connect {
    /// Add a name for the container in the network
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    alias: Vec<String>,
    /// Options of the network's driver
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    driver_opt: Vec<String>,
    /// The network with the highest priority gives the default gateway
    #[arg(long, value_name = "int", value_parser = number::integer, default_value = "0")]
    gw_priority: i64,
    /// IPv4 address (e.g., "172.30.100.104")
    #[arg(long, value_name = "ip", value_parser = network::address)]
    ip: Option<String>,
    /// IPv6 address (e.g., "2001:db8::33")
    #[arg(long, value_name = "ip", value_parser = network::address)]
    ip6: Option<String>,
    /// Link to another container
    #[arg(long, value_name = "list")]
    link: Vec<String>,
    /// Add a link-local address
    #[arg(long, value_name = "ipSlice", value_parser = network::address, value_delimiter = ',')]
    link_local_ip: Vec<String>,
    network: String,
    container: String,
}

impl Verb for Connect {
    const USAGE: &'static str = "[OPTIONS] NETWORK CONTAINER";
    const ABOUT: &'static str = "Connect a container to a network";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        if self
            .driver_opt
            .iter()
            .any(|option| option.split_once('=').is_none_or(|(key, _)| key.trim().is_empty()))
        {
            return Err("invalid key/value pair format in driver options".into());
        }
        let request = NetworkConnect {
            container: self.container,
            endpoint_config: Some(EndpointSettings {
                ipam_config: Some(EndpointIpamConfig {
                    ipv4_address: self.ip.unwrap_or_default(),
                    ipv6_address: self.ip6.unwrap_or_default(),
                    link_local_ips: list(self.link_local_ip),
                }),
                links: list(self.link),
                aliases: Some(self.alias),
                driver_opts: Some(key_values(&self.driver_opt)),
                gw_priority: self.gw_priority,
                ..EndpointSettings::default()
            }),
        };
        let call = Call::post(path(&self.network) + "/connect").json(&request)?;
        Ok(session.client()?.done(call).await?)
    }
}
