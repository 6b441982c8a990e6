//! Namespaces: which ones a container gets, joins or shares with the host.

use std::path::PathBuf;

use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType};

/// Where one namespace of a container comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Join {
    /// A new one.
    Private,
    /// The host's.
    Host,
    /// One that exists.
    Path(PathBuf),
}

/// A namespace mode of a `HostConfig`: `IpcMode`, `PidMode`, `UTSMode`, `CgroupnsMode` or `NetworkMode`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nothing said.
    Default,
    /// `private`.
    Private,
    /// `shareable`: private, and others may join it.
    Shareable,
    /// `host`.
    Host,
    /// `none`.
    None,
    /// `container:NAME`.
    Container(String),
    /// Any other word: a network's name, or a mistake.
    Other(String),
}

impl Mode {
    /// Reads a mode.
    pub(crate) fn parse(text: &str) -> Self {
        match text {
            "" | "default" => Self::Default,
            "private" => Self::Private,
            "shareable" => Self::Shareable,
            "host" => Self::Host,
            "none" => Self::None,
            _ => match text.strip_prefix("container:") {
                Some(name) => Self::Container(name.to_owned()),
                None => Self::Other(text.to_owned()),
            },
        }
    }
}

/// The namespaces of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Namespaces {
    /// Network.
    pub(crate) network: Join,
    /// Whether the network namespace was made for this container, and its sysctls are its own.
    pub(crate) own_network: bool,
    /// System V IPC and POSIX message queues.
    pub(crate) ipc: Join,
    /// Processes.
    pub(crate) pid: Join,
    /// Host name.
    pub(crate) uts: Join,
    /// View of the cgroup tree.
    pub(crate) cgroup: Join,
}

impl Namespaces {
    /// Everything private and the cgroup tree shared: what most containers have on cgroup v1.
    pub(crate) fn private(network: Join) -> Self {
        let own_network = network != Join::Host;
        let (ipc, pid, uts, cgroup) = (Join::Private, Join::Private, Join::Private, Join::Host);
        Self { network, own_network, ipc, pid, uts, cgroup }
    }

    pub(super) fn list(&self) -> Vec<LinuxNamespace> {
        let joins = [
            (LinuxNamespaceType::Mount, &Join::Private),
            (LinuxNamespaceType::Network, &self.network),
            (LinuxNamespaceType::Uts, &self.uts),
            (LinuxNamespaceType::Pid, &self.pid),
            (LinuxNamespaceType::Ipc, &self.ipc),
            (LinuxNamespaceType::Cgroup, &self.cgroup),
        ];
        joins.into_iter().filter_map(|(kind, join)| entry(kind, join)).collect()
    }
}

fn entry(kind: LinuxNamespaceType, join: &Join) -> Option<LinuxNamespace> {
    let path = match join {
        Join::Host => return None,
        Join::Private => None,
        Join::Path(path) => Some(path.clone()),
    };
    let mut namespace = LinuxNamespace::default();
    namespace.set_typ(kind).set_path(path);
    Some(namespace)
}
