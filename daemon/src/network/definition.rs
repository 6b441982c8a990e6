//! Networks as they are defined: one document, `networks.json`, that outlives the boot.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use dhow_linux::file::{self, Durability, PathError};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::address::{Subnet, first_host};

const VERSION: u32 = 1;
const LIMIT: u64 = 16 << 20;
const FILE: &str = "networks.json";

/// Prefix of the driver options of bridges.
pub(super) const BRIDGE_OPTION: &str = "com.docker.network.bridge.";
/// Driver option of the MTU.
pub(super) const MTU_OPTION: &str = "com.docker.network.driver.mtu";

/// What makes a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Driver {
    /// A bridge of the host.
    Bridge,
    /// The host's own network.
    Host,
    /// Only a loopback.
    Null,
}

impl Driver {
    /// Its name in the API.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Host => "host",
            Self::Null => "null",
        }
    }
}

/// A subnet as it was defined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pool {
    /// All of it.
    pub(crate) subnet: IpNet,
    /// The part that addresses are given out of; all of it when absent.
    pub(crate) range: Option<IpNet>,
    /// The bridge's address.
    pub(crate) gateway: Option<IpAddr>,
    /// Addresses that something else has.
    pub(crate) reserved: BTreeMap<String, IpAddr>,
}

impl Pool {
    pub(super) fn subnet(&self) -> Subnet {
        let gateway = self.gateway.unwrap_or_else(|| first_host(self.subnet));
        Subnet { net: self.subnet, range: self.range.unwrap_or(self.subnet), gateway }
    }
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Definition {
    /// 64 hexadecimal digits.
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
    /// When it was made.
    pub(crate) created: String,
    /// What makes it.
    pub(crate) driver: Driver,
    /// Nothing gets in or out.
    pub(crate) internal: bool,
    /// What the client said: of meaning to swarms only.
    pub(crate) attachable: bool,
    /// Its containers have IPv4 addresses.
    pub(crate) ipv4: bool,
    /// Its containers have IPv6 addresses.
    pub(crate) ipv6: bool,
    /// Its subnets, at most one of each family.
    pub(crate) pools: Vec<Pool>,
    /// Options of the address driver, as the client gave them.
    pub(crate) ipam_options: Option<BTreeMap<String, String>>,
    /// Options of the driver.
    pub(crate) options: BTreeMap<String, String>,
    /// Labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// Interface of its bridge.
    pub(crate) bridge: String,
    /// `bridge`, `host` or `none`: cannot be removed.
    pub(crate) predefined: bool,
}

impl Definition {
    /// A network that is there from the start.
    pub(super) fn predefined(name: &str, driver: Driver) -> Self {
        Self {
            id: super::random_hex(32),
            name: name.to_owned(),
            created: crate::time::now(),
            driver,
            internal: false,
            attachable: false,
            ipv4: true,
            ipv6: false,
            pools: Vec::new(),
            ipam_options: None,
            options: BTreeMap::new(),
            labels: BTreeMap::new(),
            bridge: String::new(),
            predefined: true,
        }
    }

    /// Whether this is `bridge`: no DNS, no aliases.
    pub(crate) fn is_default_bridge(&self) -> bool {
        self.predefined && self.driver == Driver::Bridge
    }

    /// Largest packet of its links.
    pub(super) fn mtu(&self) -> u32 {
        const ETHERNET: u32 = 1500;
        self.options
            .get(MTU_OPTION)
            .and_then(|text| text.parse().ok())
            .filter(|mtu| *mtu > 0)
            .unwrap_or(ETHERNET)
    }

    /// A boolean option of its bridge.
    pub(super) fn flag(&self, option: &str, default: bool) -> bool {
        let text = self.options.get(&format!("{BRIDGE_OPTION}{option}"));
        text.map_or(default, |text| matches!(text.as_str(), "true" | "1" | "t" | "T" | "TRUE" | "True"))
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    version: u32,
    networks: Vec<Definition>,
}

/// The folder that holds the definitions.
#[derive(Debug)]
pub(super) struct Definitions(PathBuf);

impl Definitions {
    pub(super) fn new(folder: &Path) -> Self {
        Self(folder.join(FILE))
    }

    /// Reads the networks; none when there is no document yet.
    pub(super) fn load(&self) -> Result<Vec<Definition>, DocumentError> {
        let bytes = match file::read_limited(&self.0, LIMIT) {
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            bytes => bytes?,
        };
        parse(&bytes).map_err(|source| DocumentError::Parse { path: self.0.clone(), source })
    }

    /// Writes the networks.
    pub(super) fn save(&self, networks: &[Definition]) -> Result<(), DocumentError> {
        let document = Document { version: VERSION, networks: networks.to_vec() };
        let bytes = serde_json::to_vec_pretty(&document)
            .map_err(|source| DocumentError::Parse { path: self.0.clone(), source })?;
        Ok(file::replace(&self.0, &bytes, 0o600, Durability::Disk)?)
    }
}

fn parse(bytes: &[u8]) -> Result<Vec<Definition>, serde_json::Error> {
    let document: Document = serde_json::from_slice(bytes)?;
    if document.version > VERSION {
        return Err(serde::de::Error::custom(format!("version {} is of a newer daemon", document.version)));
    }
    Ok(document.networks)
}

/// A document that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DocumentError {
    /// The file.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Its text.
    #[error("read document {path}")]
    Parse {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_survive_and_newer_ones_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let definitions = Definitions::new(folder.path());
        assert!(definitions.load().expect("none yet").is_empty());
        let host = Definition::predefined("host", Driver::Host);
        definitions.save(std::slice::from_ref(&host)).expect("saves");
        assert_eq!(definitions.load().expect("loads"), [host]);
        assert!(parse(br#"{"version":2,"networks":[]}"#).is_err());
    }
}
