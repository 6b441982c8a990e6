//! Containers connected to networks and disconnected from them, while they run.

use std::net::IpAddr;

use dhow_engine_api::endpoint::EndpointSettings;
use ipnet::IpNet;

use super::definition::{Definition, Driver};
use super::error::NetworkError;
use super::manage::has;
use super::namespace::Namespace;
use super::record::SandboxRecord;
use super::sandbox::{Sandbox, SandboxRequest, default_route, find, remove_links, taken};
use super::{Inner, Networks, endpoint, pool};

impl Networks {
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
