//! What a request for a network asks for, checked and completed to a definition.

use std::collections::BTreeMap;
use std::net::IpAddr;

use dhow_engine_api::network::{IpamConfig, NetworkCreate};
use ipnet::IpNet;

use super::address::{self, first_host};
use super::definition::{BRIDGE_OPTION, Definition, Driver, MTU_OPTION, Pool};
use super::error::NetworkError;

/// The longest name of an interface.
const INTERFACE: usize = 15;

/// What a request defines; `used` is everything that the host routes, `others` the subnets of other networks.
pub(super) fn define(
    wanted: NetworkCreate,
    used: &[IpNet],
    others: &[IpNet],
) -> Result<Definition, NetworkError> {
    if wanted.name.is_empty() || wanted.name.contains(['/', '\0']) {
        return Err(NetworkError::Invalid(format!("invalid network name: {:?}", wanted.name)));
    }
    let reserved = ["bridge", "host", "none", "default", "container"];
    if reserved.contains(&wanted.name.as_str()) {
        return Err(NetworkError::Refused(format!(
            "operation is not permitted on predefined {} network",
            wanted.name
        )));
    }
    match wanted.driver.as_str() {
        "" | "bridge" | "default" => {}
        "host" | "null" => {
            let text = format!("only one instance of \"{}\" network is allowed", wanted.driver);
            return Err(NetworkError::Refused(text));
        }
        other => return Err(NetworkError::NotFound(format!("driver {other:?}"))),
    }
    if wanted.config_only || wanted.ingress || wanted.config_from.is_some_and(|from| !from.network.is_empty())
    {
        return Err(NetworkError::Invalid(
            "networks of a swarm (config-only, config-from, ingress) are not supported".to_owned(),
        ));
    }
    if !matches!(wanted.scope.as_str(), "" | "local") {
        return Err(NetworkError::Invalid(format!("network scope {:?} is not supported", wanted.scope)));
    }
    let ipam = wanted.ipam.unwrap_or_default();
    if !matches!(ipam.driver.as_str(), "" | "default") {
        return Err(NetworkError::Invalid(format!("invalid ipam driver: {:?}", ipam.driver)));
    }
    let (ipv4, ipv6) = (wanted.enable_ipv4.unwrap_or(true), wanted.enable_ipv6.unwrap_or(false));
    let mut network = Definition::predefined(&wanted.name, Driver::Bridge);
    network.predefined = false;
    network.internal = wanted.internal;
    network.attachable = wanted.attachable;
    network.pools = pools(&ipam.config.unwrap_or_default(), ipv4, ipv6, used, others)?;
    (network.ipv4, network.ipv6) = (ipv4, ipv6);
    network.ipam_options = ipam.options;
    network.options = wanted.options.unwrap_or_default();
    network.labels = wanted.labels.unwrap_or_default();
    network.bridge = bridge_name(&network)?;
    check_options(&network)?;
    Ok(network)
}

fn bridge_name(network: &Definition) -> Result<String, NetworkError> {
    match network.options.get(&format!("{BRIDGE_OPTION}name")) {
        None => Ok(format!("br-{}", crate::identifier::short(&network.id))),
        Some(name) if name.is_empty() || name.len() > INTERFACE || name.contains(['/', ' ']) => {
            Err(NetworkError::Invalid(format!("invalid interface name: {name:?}")))
        }
        Some(name) => Ok(name.clone()),
    }
}

/// Options that would be taken and not followed are refused.
fn check_options(network: &Definition) -> Result<(), NetworkError> {
    const KNOWN: [&str; 5] =
        ["name", "enable_icc", "enable_ip_masquerade", "host_binding_ipv4", "default_bridge"];
    for (option, value) in &network.options {
        let bridge = option.strip_prefix(BRIDGE_OPTION);
        let known = bridge.is_some_and(|name| KNOWN.contains(&name)) || option == MTU_OPTION;
        if option.starts_with("com.docker.network.") && !known {
            return Err(NetworkError::Invalid(format!("network option {option} is not supported")));
        }
        if option == MTU_OPTION && value.parse::<u32>().is_err() {
            return Err(NetworkError::Invalid(format!("invalid MTU: {value:?}")));
        }
    }
    Ok(())
}

fn pools(
    configs: &[IpamConfig],
    ipv4: bool,
    ipv6: bool,
    used: &[IpNet],
    others: &[IpNet],
) -> Result<Vec<Pool>, NetworkError> {
    let mut pools: Vec<Pool> = Vec::new();
    for config in configs.iter().filter(|config| **config != IpamConfig::default()) {
        let pool = pool_of(config, used)?;
        let same_family = |other: &Pool| other.subnet.addr().is_ipv6() == pool.subnet.addr().is_ipv6();
        if pools.iter().any(same_family) {
            return Err(NetworkError::Invalid("bridge driver doesn't support multiple subnets".to_owned()));
        }
        if address::overlaps(pool.subnet, others) {
            return Err(NetworkError::Refused(
                "invalid pool request: Pool overlaps with other one on this address space".to_owned(),
            ));
        }
        if if pool.subnet.addr().is_ipv6() { ipv6 } else { ipv4 } {
            pools.push(pool);
        }
    }
    if ipv4 && !pools.iter().any(|pool| pool.subnet.addr().is_ipv4()) {
        let subnet = IpNet::V4(address::free_pool(used)?);
        pools.insert(
            0,
            Pool { subnet, range: None, gateway: Some(first_host(subnet)), reserved: BTreeMap::new() },
        );
    }
    if ipv6 && !pools.iter().any(|pool| pool.subnet.addr().is_ipv6()) {
        let subnet = unique_local();
        pools.push(Pool {
            subnet,
            range: None,
            gateway: Some(first_host(subnet)),
            reserved: BTreeMap::new(),
        });
    }
    Ok(pools)
}

/// A fresh /64 of the addresses that everybody may use (RFC 4193).
fn unique_local() -> IpNet {
    let mut bytes = [0; 16];
    bytes[0] = 0xfd;
    bytes[1..8].copy_from_slice(&super::random_bytes::<7>());
    IpNet::V6(ipnet::Ipv6Net::new_assert(bytes.into(), 64))
}

fn pool_of(config: &IpamConfig, used: &[IpNet]) -> Result<Pool, NetworkError> {
    let invalid = |what: &str, text: &str| NetworkError::Invalid(format!("invalid {what} {text:?}"));
    let net = |what: &str, text: &str| text.parse::<IpNet>().map_err(|_| invalid(what, text));
    let subnet = match config.subnet.as_str() {
        "" => IpNet::V4(address::free_pool(used)?),
        text => net("subnet", text)?,
    };
    if subnet.trunc() != subnet {
        let text = format!("invalid subnet {subnet}: it should be {}", subnet.trunc());
        return Err(NetworkError::Invalid(text));
    }
    let inside = |what: &str, address: IpAddr| {
        if subnet.contains(&address) {
            Ok(address)
        } else {
            Err(NetworkError::Invalid(format!("{what} {address} not in subnet {subnet}")))
        }
    };
    let range = match config.ip_range.as_str() {
        "" => None,
        text => Some(net("IP range", text)?),
    };
    if range.is_some_and(|range| !subnet.contains(&range)) {
        return Err(NetworkError::Invalid(format!("no matching subnet for range {:?}", config.ip_range)));
    }
    let gateway = match config.gateway.as_str() {
        "" => first_host(subnet),
        text => inside("gateway", text.parse().map_err(|_| invalid("gateway", text))?)?,
    };
    let mut reserved = BTreeMap::new();
    for (name, text) in config.auxiliary_addresses.iter().flatten() {
        let address = text.parse().map_err(|_| invalid("auxiliary address", text))?;
        reserved.insert(name.clone(), inside("auxiliary address", address)?);
    }
    Ok(Pool { subnet, range, gateway: Some(gateway), reserved })
}

#[cfg(test)]
mod tests {
    use dhow_engine_api::network::Ipam;

    use super::*;

    fn wanted(change: impl FnOnce(&mut NetworkCreate, &mut IpamConfig)) -> Result<Definition, String> {
        let (mut request, mut config) =
            (NetworkCreate { name: "net".into(), ..NetworkCreate::default() }, IpamConfig::default());
        change(&mut request, &mut config);
        request.ipam = Some(Ipam { config: Some(vec![config]), ..Ipam::default() });
        let taken = ["172.17.0.0/16".parse().expect("a net")];
        define(request, &taken, &taken).map_err(|error| error.to_string())
    }

    #[test]
    fn a_network_gets_the_next_pool_and_a_bridge_of_its_own() {
        let network = wanted(|_, _| {}).expect("defines");
        assert_eq!(network.pools[0].subnet.to_string(), "172.18.0.0/16");
        assert_eq!(
            network.pools[0].gateway.map(|gateway| gateway.to_string()).as_deref(),
            Some("172.18.0.1")
        );
        assert_eq!(network.bridge, format!("br-{}", &network.id[..12]));
        let both = wanted(|request, _| request.enable_ipv6 = Some(true)).expect("defines");
        assert!(
            both.pools[1].subnet.to_string().starts_with("fd") && both.pools[1].subnet.prefix_len() == 64
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (change, text) in [
            (
                (|_, config: &mut IpamConfig| config.subnet = "10.0.0.1/24".into())
                    as fn(&mut NetworkCreate, &mut IpamConfig),
                "10.0.0.0/24",
            ),
            (|_, config| config.subnet = "172.17.4.0/24".into(), "overlaps"),
            (|_, config| config.gateway = "10.0.0.1".into(), "not in subnet"),
            (|request, _| request.driver = "overlay".into(), "overlay"),
            (|request, _| request.name = "bridge".into(), "predefined"),
            (
                |request, _| {
                    request.options =
                        Some([("com.docker.network.bridge.what".to_owned(), String::new())].into())
                },
                "what",
            ),
        ] {
            let said = wanted(change).expect_err("refused");
            assert!(said.contains(text), "{said}");
        }
    }
}
