//! Networks listed, made and removed.

use dhow_engine_api::network::{EndpointResource, Network, NetworkCreate};
use ipnet::IpNet;

use super::create::define;
use super::definition::Driver;
use super::document::{document, passes};
use super::error::NetworkError;
use super::record::SandboxRecord;
use super::sandbox::find;
use super::{Inner, Networks, bridge};
use crate::http::filter::Filters;

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
}

pub(super) fn has(record: &SandboxRecord, network: &str) -> bool {
    record.endpoints.iter().any(|endpoint| endpoint.network == network)
}
