//! Sandboxes: the network of one container, from request to release.
//!
//! ```text
//! allocate: plan (addresses, ports held) → record on disk → bridge and rules → namespace from the pool
//!           → links, addresses, routes → pinned → ports published
//! release:  ports withdrawn → links removed → unpinned → record removed
//! ```
//! Whatever fails half-way is released again; a record whose container does not run is released at start-up.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::PoisonError;

use dhow_engine_api::container::{ContainerConfig, HostConfig};
use dhow_engine_api::endpoint::{EndpointSettings, PortMap};
use nix::errno::Errno;

use super::definition::{Definition, Driver};
use super::error::NetworkError;
use super::link::{self, Mac};
use super::namespace::{self, Namespace};
use super::netlink::{Family, Message, Socket};
use super::pool::{self, Veth};
use super::publish::{self, Held, Inside};
use super::record::{EndpointRecord, SandboxRecord};
use super::{Inner, endpoint};
use crate::container::spec::namespace::Mode;

/// What a container asks of the network.
#[derive(Debug, Clone, Default)]
pub(crate) struct SandboxRequest {
    /// Its ID.
    pub(crate) container: String,
    /// Its name, without the slash.
    pub(crate) name: String,
    /// Its host name.
    pub(crate) hostname: String,
    /// `HostConfig.NetworkMode`, with a container's ID in place of its name.
    pub(crate) mode: String,
    /// What it wants in each network, by name or ID.
    pub(crate) endpoints: BTreeMap<String, EndpointSettings>,
    /// Ports that it exposes (`80/tcp`).
    pub(crate) exposed: Vec<String>,
    /// Ports that it wants published.
    pub(crate) bindings: PortMap,
    /// Publish whatever it exposes.
    pub(crate) publish_all: bool,
    /// Hardware address, when it asks for one (before API 1.44).
    pub(crate) mac: String,
    /// Name servers.
    pub(crate) dns: Vec<String>,
}

impl SandboxRequest {
    /// The request of a container: `endpoints` is its `NetworkingConfig`, or the networks it was in.
    pub(crate) fn new(
        container: &str,
        name: &str,
        config: &ContainerConfig,
        host: &HostConfig,
        endpoints: BTreeMap<String, EndpointSettings>,
    ) -> Self {
        let mode = if config.network_disabled { "none" } else { &host.network_mode };
        Self {
            container: container.to_owned(),
            name: name.trim_start_matches('/').to_owned(),
            hostname: config.hostname.clone(),
            mode: mode.to_owned(),
            endpoints,
            exposed: config.exposed_ports.iter().flatten().map(|(port, _)| port.clone()).collect(),
            bindings: host.port_bindings.clone().unwrap_or_default(),
            publish_all: host.publish_all_ports,
            mac: config.mac_address.clone(),
            dns: host.dns.clone().unwrap_or_default(),
        }
    }
}

/// A container's network, ready.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Sandbox {
    /// 64 hexadecimal digits; empty when it is another container's.
    pub(crate) id: String,
    /// The namespace to join; `None` means the host's.
    pub(crate) netns: Option<PathBuf>,
    /// Whether the namespace was made for this container.
    pub(crate) own: bool,
    /// Its endpoints by the names of their networks, as `inspect` shows them.
    pub(crate) endpoints: BTreeMap<String, EndpointSettings>,
    /// Its ports, as `inspect` shows them.
    pub(crate) ports: PortMap,
}

impl Sandbox {
    /// Whether names of other containers resolve inside: in user-defined networks.
    pub(crate) fn resolves(&self) -> bool {
        self.endpoints.values().any(|endpoint| endpoint.dns_names.is_some())
    }

    fn of(record: &SandboxRecord) -> Self {
        let endpoints =
            record.endpoints.iter().map(|one| (one.network_name.clone(), endpoint::settings(one)));
        Self {
            id: record.id.clone(),
            netns: record.netns.clone(),
            own: record.netns.is_some(),
            endpoints: endpoints.collect(),
            ports: publish::port_map(&record.ports, &record.exposed),
        }
    }
}

impl Inner {
    /// Gives a container its network.
    pub(super) fn allocate(&self, request: &SandboxRequest) -> Result<Sandbox, NetworkError> {
        if let Mode::Container(other) = Mode::parse(&request.mode) {
            let state = self.state();
            let record = state.sandboxes.get(&other).ok_or(NetworkError::NotRunning(other))?;
            let netns = record.netns.clone();
            return Ok(Sandbox {
                netns,
                ports: publish::port_map(&[], &request.exposed),
                ..Sandbox::default()
            });
        }
        self.release(&request.container)?;
        let made = self.plan(request).and_then(|held| self.make(&request.container, held));
        match made {
            Ok(record) => Ok(Sandbox::of(&record)),
            Err(error) => {
                if let Err(error) = self.release(&request.container) {
                    tracing::warn!(
                        error = dhow_proto::error::chain(&error),
                        "a half-made sandbox stays behind"
                    );
                }
                Err(error)
            }
        }
    }

    /// What a container has now.
    pub(super) fn sandbox(&self, container: &str) -> Option<Sandbox> {
        self.state().sandboxes.get(container).map(Sandbox::of)
    }

    /// Chooses addresses and ports, and writes the record that claims them.
    fn plan(&self, request: &SandboxRequest) -> Result<Vec<Held>, NetworkError> {
        let mut state = self.state();
        // An address that was asked for may be that of a container on its way out.
        while !state.leaving.is_empty() && asks_for_address(request) {
            state = self.left.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let wanted = networks(&state.networks, request)?;
        let host = wanted.iter().any(|(network, _)| network.driver == Driver::Host);
        let netns = (!host).then(|| self.netns_path(&request.container));
        let mut record = SandboxRecord::new(&request.container, &request.name, netns);
        record.exposed.clone_from(&request.exposed);
        record.upstream = request.dns.iter().filter_map(|text| text.parse().ok()).collect();
        for (index, (network, settings)) in wanted.iter().enumerate() {
            let taken = taken(state.holding(), &network.id);
            let mut made = endpoint::plan(network, settings, request, index, &taken)?;
            if network.driver == Driver::Bridge {
                made.host_interface = pool::veth_name();
            }
            record.endpoints.push(made);
        }
        let held = self.hold_ports(request, &record, &state.sandboxes)?;
        record.ports = held.iter().map(|held| held.record).collect();
        self.records.save(&record)?;
        state.sandboxes.insert(request.container.clone(), record);
        Ok(held)
    }

    fn hold_ports(
        &self,
        request: &SandboxRequest,
        record: &SandboxRecord,
        others: &super::Sandboxes,
    ) -> Result<Vec<Held>, NetworkError> {
        let Some(inside) = reachable(record, &self.settings.bridge) else { return Ok(Vec::new()) };
        let mut taken: Vec<_> = others.values().flat_map(|other| other.ports.clone()).collect();
        let mut held = Vec::new();
        for wanted in publish::wanted(&request.bindings, &request.exposed, request.publish_all)? {
            let new = wanted.hold(inside, &taken).map_err(|source| {
                let endpoint = record.endpoints.first().map(|one| one.id.clone()).unwrap_or_default();
                NetworkError::Publish { container: request.name.clone(), endpoint, source }
            })?;
            taken.extend(new.iter().map(|one| one.record));
            held.extend(new);
        }
        Ok(held)
    }

    /// Makes what the record of `container` says.
    fn make(&self, container: &str, held: Vec<Held>) -> Result<SandboxRecord, NetworkError> {
        let mut record = self.state().sandboxes.get(container).cloned().ok_or(NetworkError::Gone)?;
        let Some(path) = record.netns.clone() else { return Ok(record) };
        let mut endpoints = record.endpoints.iter_mut().filter(|one| !one.host_interface.is_empty());
        match endpoints.next() {
            None => self.pool.bare()?.pin(&path)?,
            Some(first) => {
                let wired = self.pool.wired()?;
                // The pair from the pool has its own name; the record must know it before the bridge does.
                first.host_interface.clone_from(&wired.host.name);
                let first = first.clone();
                let rest: Vec<EndpointRecord> = endpoints.map(|endpoint| endpoint.clone()).collect();
                self.records.save(&record)?;
                self.attach(&first, &wired.host, &wired.namespace, wired.inside)?;
                for endpoint in &rest {
                    self.join(endpoint, &wired.namespace)?;
                }
                default_route(&wired.namespace, &record)?;
                wired.namespace.pin(&path)?;
            }
        }
        self.publish(container, held)?;
        self.state().sandboxes.insert(container.to_owned(), record.clone());
        self.resolver_for(&record);
        Ok(record)
    }

    /// Gives a namespace one more interface.
    pub(super) fn join(&self, endpoint: &EndpointRecord, namespace: &Namespace) -> Result<(), NetworkError> {
        let here = Socket::open(Family::Route)?;
        // The name inside is given by `configure`: another namespace may have interfaces of any name.
        let temporary = format!("{}i", endpoint.host_interface);
        here.send(&[link::add_veth(&endpoint.host_interface, &temporary, namespace.as_fd())])?;
        let host = link::find(&here, &endpoint.host_interface)?.ok_or(NetworkError::Gone)?;
        let inside = link::find(&namespace.route, &temporary)?.ok_or(NetworkError::Gone)?;
        let veth = Veth { name: host.name, index: host.index };
        self.attach(endpoint, &veth, namespace, inside.index)
    }

    fn attach(
        &self,
        endpoint: &EndpointRecord,
        host: &Veth,
        namespace: &Namespace,
        inside: u32,
    ) -> Result<(), NetworkError> {
        let network = self.state().by_id(&endpoint.network)?.clone();
        let here = Socket::open(Family::Route)?;
        let bridge = self.activate(&network)?;
        if let Err(error) = here.send(&[link::enslave(host.index, bridge, network.mtu())]) {
            // Somebody removed the bridge since it was last used: once more, from the start.
            if !(error.is(Errno::ENODEV) || error.is(Errno::EINVAL)) {
                return Err(error.into());
            }
            self.deactivate(&network.id);
            here.send(&[link::enslave(host.index, self.activate(&network)?, network.mtu())])?;
        }
        let mac = Mac::parse(&endpoint.mac).ok_or_else(|| NetworkError::Mac(endpoint.mac.clone()))?;
        let mut messages = vec![link::configure(inside, &endpoint.interface, mac, network.mtu())];
        messages.extend(endpoint.ipv4.map(|address| link::add_address(inside, address)));
        messages.push(link::up(inside));
        Ok(namespace.route.send(&messages)?)
    }

    fn publish(&self, container: &str, held: Vec<Held>) -> Result<(), NetworkError> {
        let publications: Vec<_> = held.iter().map(|one| one.record.publication()).collect();
        self.firewall.publish(&publications)?;
        self.serve_ports(container, held);
        Ok(())
    }

    /// Takes a container's network away; it is no error when it has none.
    pub(super) fn release(&self, container: &str) -> Result<(), NetworkError> {
        match self.leave_all(container)? {
            Some(record) => self.finish(&record),
            None => Ok(()),
        }
    }

    /// The quick half of a release: ports are free, and the container is in no network. Its addresses are not free,
    /// and its record stays on disk, until [`Inner::finish`]: removing a link takes the kernel tens of milliseconds.
    pub(super) fn leave_all(&self, container: &str) -> Result<Option<SandboxRecord>, NetworkError> {
        let mut state = self.state();
        while state.leaving.contains_key(container) {
            state = self.left.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let Some(record) = state.sandboxes.get(container).cloned() else { return Ok(None) };
        drop(state);
        self.stop_serving(container);
        self.stop_resolving(container);
        let publications: Vec<_> = record.ports.iter().map(|port| port.publication()).collect();
        self.firewall.withdraw(&publications)?;
        let mut state = self.state();
        state.sandboxes.remove(container);
        state.leaving.insert(container.to_owned(), record.clone());
        Ok(Some(record))
    }

    /// The slow half of a release. What fails is left to the next start, which finds the record.
    pub(super) fn finish(&self, record: &SandboxRecord) -> Result<(), NetworkError> {
        let done = self.dismantle(record);
        self.state().leaving.remove(&record.container);
        self.left.notify_all();
        done
    }

    fn dismantle(&self, record: &SandboxRecord) -> Result<(), NetworkError> {
        remove_links(record.endpoints.iter().map(|endpoint| endpoint.host_interface.as_str()))?;
        if let Some(path) = &record.netns {
            namespace::unpin(path)?;
        }
        Ok(self.records.remove(&record.container)?)
    }
}

fn asks_for_address(request: &SandboxRequest) -> bool {
    let asked = request.endpoints.values().filter_map(|settings| settings.ipam_config.as_ref());
    asked.into_iter().any(|wanted| !wanted.ipv4_address.is_empty() || !wanted.ipv6_address.is_empty())
}

/// Removes links by name; those that are gone are passed over.
pub(super) fn remove_links<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), NetworkError> {
    let here = Socket::open(Family::Route)?;
    for name in names.filter(|name| !name.is_empty()) {
        if let Some(found) = link::find(&here, name)? {
            match here.send(&[link::delete(found.index)]) {
                Err(error) if !error.is(Errno::ENODEV) => return Err(error.into()),
                _ => {}
            }
        }
    }
    Ok(())
}

/// The route out: through the endpoint of highest priority, the first name among equals.
pub(super) fn default_route(namespace: &Namespace, record: &SandboxRecord) -> Result<(), NetworkError> {
    let gateway = |of: fn(&EndpointRecord) -> Option<IpAddr>| {
        let having = record.endpoints.iter().filter(|endpoint| of(endpoint).is_some());
        having.max_by_key(|endpoint| (endpoint.priority, std::cmp::Reverse(endpoint.network_name.as_str())))
    };
    let mut messages: Vec<Message> = Vec::new();
    for endpoint in
        [gateway(|endpoint| endpoint.gateway4), gateway(|endpoint| endpoint.gateway6)].into_iter().flatten()
    {
        let index = link::find(&namespace.route, &endpoint.interface)?.ok_or(NetworkError::Gone)?.index;
        messages
            .extend(endpoint.gateway4.or(endpoint.gateway6).map(|via| link::add_default_route(index, via)));
    }
    Ok(namespace.route.send(&messages)?)
}

/// The networks of a request with what is wanted in each, the one of its mode first.
fn networks<'a>(
    known: &'a [Definition],
    request: &SandboxRequest,
) -> Result<Vec<(&'a Definition, EndpointSettings)>, NetworkError> {
    let main = match request.mode.as_str() {
        "" | "default" => "bridge",
        other => other,
    };
    let main = find(known, main)?;
    let mut wanted: Vec<(&Definition, EndpointSettings)> = Vec::new();
    for (name, settings) in &request.endpoints {
        let network = find(known, if name == "default" { "bridge" } else { name })?;
        wanted.push((network, settings.clone()));
    }
    // A container that was taken out of its first network stays out of it.
    if wanted.is_empty() {
        wanted.push((main, EndpointSettings::default()));
    }
    wanted.sort_by_key(|(network, _)| (network.id != main.id, network.name.clone()));
    let alone = |driver| wanted.len() > 1 && wanted.iter().any(|(network, _)| network.driver == driver);
    if alone(Driver::Host) || alone(Driver::Null) {
        return Err(NetworkError::NotTogether);
    }
    Ok(wanted)
}

/// The network of that name, ID or prefix of an ID.
pub(super) fn find<'a>(known: &'a [Definition], name: &str) -> Result<&'a Definition, NetworkError> {
    let exact = known.iter().find(|network| network.name == name || network.id == name);
    let by_prefix = || {
        let mut matching = known.iter().filter(|network| network.id.starts_with(name));
        let first = matching.next()?;
        (matching.next().is_none() && !name.is_empty()).then_some(first)
    };
    exact.or_else(by_prefix).ok_or_else(|| NetworkError::NotFound(name.to_owned()))
}

/// Every address that is taken in a network.
pub(super) fn taken<'a>(
    records: impl Iterator<Item = &'a SandboxRecord>,
    network: &'a str,
) -> BTreeSet<IpAddr> {
    records.flat_map(|record| record.addresses(network)).collect()
}

/// The addresses that published ports lead to: those of the first endpoint that the outside can reach.
fn reachable(record: &SandboxRecord, _bridge: &str) -> Option<Inside> {
    let endpoint = record
        .endpoints
        .iter()
        .find(|endpoint| endpoint.gateway4.is_some() || endpoint.gateway6.is_some())?;
    Some(Inside { v4: endpoint.ipv4.map(|net| net.addr()), v6: endpoint.ipv6.map(|net| net.addr()) })
}
