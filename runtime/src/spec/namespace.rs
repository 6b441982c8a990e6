//! Namespaces as the spec, `/proc/PID/ns` and clone flags call them.

use dhow_linux::clone::NamespaceFlags;
use serde::{Deserialize, Serialize};

/// One entry of `linux.namespaces`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Namespace {
    /// Which.
    #[serde(rename = "type")]
    pub(crate) kind: NamespaceKind,
    /// The namespace to join; empty for a new one.
    #[serde(default, deserialize_with = "super::nullable", skip_serializing_if = "String::is_empty")]
    pub(crate) path: String,
}

/// The kinds of namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NamespaceKind {
    /// User and group IDs, capabilities.
    User,
    /// System V IPC and POSIX queues.
    Ipc,
    /// Host and domain name.
    Uts,
    /// Interfaces, routes, firewall.
    Network,
    /// Processes.
    Pid,
    /// Mounts.
    Mount,
    /// The visible root of the cgroup tree.
    Cgroup,
    /// Boot and monotonic clocks.
    Time,
}

impl NamespaceKind {
    /// All, in the order in which they are joined: the user namespace first, since it gives the right to the others.
    pub(crate) const ALL: [Self; 8] =
        [Self::User, Self::Ipc, Self::Uts, Self::Network, Self::Pid, Self::Mount, Self::Cgroup, Self::Time];

    /// The clone flag.
    pub(crate) const fn flag(self) -> NamespaceFlags {
        match self {
            Self::User => NamespaceFlags::USER,
            Self::Ipc => NamespaceFlags::IPC,
            Self::Uts => NamespaceFlags::UTS,
            Self::Network => NamespaceFlags::NETWORK,
            Self::Pid => NamespaceFlags::PID,
            Self::Mount => NamespaceFlags::MOUNT,
            Self::Cgroup => NamespaceFlags::CGROUP,
            Self::Time => NamespaceFlags::TIME,
        }
    }

    /// The name in the spec.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::Network => "network",
            Self::Pid => "pid",
            Self::Mount => "mount",
            Self::Cgroup => "cgroup",
            Self::Time => "time",
        }
    }
}
