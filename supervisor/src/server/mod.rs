//! The gRPC services: each method decodes a request, makes one call, and encodes the answer.

mod containers;
mod content;
mod convert;
mod diff;
mod events;
mod health;
mod images;
mod introspection;
mod leases;
mod listen;
mod namespaces;
mod snapshots;
mod streaming;
mod tasks;
mod transfer;
mod version;
mod write;

use std::pin::Pin;
use std::sync::Arc;

pub(crate) use listen::listen;
use tokio::net::UnixListener;
use tokio_stream::Stream;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::Status;
use tonic::transport::Server;

use crate::supervisor::Deps;

/// The largest message that we take; containerd's own limit.
const MESSAGE_LIMIT: usize = dhow_proto::connect::MESSAGE_LIMIT;
/// How many objects one message of a streamed list carries.
const PAGE: usize = 100;

/// A stream of answers.
type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// A stream of ready answers.
fn replies<T: Send + 'static>(messages: impl Iterator<Item = T> + Send + 'static) -> Replies<T> {
    Box::pin(tokio_stream::iter(messages.map(Ok)))
}

/// Serves every service on `listener` until `stop` is ready; open requests end then.
pub(crate) async fn serve(
    deps: &Arc<Deps>,
    listener: UnixListener,
    stop: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    Server::builder()
        .add_service(version::service())
        .add_service(health::service())
        .add_service(introspection::service(deps))
        .add_service(namespaces::service(deps))
        .add_service(containers::service(deps))
        .add_service(content::service(deps))
        .add_service(images::service(deps))
        .add_service(snapshots::service(deps))
        .add_service(leases::service(deps))
        .add_service(tasks::service(deps))
        .add_service(events::service(deps))
        .add_service(diff::service(deps))
        .add_service(streaming::service(deps))
        .add_service(transfer::service(deps))
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), stop)
        .await
}
