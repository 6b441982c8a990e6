//! The supervisor as the daemon sees it: one channel that outlives the supervisor's process, and its services.
//!
//! Owns: the channel, the namespace in every request, and (in [`keep`]) the supervisor's process when nobody else runs
//! it. Does not own: what is asked. A request made while the supervisor is away fails with `Unavailable`; the channel
//! connects again by itself.

pub(crate) mod keep;
mod traced;

use std::path::{Path, PathBuf};
use std::time::Duration;

use dhow_proto::connect::{self, MESSAGE_LIMIT};
use dhow_proto::containerd::services::containers::v1::containers_client::ContainersClient;
use dhow_proto::containerd::services::events::v1::events_client::EventsClient;
use dhow_proto::containerd::services::snapshots::v1::snapshots_client::SnapshotsClient;
use dhow_proto::containerd::services::tasks::v1::tasks_client::TasksClient;
use dhow_proto::containerd::services::version::v1::version_client::VersionClient;
use dhow_proto::namespace::GRPC_HEADER;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Status};

use self::traced::Traced;

/// A channel that names the namespace in every request.
pub(crate) type Link = InterceptedService<Traced, InNamespace>;

/// Puts the namespace into a request.
#[derive(Debug, Clone)]
pub(crate) struct InNamespace(MetadataValue<Ascii>);

impl tonic::service::Interceptor for InNamespace {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert(GRPC_HEADER, self.0.clone());
        Ok(request)
    }
}

/// The supervisor.
#[derive(Debug, Clone)]
pub(crate) struct Supervisor {
    link: Link,
    socket: PathBuf,
    namespace: String,
}

macro_rules! services {
    ($($(#[$doc:meta])* $name:ident -> $client:ident;)*) => {$(
        $(#[$doc])*
        pub(crate) fn $name(&self) -> $client<Link> {
            $client::new(self.link.clone())
                .max_decoding_message_size(MESSAGE_LIMIT)
                .max_encoding_message_size(MESSAGE_LIMIT)
        }
    )*};
}

impl Supervisor {
    /// The supervisor at `socket`; nothing is sent before the first request.
    ///
    /// # Errors
    /// When the namespace cannot be part of a header.
    pub(crate) fn new(
        socket: &Path,
        namespace: &str,
    ) -> Result<Self, tonic::metadata::errors::InvalidMetadataValue> {
        let header = InNamespace(namespace.parse()?);
        let link = InterceptedService::new(Traced(connect::lazy(socket)), header);
        Ok(Self { link, socket: socket.to_owned(), namespace: namespace.to_owned() })
    }

    services! {
        /// Containers: the records below ours.
        containers -> ContainersClient;
        /// Tasks: the processes.
        tasks -> TasksClient;
        /// Events.
        events -> EventsClient;
        /// Snapshots: the root file systems.
        snapshots -> SnapshotsClient;
        /// Version.
        version -> VersionClient;
    }

    /// The channel, for clients of other services.
    pub(crate) fn link(&self) -> Link {
        self.link.clone()
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// The namespace of all requests.
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Waits until it answers, at most for `patience`.
    pub(crate) async fn ready(&self, patience: Duration) -> Result<(), Status> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            match self.version().version(()).await {
                Ok(_) => return Ok(()),
                Err(status) if tokio::time::Instant::now() > deadline => return Err(status),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
}
