//! `containerd.services.streaming.v1.Streaming`.

use std::sync::Arc;

use dhow_proto::any;
use dhow_proto::containerd::services::streaming::v1::StreamInit;
use dhow_proto::containerd::services::streaming::v1::streaming_server::{
    Streaming as StreamingApi, StreamingServer,
};
use futures_util::StreamExt as _;
use prost_types::Any;
use tonic::{Request, Response, Status, Streaming};

use super::{MESSAGE_LIMIT, Replies};
use crate::fault::status;
use crate::namespace::Namespace;
use crate::supervisor::Deps;

#[derive(Debug)]
pub(crate) struct StreamingService(Arc<Deps>);

pub(crate) fn service(deps: &Arc<Deps>) -> StreamingServer<StreamingService> {
    StreamingServer::new(StreamingService(deps.clone())).max_decoding_message_size(MESSAGE_LIMIT)
}

#[tonic::async_trait]
impl StreamingApi for StreamingService {
    type StreamStream = Replies<Any>;

    async fn stream(&self, request: Request<Streaming<Any>>) -> Result<Response<Self::StreamStream>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let mut incoming = request.into_inner();
        let first =
            incoming.message().await?.ok_or_else(|| Status::invalid_argument("no stream was named"))?;
        let init: StreamInit = match any::unpack(&first) {
            Some(Ok(init)) => init,
            _ => return Err(Status::invalid_argument(format!("{} does not name a stream", first.type_url))),
        };
        let outgoing = self.0.transfers.streams.open(namespace, init.id, incoming.boxed()).map_err(status)?;
        Ok(Response::new(outgoing))
    }
}
