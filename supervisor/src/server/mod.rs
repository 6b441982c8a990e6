//! The gRPC services: each method decodes a request, makes one call, and encodes the answer.

mod authority;
mod connection;
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
mod mounts;
mod namespaces;
mod plugins;
mod sandbox;
pub(crate) mod snapshots;
mod streaming;
mod tasks;
mod transfer;
mod version;
mod write;

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{TryStreamExt, stream};
pub(crate) use listen::listen;
pub(crate) use plugins::check as check_plugins;
use prost::Message;
use tokio::net::UnixListener;
use tokio_stream::Stream;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::Status;
use tonic::transport::Server;

use crate::blocking;
use crate::fault::status;
use crate::metadata::Listing;
use crate::supervisor::Deps;

/// The largest message that we take; containerd's own limit.
const MESSAGE_LIMIT: usize = dhow_proto::connect::MESSAGE_LIMIT;
/// How many objects one message of a streamed list carries.
const PAGE: usize = 100;

/// A stream of answers.
type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What `listing` has, a page a message, read as fast as the client takes it.
fn pages<R, M>(listing: Listing<R>, message: impl Fn(Vec<R>) -> M + Send + 'static) -> Replies<M>
where
    R: Message + Default + 'static,
    M: Send + 'static,
{
    Box::pin(stream::try_unfold((listing, message), |(mut listing, message)| async move {
        let (page, listing) = blocking::run(move || (listing.page(PAGE), listing)).await;
        let page = page.map_err(status)?;
        Ok((!page.is_empty()).then(|| (message(page), (listing, message))))
    }))
}

/// What `listing` has, a record a message.
fn each<R, M>(listing: Listing<R>, message: fn(R) -> M) -> Replies<M>
where
    R: Message + Default + 'static,
    M: Send + 'static,
{
    let single = move |page: Vec<R>| stream::iter(page.into_iter().map(message).map(Ok));
    Box::pin(pages(listing, single).try_flatten())
}

/// Serves every service on `listener` until `stop` is ready; open requests end then.
pub(crate) async fn serve(
    deps: &Arc<Deps>,
    listener: UnixListener,
    stop: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    let incoming = UnixListenerStream::new(listener).map_ok(connection::Connection::from);
    Server::builder()
        .add_service(version::service())
        .add_service(health::service())
        .add_service(introspection::service(deps))
        .add_service(namespaces::service(deps))
        .add_service(containers::service(deps))
        .add_service(content::service(deps))
        .add_service(images::service(deps))
        .add_service(snapshots::service(&deps.snapshotters))
        .add_service(leases::service(deps))
        .add_service(mounts::service(deps))
        .add_service(tasks::service(deps))
        .add_service(events::service(deps))
        .add_service(sandbox::store(deps))
        .add_service(sandbox::controller(deps))
        .add_service(diff::service(deps))
        .add_service(streaming::service(deps))
        .add_service(transfer::service(deps))
        .serve_with_incoming_shutdown(incoming, stop)
        .await
}
