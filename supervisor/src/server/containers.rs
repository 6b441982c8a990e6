//! `containerd.services.containers.v1.Containers`

use std::sync::Arc;

use dhow_proto::containerd::services::containers::v1::containers_server::{Containers, ContainersServer};
use dhow_proto::containerd::services::containers::v1::{
    CreateContainerRequest, CreateContainerResponse, DeleteContainerRequest, GetContainerRequest,
    GetContainerResponse, ListContainerMessage, ListContainersRequest, ListContainersResponse,
    UpdateContainerRequest, UpdateContainerResponse,
};
use tonic::{Request, Response, Status};

use super::convert::paths;
use super::{Replies, each};
use crate::fault::status;
use crate::namespace::Namespace;
use crate::supervisor::Deps;

#[derive(Debug)]
pub(crate) struct ContainersService(Arc<Deps>);

pub(crate) fn service(deps: &Arc<Deps>) -> ContainersServer<ContainersService> {
    ContainersServer::new(ContainersService(deps.clone())).max_decoding_message_size(super::MESSAGE_LIMIT)
}

#[tonic::async_trait]
impl Containers for ContainersService {
    type ListStreamStream = Replies<ListContainerMessage>;

    async fn get(
        &self,
        request: Request<GetContainerRequest>,
    ) -> Result<Response<GetContainerResponse>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let container = self.0.containers.get(&namespace, &request.into_inner().id).map_err(status)?;
        Ok(Response::new(GetContainerResponse { container: Some(container.into()) }))
    }

    async fn list(
        &self,
        request: Request<ListContainersRequest>,
    ) -> Result<Response<ListContainersResponse>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let mut listing =
            self.0.containers.list(&namespace, &request.into_inner().filters).map_err(status)?;
        let containers = listing.page(usize::MAX).map_err(status)?;
        Ok(Response::new(ListContainersResponse {
            containers: containers.into_iter().map(Into::into).collect(),
        }))
    }

    async fn list_stream(
        &self,
        request: Request<ListContainersRequest>,
    ) -> Result<Response<Self::ListStreamStream>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let listing = self.0.containers.list(&namespace, &request.into_inner().filters).map_err(status)?;
        Ok(Response::new(each(listing, |container| ListContainerMessage {
            container: Some(container.into()),
        })))
    }

    async fn create(
        &self,
        request: Request<CreateContainerRequest>,
    ) -> Result<Response<CreateContainerResponse>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let container = request.into_inner().container.unwrap_or_default().into();
        let created = self.0.containers.create(&namespace, container).await.map_err(status)?;
        Ok(Response::new(CreateContainerResponse { container: Some(created.into()) }))
    }

    async fn update(
        &self,
        request: Request<UpdateContainerRequest>,
    ) -> Result<Response<UpdateContainerResponse>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let UpdateContainerRequest { container, update_mask } = request.into_inner();
        let (container, mask) = (container.unwrap_or_default().into(), paths(update_mask));
        let updated = self.0.containers.update(&namespace, container, mask).await.map_err(status)?;
        Ok(Response::new(UpdateContainerResponse { container: Some(updated.into()) }))
    }

    async fn delete(&self, request: Request<DeleteContainerRequest>) -> Result<Response<()>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        self.0.containers.delete(&namespace, &request.into_inner().id).await.map_err(status)?;
        Ok(Response::new(()))
    }
}
