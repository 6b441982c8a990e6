//! What surrounds a container while it runs: its namespaces, its network, its mounts, its files under `/etc`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use dhow_engine_api::container::NetworkSettings;
use dhow_engine_api::endpoint::EndpointSettings;
use dhow_linux::file::PathError;
use dhow_proto::error::Kind;

use super::failure::StateError;
use super::record::Record;
use super::spec::mount::MountPlan;
use super::spec::namespace::Mode;
use super::spec::{Join, Namespaces};
use super::state::Container;
use super::store::LookupError;
use crate::daemon::Daemon;
use crate::error::Failure;
use crate::network::{NetworkError, Sandbox, SandboxRequest, files};
use crate::undo::Undo;
use crate::volume::{VolumeError, plan};

/// Why it cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SurroundingsError {
    #[error("join a namespace")]
    Lookup(#[from] LookupError),
    #[error("join a namespace")]
    State(#[from] StateError),
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(transparent)]
    Volume(#[from] VolumeError),
    #[error("write the container's files")]
    File(#[from] PathError),
}

impl Failure for SurroundingsError {
    fn kind(&self) -> Kind {
        match self {
            Self::Lookup(error) => error.kind(),
            Self::State(error) => error.kind(),
            Self::Network(error) => error.kind(),
            Self::Volume(error) => error.kind(),
            Self::File(_) => Kind::Internal,
        }
    }
}

/// What a spec needs to know of them.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) namespaces: Namespaces,
    pub(crate) mounts: Vec<MountPlan>,
}

/// Prepares them for a start.
pub(crate) async fn prepare(
    daemon: &Arc<Daemon>,
    container: &Arc<Container>,
    record: &Record,
    undo: &mut Undo,
) -> Result<Surroundings, SurroundingsError> {
    let (mut request, folder) = (request(record), container.folder.clone());
    let shared = match Mode::parse(&record.host.network_mode) {
        Mode::Container(name) => Some(daemon.containers.find(&name)?),
        _ => None,
    };
    if let Some(other) = &shared {
        request.mode = format!("container:{}", other.id);
    }
    let sandbox = daemon.networks.allocate(request).await?;
    undo.push(give_back(Arc::clone(daemon), Arc::clone(container)));
    tell(daemon, container, &sandbox, "connect");
    let (network, own_network) = match &sandbox.netns {
        Some(path) => (Join::Path(path.clone()), sandbox.own),
        None => (Join::Host, false),
    };
    let host = &record.host;
    let namespaces = Namespaces {
        network,
        own_network,
        ipc: of_mode(daemon, &host.ipc_mode, "ipc")?,
        pid: of_mode(daemon, &host.pid_mode, "pid")?,
        uts: of_mode(daemon, &host.uts_mode, "uts")?,
        cgroup: of_mode(daemon, &host.cgroupns_mode, "cgroup")?,
    };
    let mut mounts = mounts(daemon, record)?;
    match &shared {
        // In one network, and so under one name: the files are the other's.
        Some(other) => mounts.extend(files::mounts(&other.folder, host, &mounts)),
        None => {
            files::write(&folder, &record.config, host, &sandbox)?;
            mounts.extend(files::mounts(&folder, host, &mounts));
        }
    }
    Ok(Surroundings { namespaces, mounts })
}

/// The mounts of its volumes and binds; devices of volumes are mounted.
fn mounts(daemon: &Daemon, record: &Record) -> Result<Vec<MountPlan>, VolumeError> {
    for point in record.mounts.iter().filter(|point| point.kind == "volume") {
        daemon.volumes.activate(&point.name)?;
    }
    plan::plans(&record.host, &record.mounts)
}

/// What a container asks of the network.
pub(crate) fn request(record: &Record) -> SandboxRequest {
    let asked = record.networking.endpoints_config.iter().flatten();
    let endpoints = asked.map(|(network, settings)| (network.clone(), settings.clone().unwrap_or_default()));
    SandboxRequest::new(&record.id, &record.name, &record.config, &record.host, endpoints.collect())
}

/// Tells that a container joined or left its networks.
fn tell(daemon: &Daemon, container: &Container, sandbox: &Sandbox, action: &str) {
    for (name, endpoint) in &sandbox.endpoints {
        let kind = match name.as_str() {
            "host" => "host",
            "none" => "null",
            _ => "bridge",
        };
        let attributes = [("container", container.id.as_str()), ("name", name), ("type", kind)];
        let attributes = attributes.map(|(key, value)| (key.to_owned(), value.to_owned()));
        daemon.events.publish("network", action, &endpoint.network_id, attributes.into());
    }
}

fn of_mode(daemon: &Daemon, mode: &str, kind: &'static str) -> Result<Join, SurroundingsError> {
    match Mode::parse(mode) {
        Mode::Host => Ok(Join::Host),
        Mode::Container(name) => join(daemon, &name, kind),
        _ => Ok(Join::Private),
    }
}

/// The namespace of another container, which must run.
fn join(daemon: &Daemon, name: &str, kind: &str) -> Result<Join, SurroundingsError> {
    let other = daemon.containers.find(name)?;
    let pid = other.state().phase.pid();
    let pid = pid.ok_or_else(|| StateError::NotRunning(other.id.clone()))?;
    Ok(Join::Path(PathBuf::from(format!("/proc/{pid}/ns/{kind}"))))
}

async fn give_back(daemon: Arc<Daemon>, container: Arc<Container>) {
    release(&daemon, &container).await;
}

/// Gives back what a run needed.
pub(crate) async fn release(daemon: &Arc<Daemon>, container: &Arc<Container>) {
    let sandbox = daemon.networks.sandbox(&container.id);
    if let Err(error) = daemon.networks.release(&container.id).await {
        tracing::warn!(container = %container.id, error = %dhow_proto::error::chain(&error), "network not released");
    }
    if let Some(sandbox) = sandbox {
        tell(daemon, container, &sandbox, "disconnect");
    }
}

/// Where a container is reached.
pub(crate) fn network_settings(daemon: &Daemon, container: &Container) -> NetworkSettings {
    let Some(sandbox) = daemon.networks.sandbox(&container.id) else {
        return unreachable(&container.record());
    };
    let bridge = sandbox.endpoints.get("bridge").cloned().unwrap_or_default();
    NetworkSettings {
        sandbox_id: sandbox.id,
        sandbox_key: sandbox.netns.map(|path| path.display().to_string()).unwrap_or_default(),
        ports: Some(sandbox.ports),
        endpoint_id: bridge.endpoint_id,
        gateway: bridge.gateway,
        global_ipv6_address: bridge.global_ipv6_address,
        global_ipv6_prefix_len: bridge.global_ipv6_prefix_len,
        ip_address: bridge.ip_address,
        ip_prefix_len: bridge.ip_prefix_len,
        ipv6_gateway: bridge.ipv6_gateway,
        mac_address: bridge.mac_address,
        networks: sandbox.endpoints,
        ..NetworkSettings::default()
    }
}

/// Where a container that does not run is reached: nowhere, but its networks are known.
fn unreachable(record: &Record) -> NetworkSettings {
    let asked = record.networking.endpoints_config.iter().flatten();
    let mut networks: BTreeMap<String, EndpointSettings> =
        asked.map(|(name, settings)| (name.clone(), settings.clone().unwrap_or_default())).collect();
    if networks.is_empty() {
        let name = match Mode::parse(&record.host.network_mode) {
            Mode::Container(_) => None,
            Mode::Default => Some("bridge".to_owned()),
            _ => Some(record.host.network_mode.clone()),
        };
        networks.extend(name.map(|name| (name, EndpointSettings::default())));
    }
    NetworkSettings { ports: Some(BTreeMap::new()), networks, ..NetworkSettings::default() }
}
