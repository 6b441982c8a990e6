//! Records of sandboxes: what one container has of the network, one document each, gone with the boot.
//!
//! `<exec-root>/network/CONTAINER.json` is written before the kernel is asked for anything, so that whatever a killed
//! daemon left half-made is named by a record, and the addresses in records are all the addresses that are taken.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use dhow_linux::file::{self, Durability, PathError};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::definition::DocumentError;
use super::firewall::{Protocol, Publication};

const VERSION: u32 = 1;
const LIMIT: u64 = 1 << 20;

/// A published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PortRecord {
    /// Protocol of both ends.
    pub(crate) protocol: Protocol,
    /// Where on the host.
    pub(crate) host: SocketAddr,
    /// The container.
    pub(crate) container: SocketAddr,
}

impl PortRecord {
    pub(super) fn publication(&self) -> Publication {
        Publication { protocol: self.protocol, host: self.host, container: self.container }
    }
}

/// A container's place in one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EndpointRecord {
    /// The network.
    pub(crate) network: String,
    /// The network's name when the container joined.
    pub(crate) network_name: String,
    /// 64 hexadecimal digits.
    pub(crate) id: String,
    /// Interface inside.
    pub(crate) interface: String,
    /// Interface out here.
    pub(crate) host_interface: String,
    /// IPv4 address.
    pub(crate) ipv4: Option<IpNet>,
    /// IPv6 address.
    pub(crate) ipv6: Option<IpNet>,
    /// IPv4 gateway; none in an internal network.
    pub(crate) gateway4: Option<IpAddr>,
    /// IPv6 gateway.
    pub(crate) gateway6: Option<IpAddr>,
    /// Hardware address.
    pub(crate) mac: String,
    /// Other names in this network, as they were asked for.
    pub(crate) aliases: Vec<String>,
    /// Every name that resolves to it.
    pub(crate) names: Vec<String>,
    /// Links (`container:alias`).
    pub(crate) links: Vec<String>,
    /// Options of the driver, as they were asked for.
    pub(crate) driver_opts: BTreeMap<String, String>,
    /// Which endpoint gives the default route.
    pub(crate) priority: i64,
}

/// A container's network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SandboxRecord {
    version: u32,
    /// The container.
    pub(crate) container: String,
    /// The container's name when it started.
    pub(crate) name: String,
    /// 64 hexadecimal digits.
    pub(crate) id: String,
    /// Where its namespace is pinned; none in the host's.
    pub(crate) netns: Option<PathBuf>,
    /// Its endpoints, in order of its interfaces.
    pub(crate) endpoints: Vec<EndpointRecord>,
    /// Its published ports.
    pub(crate) ports: Vec<PortRecord>,
    /// Ports that it exposes without publishing them, as `80/tcp`.
    pub(crate) exposed: Vec<String>,
    /// Name servers that its resolver asks.
    pub(crate) upstream: Vec<IpAddr>,
}

impl SandboxRecord {
    pub(super) fn new(container: &str, name: &str, netns: Option<PathBuf>) -> Self {
        Self {
            version: VERSION,
            container: container.to_owned(),
            name: name.to_owned(),
            id: super::random_hex(32),
            netns,
            endpoints: Vec::new(),
            ports: Vec::new(),
            exposed: Vec::new(),
            upstream: Vec::new(),
        }
    }

    /// Every address that it holds in a network.
    pub(super) fn addresses<'a>(&'a self, network: &'a str) -> impl Iterator<Item = IpAddr> + 'a {
        let endpoints = self.endpoints.iter().filter(move |endpoint| endpoint.network == network);
        endpoints.flat_map(|endpoint| [endpoint.ipv4, endpoint.ipv6]).flatten().map(|net| net.addr())
    }
}

/// The folder of records.
#[derive(Debug)]
pub(super) struct Records(PathBuf);

impl Records {
    pub(super) fn open(folder: PathBuf) -> Result<Self, PathError> {
        file::make_folder(&folder, 0o700)?;
        Ok(Self(folder))
    }

    pub(super) fn save(&self, record: &SandboxRecord) -> Result<(), DocumentError> {
        let path = self.path(&record.container);
        let bytes = serde_json::to_vec(record)
            .map_err(|source| DocumentError::Parse { path: path.clone(), source })?;
        Ok(file::replace(&path, &bytes, 0o600, Durability::Process)?)
    }

    pub(super) fn remove(&self, container: &str) -> Result<(), PathError> {
        let path = self.path(container);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(PathError::at("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Every record that can be read; one that cannot is logged and removed, since nothing can be done with it.
    pub(super) fn load(&self) -> Result<Vec<SandboxRecord>, PathError> {
        let folder = std::fs::read_dir(&self.0).map_err(PathError::at("list", &self.0))?;
        let paths = folder.flatten().map(|entry| entry.path());
        Ok(paths.filter_map(|path| read(&path)).collect())
    }

    fn path(&self, container: &str) -> PathBuf {
        self.0.join(format!("{container}.json"))
    }
}

fn read(path: &Path) -> Option<SandboxRecord> {
    if path.extension().is_none_or(|extension| extension != "json") {
        return None;
    }
    let parsed = file::read_limited(path, LIMIT)
        .map_err(|error| dhow_proto::error::chain(&error))
        .and_then(|bytes| serde_json::from_slice::<SandboxRecord>(&bytes).map_err(|error| error.to_string()));
    match parsed {
        Ok(record) if record.version <= VERSION => Some(record),
        Ok(_) => None,
        Err(error) => {
            tracing::warn!(path = %path.display(), error, "a record of a sandbox cannot be read; removed");
            drop(std::fs::remove_file(path));
            None
        }
    }
}
