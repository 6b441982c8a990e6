//! `containerd.services.mounts.v1.Mounts`

use std::sync::Arc;

use dhow_proto::containerd::services::mounts::v1::mounts_server::{Mounts, MountsServer};
use dhow_proto::containerd::services::mounts::v1::{
    ActivateRequest, ActivateResponse, DeactivateRequest, InfoRequest, InfoResponse, ListMessage,
    ListRequest, UpdateRequest, UpdateResponse,
};
use tonic::{Request, Response, Status};

use super::convert::paths;
use super::{Replies, each};
use crate::fault::status;
use crate::namespace::{Namespace, Scope};
use crate::supervisor::Deps;

#[derive(Debug)]
pub(crate) struct MountsService(Arc<Deps>);

pub(crate) fn service(deps: &Arc<Deps>) -> MountsServer<MountsService> {
    MountsServer::new(MountsService(deps.clone())).max_decoding_message_size(super::MESSAGE_LIMIT)
}

#[tonic::async_trait]
impl Mounts for MountsService {
    type ListStream = Replies<ListMessage>;

    async fn activate(
        &self,
        request: Request<ActivateRequest>,
    ) -> Result<Response<ActivateResponse>, Status> {
        let scope = Scope::require(request.metadata()).map_err(status)?;
        let ActivateRequest { name, mounts, labels, temporary } = request.into_inner();
        let labels = labels.into_iter().collect();
        let activated = self.0.mounts.activate(&scope, &name, mounts, labels, temporary).await;
        Ok(Response::new(ActivateResponse { info: Some(activated.map_err(status)?.into()) }))
    }

    async fn deactivate(&self, request: Request<DeactivateRequest>) -> Result<Response<()>, Status> {
        let scope = Scope::require(request.metadata()).map_err(status)?;
        self.0.mounts.deactivate(&scope, &request.into_inner().name).await.map_err(status)?;
        Ok(Response::new(()))
    }

    async fn info(&self, request: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let found = self.0.mounts.info(&namespace, &request.into_inner().name).map_err(status)?;
        Ok(Response::new(InfoResponse { info: Some(found.into()) }))
    }

    async fn update(&self, request: Request<UpdateRequest>) -> Result<Response<UpdateResponse>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let UpdateRequest { info, update_mask } = request.into_inner();
        let info = info.unwrap_or_default();
        let change = (info.name, info.labels.into_iter().collect());
        let updated = self.0.mounts.update(&namespace, change, paths(update_mask)).await.map_err(status)?;
        Ok(Response::new(UpdateResponse { info: Some(updated.into()) }))
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<Self::ListStream>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let found = self.0.mounts.list(&namespace, &request.into_inner().filters).map_err(status)?;
        Ok(Response::new(each(found, |found| ListMessage { info: Some(found.into()) })))
    }
}
