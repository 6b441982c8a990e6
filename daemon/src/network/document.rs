//! A network as the API shows it, and whether a list's filters let it pass.

use std::collections::BTreeMap;

use dhow_engine_api::network::{ConfigReference, EndpointResource, Ipam, IpamConfig, Network};

use super::definition::Definition;
use crate::http::filter::Filters;

pub(super) fn passes(network: &Definition, filters: &Filters) -> bool {
    let kind = if network.predefined { "builtin" } else { "custom" };
    filters.exact("driver", network.driver.name())
        && filters.exact("scope", "local")
        && filters.exact("type", kind)
        && filters.any("id", |wanted| network.id.starts_with(wanted.as_str()))
        && filters.any("name", |wanted| network.name.contains(wanted.as_str()))
        && filters.labels("label", &network.labels)
        && filters.no_labels(&network.labels)
}

pub(super) fn document(
    network: &Definition,
    containers: Option<BTreeMap<String, EndpointResource>>,
) -> Network {
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
