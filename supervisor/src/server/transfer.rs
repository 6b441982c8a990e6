//! `containerd.services.transfer.v1.Transfer`.

use std::sync::Arc;

use dhow_proto::containerd::services::transfer::v1::TransferRequest;
use dhow_proto::containerd::services::transfer::v1::transfer_server::{Transfer, TransferServer};
use tonic::{Request, Response, Status};

use super::MESSAGE_LIMIT;
use crate::fault::status;
use crate::namespace::Scope;
use crate::supervisor::Deps;
use crate::transfer::End;

#[derive(Debug)]
pub(crate) struct TransferService(Arc<Deps>);

pub(crate) fn service(deps: &Arc<Deps>) -> TransferServer<TransferService> {
    TransferServer::new(TransferService(deps.clone())).max_decoding_message_size(MESSAGE_LIMIT)
}

#[tonic::async_trait]
impl Transfer for TransferService {
    async fn transfer(&self, request: Request<TransferRequest>) -> Result<Response<()>, Status> {
        let scope = Scope::require(request.metadata()).map_err(status)?;
        let TransferRequest { source, destination, options } = request.into_inner();
        let (streams, namespace) = (&self.0.transfers.streams, &scope.namespace);
        let progress = options.map(|options| options.progress_stream).filter(|id| !id.is_empty());
        let progress = progress.map(|id| streams.find(namespace, &id)).transpose().map_err(status)?;
        let from = End::open(&source.unwrap_or_default(), streams, namespace).map_err(status)?;
        let to = End::open(&destination.unwrap_or_default(), streams, namespace).map_err(status)?;
        self.0.transfers.run(&scope, from, to, progress).await.map_err(status)?;
        Ok(Response::new(()))
    }
}
