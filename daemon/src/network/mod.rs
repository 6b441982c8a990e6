//! Networks: which there are, and the sandbox of each container.
//!
//! ```text
//! definition  networks on disk            sandbox    one container's network, from request to release
//! record      sandboxes on /run           endpoint   its place in one network
//! create      a request, checked           connect    endpoints of running containers
//! bridge      the host's interfaces       pool       namespaces made ahead       namespace  made, pinned, entered
//! firewall    our table of nf_tables      publish    ports held                  proxy      passed on by hand
//! address     subnets and addresses       link, netlink   the kernel's messages
//! ```
//! Owns: every interface, rule and namespace of this daemon. Does not own: the processes in a namespace; the core asks
//! for a sandbox before a container starts and gives it back when it ended. Containers keep their network while no
//! daemon runs: nothing on a packet's way is in this process, but for what [`proxy`] names.
//!
//! Links and rules are changed by netlink messages of our own in blocking calls, a batch each; [`Networks`] moves them
//! off the asynchronous threads.

mod address;
mod bridge;
mod connect;
mod create;
pub(crate) mod definition;
mod dns;
mod document;
mod endpoint;
mod error;
pub(crate) mod files;
mod firewall;
mod link;
pub(crate) mod manage;
mod namespace;
mod netlink;
mod pool;
mod proxy;
mod publish;
mod record;
mod recovery;
mod sandbox;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use tokio::runtime::Handle;

use self::address::first_host;
use self::definition::{Definition, Definitions, Driver, Pool as SubnetPool};
use self::dns::Resolver;
pub(crate) use self::error::NetworkError;
use self::firewall::Firewall;
use self::pool::Pool;
use self::proxy::Proxy;
use self::publish::Held;
use self::record::{Records, SandboxRecord};
pub(crate) use self::sandbox::{Sandbox, SandboxRequest};

/// Where networks live, and what the command line says of them.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Folder of the definitions.
    pub(crate) data: PathBuf,
    /// Folder of what ends with the boot.
    pub(crate) state: PathBuf,
    /// Interface of the default bridge; `none` for no default bridge.
    pub(crate) bridge: String,
    /// Address and prefix of the default bridge.
    pub(crate) bip: Option<IpNet>,
}

type Sandboxes = HashMap<String, SandboxRecord>;

#[derive(Debug, Default)]
struct State {
    networks: Vec<Definition>,
    sandboxes: Sandboxes,
    /// Sandboxes whose containers ended, until their links are gone.
    leaving: Sandboxes,
}

impl State {
    /// Every sandbox that holds addresses.
    fn holding(&self) -> impl Iterator<Item = &SandboxRecord> {
        self.sandboxes.values().chain(self.leaving.values())
    }

    fn by_id(&self, id: &str) -> Result<&Definition, NetworkError> {
        self.networks
            .iter()
            .find(|network| network.id == id)
            .ok_or_else(|| NetworkError::NotFound(id.to_owned()))
    }
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    definitions: Definitions,
    records: Records,
    firewall: Firewall,
    pool: Pool,
    runtime: Handle,
    state: Arc<Mutex<State>>,
    /// Told whenever a sandbox has left for good.
    left: Condvar,
    resolvers: Mutex<HashMap<String, Resolver>>,
    /// Bridges that are there and that the rules know, by network: their interfaces' indexes.
    active: Mutex<BTreeMap<String, u32>>,
    served: Mutex<HashMap<String, Vec<Proxy>>>,
}

/// The networks of this daemon. A clone is the same networks.
#[derive(Debug, Clone)]
pub(crate) struct Networks(Arc<Inner>);

impl Networks {
    /// Reads the definitions and records; makes nothing yet. Must be called on a runtime.
    ///
    /// # Errors
    /// When a folder or document cannot be read or written.
    pub(crate) fn open(settings: Settings) -> Result<Self, NetworkError> {
        dhow_linux::file::make_folder(&settings.data, 0o700)?;
        dhow_linux::file::make_folder(&settings.state.join("netns"), 0o711)?;
        let definitions = Definitions::new(&settings.data);
        let records = Records::open(settings.state.join("network"))?;
        let mut networks = definitions.load()?;
        if predefine(&mut networks, &settings)? {
            definitions.save(&networks)?;
        }
        let sandboxes =
            records.load()?.into_iter().map(|record| (record.container.clone(), record)).collect();
        let inner = Inner {
            firewall: Firewall::new(&settings.bridge),
            definitions,
            records,
            pool: Pool::start()?,
            runtime: Handle::current(),
            state: Arc::new(Mutex::new(State { networks, sandboxes, leaving: Sandboxes::new() })),
            left: Condvar::new(),
            resolvers: Mutex::default(),
            active: Mutex::default(),
            served: Mutex::default(),
            settings,
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Gives a container its network: at each start.
    ///
    /// # Errors
    /// When a network is missing, no address or port is free, or the kernel refuses; nothing is left behind then.
    pub(crate) async fn allocate(&self, request: SandboxRequest) -> Result<Sandbox, NetworkError> {
        self.blocking(move |inner| inner.allocate(&request)).await
    }

    /// Takes a container's network away: at each end. It is no error when it has none. Its links go on being removed
    /// when this returns; its addresses are given to nobody else before that is done.
    ///
    /// # Errors
    /// When the kernel refuses; calling again goes on where it stopped.
    pub(crate) async fn release(&self, container: &str) -> Result<(), NetworkError> {
        let container = container.to_owned();
        let Some(record) = self.blocking(move |inner| inner.leave_all(&container)).await? else {
            return Ok(());
        };
        let inner = Arc::clone(&self.0);
        drop(tokio::task::spawn_blocking(move || {
            if let Err(error) = inner.finish(&record) {
                let error = dhow_proto::error::chain(&error);
                tracing::warn!(
                    container = record.container,
                    error,
                    "links of a container that ended stay behind"
                );
            }
        }));
        Ok(())
    }

    /// What a running container has.
    pub(crate) fn sandbox(&self, container: &str) -> Option<Sandbox> {
        self.0.sandbox(container)
    }

    /// After a start: takes up the networks of the containers that run, and sweeps what others left.
    ///
    /// # Errors
    /// When the kernel refuses what containers that run need.
    pub(crate) async fn recover(&self, running: HashSet<String>) -> Result<(), NetworkError> {
        self.blocking(move |inner| inner.recover(&running)).await
    }

    /// Before the end: with no container left, bridges and rules go too; they come back when they are needed.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) async fn close(&self) -> Result<(), NetworkError> {
        self.blocking(Inner::close).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, NetworkError> + Send + 'static,
    ) -> Result<T, NetworkError> {
        let inner = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || work(&inner)).await;
        done.unwrap_or_else(|_| Err(NetworkError::Gone))
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn netns_path(&self, container: &str) -> PathBuf {
        self.settings.state.join("netns").join(crate::identifier::short(container))
    }

    /// Makes sure that a network's bridge and rules are there: the bridge's index.
    fn activate(&self, network: &Definition) -> Result<u32, NetworkError> {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = active.get(&network.id) {
            return Ok(*index);
        }
        let index = bridge::ensure(network)?;
        active.insert(network.id.clone(), index);
        if let Err(error) = self.program(&active) {
            active.remove(&network.id);
            return Err(error);
        }
        Ok(index)
    }

    /// Forgets that a network's bridge is there.
    fn deactivate(&self, network: &str) {
        self.active.lock().unwrap_or_else(PoisonError::into_inner).remove(network);
    }

    /// Writes the rules for the bridges that are there, and every published port.
    fn program(&self, active: &BTreeMap<String, u32>) -> Result<(), NetworkError> {
        let (bridges, publications) = {
            let state = self.state();
            let there = state.networks.iter().filter(|network| active.contains_key(&network.id));
            let bridges: Vec<_> = there.map(bridge::policy).collect();
            let ports = state.sandboxes.values().flat_map(|record| &record.ports);
            (bridges, ports.map(|port| port.publication()).collect::<Vec<_>>())
        };
        Ok(self.firewall.replace(&bridges, &publications)?)
    }

    fn serve_ports(&self, container: &str, held: Vec<Held>) {
        if held.is_empty() {
            return;
        }
        let proxies = held.into_iter().map(|held| Proxy::start(held, &self.runtime)).collect();
        self.served.lock().unwrap_or_else(PoisonError::into_inner).insert(container.to_owned(), proxies);
    }

    fn stop_serving(&self, container: &str) {
        drop(self.served.lock().unwrap_or_else(PoisonError::into_inner).remove(container));
    }

    fn stop_resolving(&self, container: &str) {
        drop(self.resolvers.lock().unwrap_or_else(PoisonError::into_inner).remove(container));
    }

    /// Makes names resolve in a sandbox that is in a user-defined network; it works without, so failures are told.
    fn resolver_for(&self, record: &SandboxRecord) {
        let Some(netns) = &record.netns else { return };
        let mut resolvers = self.resolvers.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = record.endpoints.iter().any(|endpoint| !endpoint.names.is_empty());
        if !wanted || resolvers.contains_key(&record.container) {
            return;
        }
        match Resolver::start(&record.container, netns, Arc::clone(&self.state), &self.runtime) {
            Ok(resolver) => drop(resolvers.insert(record.container.clone(), resolver)),
            Err(error) => {
                let error = dhow_proto::error::chain(&error);
                tracing::warn!(container = record.container, error, "names of containers do not resolve");
            }
        }
    }
}

/// Adds `bridge`, `host` and `none` where they are missing, and follows `--bridge` and `--bip`: whether that changed
/// anything.
fn predefine(networks: &mut Vec<Definition>, settings: &Settings) -> Result<bool, NetworkError> {
    let before = networks.clone();
    for (name, driver) in [("host", Driver::Host), ("none", Driver::Null)] {
        if !networks.iter().any(|network| network.name == name) {
            networks.push(Definition::predefined(name, driver));
        }
    }
    if settings.bridge == "none" {
        networks.retain(|network| !network.is_default_bridge());
    } else {
        default_bridge(networks, settings)?;
    }
    Ok(*networks != before)
}

fn default_bridge(networks: &mut Vec<Definition>, settings: &Settings) -> Result<(), NetworkError> {
    let found = networks.iter().position(Definition::is_default_bridge);
    let mut network = match found {
        Some(index) => networks.remove(index),
        None => Definition::predefined("bridge", Driver::Bridge),
    };
    network.bridge.clone_from(&settings.bridge);
    let options = ["enable_icc", "enable_ip_masquerade", "default_bridge"].map(|name| (name, "true"));
    let options =
        options.into_iter().chain([("host_binding_ipv4", "0.0.0.0"), ("name", settings.bridge.as_str())]);
    network.options = options
        .map(|(name, value)| (format!("{}{name}", definition::BRIDGE_OPTION), value.to_owned()))
        .collect();
    network.options.insert(definition::MTU_OPTION.to_owned(), "1500".to_owned());
    if let Some(bip) = settings.bip {
        let (subnet, gateway) = (bip.trunc(), Some(bip.addr()));
        network.pools = vec![SubnetPool { subnet, range: None, gateway, reserved: BTreeMap::new() }];
    } else if network.pools.is_empty() {
        let mut used = bridge::used_subnets()?;
        used.extend(networks.iter().flat_map(|network| network.pools.iter().map(|pool| pool.subnet)));
        let subnet = IpNet::V4(address::free_pool(&used)?);
        let gateway = Some(first_host(subnet));
        network.pools = vec![SubnetPool { subnet, range: None, gateway, reserved: BTreeMap::new() }];
    }
    networks.insert(0, network);
    Ok(())
}

/// Random bytes, for names that must not meet.
fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // The kernel's source of randomness does not fail once the system is up, which it is when a daemon runs.
    getrandom::fill(&mut bytes).expect("getrandom(2) works");
    bytes
}

/// `bytes` random bytes in hexadecimal digits.
fn random_hex(bytes: usize) -> String {
    let mut text = String::new();
    while text.len() < bytes * 2 {
        text.push_str(&hex::encode(random_bytes::<4>()));
    }
    text.truncate(bytes * 2);
    text
}
