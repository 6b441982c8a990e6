//! `network create`: make a network.

use std::collections::BTreeMap;
use std::net::IpAddr;

use dhow_engine_api::network::{ConfigReference, Ipam, IpamConfig, NetworkCreate, NetworkCreated};

use crate::client::{ApiVersion, Call};
use crate::command::Verb;
use crate::error::Failure;
use crate::option::{key_values, network};
use crate::output::{put_line, warn};
use crate::session::Session;

/// Make a network.
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// Let containers be attached by hand
    #[arg(long)]
    attachable: bool,
    /// Addresses that the driver keeps for itself
    #[arg(long, value_name = "map")]
    aux_address: Vec<String>,
    /// Network to copy the configuration from
    #[arg(long, value_name = "string", default_value = "")]
    config_from: String,
    /// Make a configuration without a network
    #[arg(long)]
    config_only: bool,
    /// Driver of the network (default "bridge")
    #[arg(short, long, value_name = "string", default_value = "bridge")]
    driver: String,
    /// Gateway of the subnet
    #[arg(long, value_name = "strings", value_parser = network::address, value_delimiter = ',')]
    gateway: Vec<String>,
    /// Make swarm's routing mesh (refused by daemons without swarm)
    #[arg(long)]
    ingress: bool,
    /// Keep the network from the outside
    #[arg(long)]
    internal: bool,
    /// Give containers addresses from this part of the subnet
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    ip_range: Vec<String>,
    /// Driver of addresses (default "default")
    #[arg(long, value_name = "string", default_value = "default")]
    ipam_driver: String,
    /// Options of the driver of addresses
    #[arg(long, value_name = "map")]
    ipam_opt: Vec<String>,
    /// Give IPv4 addresses (default true)
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = crate::command::boolean)]
    ipv4: Option<bool>,
    /// Give IPv6 addresses
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = crate::command::boolean)]
    ipv6: Option<bool>,
    /// Set labels
    #[arg(long, value_name = "list")]
    label: Vec<String>,
    /// Options of the driver
    #[arg(short, long, value_name = "map")]
    opt: Vec<String>,
    /// Scope of the network
    #[arg(long, value_name = "string", default_value = "")]
    scope: String,
    /// Subnet, as address and prefix length
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    subnet: Vec<String>,
    network: String,
}

impl Verb for Create {
    const USAGE: &'static str = "[OPTIONS] NETWORK";
    const ABOUT: &'static str = "Create a network";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let config = self.subnets()?;
        let request = NetworkCreate {
            name: self.network,
            // Old daemons let two networks have one name without it.
            check_duplicate: session.client()?.version().await? < ApiVersion(1, 44),
            driver: self.driver,
            scope: self.scope,
            enable_ipv4: self.ipv4,
            enable_ipv6: self.ipv6,
            ipam: Some(Ipam {
                driver: self.ipam_driver,
                options: Some(key_values(&self.ipam_opt)),
                config: Some(config),
            }),
            internal: self.internal,
            attachable: self.attachable,
            ingress: self.ingress,
            config_only: self.config_only,
            config_from: (!self.config_from.is_empty())
                .then_some(ConfigReference { network: self.config_from }),
            options: Some(key_values(&self.opt)),
            labels: Some(key_values(&self.label)),
        };
        let call = Call::post("/networks/create").json(&request)?;
        let created: NetworkCreated = session.client()?.fetch(call).await?;
        if !created.warning.is_empty() {
            warn(&format!("WARNING: {}", created.warning));
        }
        put_line(&created.id)
    }
}

impl Create {
    /// The subnets with the ranges, gateways and addresses that lie in them.
    fn subnets(&self) -> Result<Vec<IpamConfig>, Failure> {
        if self.subnet.len() < self.ip_range.len() || self.subnet.len() < self.gateway.len() {
            return Err("every ip-range or gateway must have a corresponding subnet".into());
        }
        let mut configs: Vec<(Prefix, IpamConfig)> = Vec::new();
        for subnet in &self.subnet {
            let prefix = Prefix::parse(subnet)?;
            if configs.iter().any(|(other, _)| other.holds(prefix.address) || prefix.holds(other.address)) {
                return Err("multiple overlapping subnet configuration is not supported".into());
            }
            configs.push((prefix, IpamConfig { subnet: subnet.clone(), ..IpamConfig::default() }));
        }
        for range in &self.ip_range {
            let address = Prefix::parse(range)?.address;
            let config = configs.iter_mut().find(|(subnet, _)| subnet.holds(address));
            let (_, config) = config.ok_or_else(|| format!("no matching subnet for range {range}"))?;
            if !config.ip_range.is_empty() {
                let (first, subnet) = (&config.ip_range, &config.subnet);
                return Err(format!(
                    "cannot configure multiple ranges ({range}, {first}) on the same subnet ({subnet})"
                )
                .into());
            }
            config.ip_range.clone_from(range);
        }
        for gateway in &self.gateway {
            let address = gateway.parse().map_err(|_| format!("invalid gateway {gateway}"))?;
            let config = configs.iter_mut().find(|(subnet, _)| subnet.holds(address));
            let (_, config) = config.ok_or_else(|| format!("no matching subnet for gateway {gateway}"))?;
            if !config.gateway.is_empty() {
                let (first, subnet) = (&config.gateway, &config.subnet);
                return Err(format!(
                    "cannot configure multiple gateways ({gateway}, {first}) for the same subnet ({subnet})"
                )
                .into());
            }
            config.gateway.clone_from(gateway);
        }
        for (name, text) in key_values(&self.aux_address) {
            let address = text.parse().map_err(|_| format!("invalid aux-address {text}"))?;
            let config = configs.iter_mut().find(|(subnet, _)| subnet.holds(address));
            let (_, config) = config.ok_or_else(|| format!("no matching subnet for aux-address {text}"))?;
            config.auxiliary_addresses.get_or_insert_with(BTreeMap::new).insert(name, text);
        }
        Ok(configs.into_iter().map(|(_, config)| config).collect())
    }
}

/// A subnet.
struct Prefix {
    address: IpAddr,
    length: u32,
}

impl Prefix {
    fn parse(text: &str) -> Result<Self, String> {
        let invalid = || format!("invalid CIDR address: {text}");
        let (address, length) = text.split_once('/').ok_or_else(invalid)?;
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let length: u32 = length.parse().map_err(|_| invalid())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        if length > most { Err(invalid()) } else { Ok(Self { address, length }) }
    }

    fn holds(&self, other: IpAddr) -> bool {
        let (a, b, bits) = match (self.address, other) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128),
            _ => return false,
        };
        let shift = bits - self.length;
        a.checked_shr(shift).unwrap_or(0) == b.checked_shr(shift).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::Prefix;

    #[test]
    fn subnets_hold_addresses() {
        let holds = |subnet: &str, address: &str| {
            Prefix::parse(subnet).map(|prefix| prefix.holds(address.parse().expect("an address")))
        };
        assert_eq!(holds("10.1.0.0/16", "10.1.2.3"), Ok(true));
        assert_eq!(holds("10.1.0.0/16", "10.2.2.3"), Ok(false));
        assert_eq!(holds("0.0.0.0/0", "10.2.2.3"), Ok(true));
        assert_eq!(holds("fd00::/8", "fd12::1"), Ok(true));
        assert_eq!(holds("fd00::/8", "10.0.0.1"), Ok(false));
        assert!(Prefix::parse("10.0.0.0/33").is_err());
    }
}
