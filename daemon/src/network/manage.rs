//! Networks made and removed, containers connected and disconnected while they run.

use std::collections::BTreeMap;
use std::net::IpAddr;

use dhow_engine_api::endpoint::EndpointSettings;
use dhow_engine_api::network::{ConfigReference, EndpointResource, Ipam, IpamConfig, Network, NetworkCreate};
use ipnet::IpNet;

use super::address::{self, first_host};
use super::definition::{BRIDGE_OPTION, Definition, Driver, MTU_OPTION, Pool};
use super::error::NetworkError;
use super::namespace::Namespace;
use super::record::SandboxRecord;
use super::sandbox::{Sandbox, SandboxRequest, default_route, find, remove_links, taken};
use super::{Inner, Networks, bridge, endpoint, pool};
use crate::http::filter::Filters;

/// The longest name of an interface.
const INTERFACE: usize = 15;

/// Names that `filters` of a list may use.
pub(crate) const FILTERS: &[&str] = &["dangling", "driver", "id", "label", "label!", "name", "scope", "type"];

impl Networks {
    /// The networks that pass `filters`, without their containers.
    pub(crate) fn list(&self, filters: &Filters, dangling: Option<bool>) -> Vec<Network> {
        let state = self.0.state();
        let passing = state.networks.iter().filter(|network| {
            let used = state.sandboxes.values().any(|record| has(record, &network.id));
            passes(network, filters)
                && dangling.is_none_or(|dangling| dangling == (!used && !network.predefined))
        });
        passing.map(|network| document(network, None)).collect()
    }

    /// One network with its containers.
    pub(crate) fn inspect(&self, name: &str) -> Result<Network, NetworkError> {
        let state = self.0.state();
        let network = find(&state.networks, name)?;
        let containers = state.sandboxes.values().filter_map(|record| {
            let endpoint = record.endpoints.iter().find(|endpoint| endpoint.network == network.id)?;
            let text = |net: Option<IpNet>| net.map(|net| net.to_string()).unwrap_or_default();
            let shown = EndpointResource {
                name: record.name.clone(),
                endpoint_id: endpoint.id.clone(),
                mac_address: endpoint.mac.clone(),
                ipv4_address: text(endpoint.ipv4),
                ipv6_address: text(endpoint.ipv6),
            };
            Some((record.container.clone(), shown))
        });
        Ok(document(network, Some(containers.collect())))
    }

    /// Makes a network: its ID.
    pub(crate) async fn create(&self, wanted: NetworkCreate) -> Result<String, NetworkError> {
        self.blocking(move |inner| inner.create(wanted)).await
    }

    /// Removes a network that no container is in: it as it was.
    pub(crate) async fn remove(&self, name: &str) -> Result<Network, NetworkError> {
        let name = name.to_owned();
        self.blocking(move |inner| inner.remove(&name)).await
    }

    /// Removes every network of users that `used` does not name and no container is in: their names.
    pub(crate) async fn prune(
        &self,
        filters: Filters,
        used: Vec<String>,
    ) -> Result<Vec<String>, NetworkError> {
        self.blocking(move |inner| inner.prune(&filters, &used)).await
    }

    /// Gives a running container one more network.
    pub(crate) async fn connect(
        &self,
        network: &str,
        request: SandboxRequest,
        settings: EndpointSettings,
    ) -> Result<Sandbox, NetworkError> {
        let network = network.to_owned();
        self.blocking(move |inner| inner.connect(&network, &request, &settings)).await
    }

    /// Takes a running container out of a network.
    pub(crate) async fn disconnect(&self, network: &str, container: &str) -> Result<(), NetworkError> {
        let (network, container) = (network.to_owned(), container.to_owned());
        self.blocking(move |inner| inner.disconnect(&network, &container)).await
    }
}

impl Inner {
    fn create(&self, wanted: NetworkCreate) -> Result<String, NetworkError> {
        let mut used = bridge::used_subnets()?;
        let mut state = self.state();
        if state.networks.iter().any(|network| network.name == wanted.name) {
            return Err(NetworkError::Exists(wanted.name));
        }
        let others = state.networks.iter().flat_map(|network| network.pools.iter().map(|pool| pool.subnet));
        let others: Vec<IpNet> = others.collect();
        used.extend(&others);
        let network = define(wanted, &used, &others)?;
        if state.networks.iter().any(|other| !other.bridge.is_empty() && other.bridge == network.bridge) {
            return Err(NetworkError::Refused(format!(
                "bridge {} is used by another network",
                network.bridge
            )));
        }
        let id = network.id.clone();
        state.networks.push(network);
        if let Err(error) = self.definitions.save(&state.networks) {
            state.networks.pop();
            return Err(error.into());
        }
        Ok(id)
    }

    fn remove(&self, name: &str) -> Result<Network, NetworkError> {
        let network = {
            let mut state = self.state();
            let network = find(&state.networks, name)?.clone();
            if network.predefined {
                return Err(NetworkError::Refused(format!(
                    "{} is a pre-defined network and cannot be removed",
                    network.name
                )));
            }
            if state.sandboxes.values().any(|record| has(record, &network.id)) {
                return Err(NetworkError::Refused(format!(
                    "error while removing network: network {} id {} has active endpoints",
                    network.name, network.id
                )));
            }
            state.networks.retain(|other| other.id != network.id);
            self.definitions.save(&state.networks)?;
            network
        };
        let mut active = self.active.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if active.remove(&network.id).is_some() {
            self.program(&active)?;
        }
        if network.driver == Driver::Bridge {
            bridge::remove(&network.bridge)?;
        }
        Ok(document(&network, None))
    }

    fn prune(&self, filters: &Filters, used: &[String]) -> Result<Vec<String>, NetworkError> {
        let unused: Vec<String> = {
            let state = self.state();
            let unused = state.networks.iter().filter(|network| {
                !network.predefined
                    && passes(network, filters)
                    && !used.iter().any(|name| *name == network.name || *name == network.id)
                    && !state.sandboxes.values().any(|record| has(record, &network.id))
            });
            unused.map(|network| network.name.clone()).collect()
        };
        for name in &unused {
            self.remove(name)?;
        }
        Ok(unused)
    }

    fn connect(
        &self,
        network: &str,
        request: &SandboxRequest,
        settings: &EndpointSettings,
    ) -> Result<Sandbox, NetworkError> {
        let (made, record, path) = {
            let mut state = self.state();
            let network = find(&state.networks, network)?.clone();
            let taken = taken(state.holding(), &network.id);
            let record = state.sandboxes.get_mut(&request.container).ok_or(NetworkError::Gone)?;
            check_connect(&network, record)?;
            let path = record.netns.clone().ok_or(NetworkError::NotTogether)?;
            let index = (0..).find(|index| {
                let name = format!("eth{index}");
                !record.endpoints.iter().any(|endpoint| endpoint.interface == name)
            });
            let mut made = endpoint::plan(&network, settings, request, index.unwrap_or(0), &taken)?;
            made.host_interface = pool::veth_name();
            record.endpoints.retain(|endpoint| !endpoint.host_interface.is_empty());
            record.endpoints.push(made.clone());
            self.records.save(record)?;
            (made, record.clone(), path)
        };
        let joined = Namespace::open(&path).map_err(NetworkError::from).and_then(|namespace| {
            self.join(&made, &namespace)?;
            // One that had no way out has one now.
            if record.endpoints.iter().filter(|endpoint| endpoint.gateway4.is_some()).count() == 1 {
                default_route(&namespace, &record)?;
            }
            Ok(())
        });
        if let Err(error) = joined {
            self.leave(&request.container, &made.id)?;
            return Err(error);
        }
        self.resolver_for(&record);
        self.sandbox(&request.container).ok_or(NetworkError::Gone)
    }

    fn disconnect(&self, network: &str, container: &str) -> Result<(), NetworkError> {
        let (endpoint, name) = {
            let state = self.state();
            let network = find(&state.networks, network)?;
            if network.driver == Driver::Host {
                return Err(NetworkError::Refused(
                    "container cannot be disconnected from host network".to_owned(),
                ));
            }
            let record = state.sandboxes.get(container);
            let endpoint =
                record.and_then(|record| record.endpoints.iter().find(|one| one.network == network.id));
            (endpoint.map(|endpoint| endpoint.id.clone()), network.name.clone())
        };
        let Some(endpoint) = endpoint else {
            return Err(NetworkError::Refused(format!(
                "container {container} is not connected to network {name}"
            )));
        };
        self.leave(container, &endpoint)?;
        let record = self.state().sandboxes.get(container).cloned().ok_or(NetworkError::Gone)?;
        // The way out went with the link, if it led through it.
        if let Some(path) = &record.netns {
            let namespace = Namespace::open(path)?;
            match default_route(&namespace, &record) {
                Err(NetworkError::Kernel(_)) | Ok(()) => {}
                Err(error) => return Err(error),
            }
        }
        self.resolver_for(&record);
        Ok(())
    }

    /// Removes one endpoint of a container, and the ports that led to it.
    fn leave(&self, container: &str, endpoint: &str) -> Result<(), NetworkError> {
        let (gone, ports) = {
            let mut state = self.state();
            let record = state.sandboxes.get_mut(container).ok_or(NetworkError::Gone)?;
            let Some(index) = record.endpoints.iter().position(|one| one.id == endpoint) else {
                return Ok(());
            };
            let gone = record.endpoints.remove(index);
            let addresses: Vec<IpAddr> = [gone.ipv4, gone.ipv6].iter().flatten().map(IpNet::addr).collect();
            let (ports, kept) =
                record.ports.iter().partition(|port| addresses.contains(&port.container.ip()));
            record.ports = kept;
            self.records.save(record)?;
            (gone, ports)
        };
        let ports: Vec<super::record::PortRecord> = ports;
        if !ports.is_empty() {
            self.stop_serving(container);
            self.firewall.withdraw(&ports.iter().map(|port| port.publication()).collect::<Vec<_>>())?;
        }
        remove_links(std::iter::once(gone.host_interface.as_str()))
    }
}

fn check_connect(network: &Definition, record: &SandboxRecord) -> Result<(), NetworkError> {
    if network.driver != Driver::Bridge {
        return Err(NetworkError::NotTogether);
    }
    if has(record, &network.id) {
        let text = format!("endpoint with name {} already exists in network {}", record.name, network.name);
        return Err(NetworkError::Refused(text));
    }
    Ok(())
}

fn has(record: &SandboxRecord, network: &str) -> bool {
    record.endpoints.iter().any(|endpoint| endpoint.network == network)
}

/// What a request defines; `used` is everything that the host routes, `others` the subnets of other networks.
fn define(wanted: NetworkCreate, used: &[IpNet], others: &[IpNet]) -> Result<Definition, NetworkError> {
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

fn passes(network: &Definition, filters: &Filters) -> bool {
    let kind = if network.predefined { "builtin" } else { "custom" };
    filters.exact("driver", network.driver.name())
        && filters.exact("scope", "local")
        && filters.exact("type", kind)
        && filters.any("id", |wanted| network.id.starts_with(wanted.as_str()))
        && filters.any("name", |wanted| network.name.contains(wanted.as_str()))
        && filters.labels("label", &network.labels)
        && filters.no_labels(&network.labels)
}

fn document(network: &Definition, containers: Option<BTreeMap<String, EndpointResource>>) -> Network {
    let config = network.pools.iter().map(|pool| IpamConfig {
        subnet: pool.subnet.to_string(),
        ip_range: pool.range.map(|range| range.to_string()).unwrap_or_default(),
        gateway: pool.gateway.map(|gateway| gateway.to_string()).unwrap_or_default(),
        auxiliary_addresses: Some(
            pool.reserved.iter().map(|(name, address)| (name.clone(), address.to_string())).collect(),
        )
        .filter(|map: &BTreeMap<_, _>| !map.is_empty()),
    });
    let config: Vec<IpamConfig> = config.collect();
    Network {
        name: network.name.clone(),
        id: network.id.clone(),
        created: network.created.clone(),
        scope: "local".to_owned(),
        driver: network.driver.name().to_owned(),
        enable_ipv4: network.ipv4,
        enable_ipv6: network.ipv6,
        ipam: Ipam {
            driver: "default".to_owned(),
            options: network.ipam_options.clone(),
            config: if config.is_empty() && network.predefined { None } else { Some(config) },
        },
        internal: network.internal,
        attachable: network.attachable,
        ingress: false,
        config_from: ConfigReference::default(),
        config_only: false,
        containers: Some(containers.unwrap_or_default()),
        options: Some(network.options.clone()),
        labels: Some(network.labels.clone()),
    }
}

#[cfg(test)]
mod tests {
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
