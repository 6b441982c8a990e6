//! What can go wrong with a network.

use dhow_linux::file::PathError;
use dhow_proto::error::Kind;

use super::address::AddressError;
use super::bridge::BridgeError;
use super::definition::DocumentError;
use super::namespace::NamespaceError;
use super::netlink::NetlinkError;
use super::publish::PublishError;
use crate::error::Failure;

/// A network operation that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetworkError {
    /// No such network.
    #[error("network {0} not found")]
    NotFound(String),
    /// `container:ID` of one that has no network.
    #[error("cannot join network of a non running container: {0}")]
    NotRunning(String),
    /// Released or removed meanwhile.
    #[error("the network of the container was taken away meanwhile")]
    Gone,
    /// `host` or `none` beside another network.
    #[error("container cannot be connected to host or none network and to another one")]
    NotTogether,
    /// Something that the request says cannot be.
    #[error("{0}")]
    Invalid(String),
    /// What is asked is not possible in the state of things.
    #[error("{0}")]
    Refused(String),
    /// There is one of that name.
    #[error("network with name {0} already exists")]
    Exists(String),
    /// An address asked for in `bridge`.
    #[error("user specified IP address is supported on user defined networks only")]
    StaticOnDefault,
    /// An address asked for in a network without subnets of that family.
    #[error(
        "user specified IP address is supported only when connecting to networks with user configured subnets"
    )]
    NoStaticAddress,
    /// Not an address.
    #[error("invalid IP address: {0:?}")]
    Address(String),
    /// Not a hardware address.
    #[error("invalid MAC address: {0:?}")]
    Mac(String),
    /// No address or subnet to give.
    #[error(transparent)]
    Allocate(#[from] AddressError),
    /// A port that cannot be published.
    #[error("driver failed programming external connectivity on endpoint {container} ({endpoint})")]
    Publish {
        /// Name of the container.
        container: String,
        /// ID of the endpoint.
        endpoint: String,
        /// What is wrong with the port.
        source: PublishError,
    },
    /// A port that makes no sense.
    #[error(transparent)]
    Port(#[from] PublishError),
    /// The kernel.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// The kernel or the disk refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KernelError {
    /// A namespace.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// A bridge.
    #[error(transparent)]
    Bridge(#[from] BridgeError),
    /// A link, address, route or rule.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// A record.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A file.
    #[error(transparent)]
    Path(#[from] PathError),
}

macro_rules! through_kernel {
    ($($error:ty),*) => {
        $(impl From<$error> for NetworkError {
            fn from(error: $error) -> Self {
                Self::Kernel(error.into())
            }
        })*
    };
}
through_kernel!(NamespaceError, BridgeError, NetlinkError, DocumentError, PathError);

impl Failure for NetworkError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) => Kind::NotFound,
            Self::NotRunning(_) | Self::Exists(_) => Kind::AlreadyExists,
            Self::NotTogether
            | Self::Invalid(_)
            | Self::StaticOnDefault
            | Self::NoStaticAddress
            | Self::Address(_)
            | Self::Mac(_)
            | Self::Port(_) => Kind::InvalidArgument,
            Self::Refused(_) => Kind::PermissionDenied,
            Self::Allocate(_) | Self::Publish { .. } | Self::Gone | Self::Kernel(_) => Kind::Internal,
        }
    }
}
