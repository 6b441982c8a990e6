//! `containerd.services.leases.v1.Leases`

use std::sync::Arc;

use dhow_proto::containerd::services::leases::v1::leases_server::{Leases, LeasesServer};
use dhow_proto::containerd::services::leases::v1::{
    AddResourceRequest, CreateRequest, CreateResponse, DeleteRequest, DeleteResourceRequest, ListRequest,
    ListResourcesRequest, ListResourcesResponse, ListResponse,
};
use tonic::{Request, Response, Status};

use crate::fault::status;
use crate::lease::{self, Resource};
use crate::namespace::Namespace;
use crate::supervisor::Deps;

#[derive(Debug)]
pub(crate) struct LeasesService(Arc<Deps>);

pub(crate) fn service(deps: &Arc<Deps>) -> LeasesServer<LeasesService> {
    LeasesServer::new(LeasesService(deps.clone())).max_decoding_message_size(super::MESSAGE_LIMIT)
}

#[tonic::async_trait]
impl Leases for LeasesService {
    async fn create(&self, request: Request<CreateRequest>) -> Result<Response<CreateResponse>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let CreateRequest { mut id, labels } = request.into_inner();
        if id.is_empty() {
            id = lease::random_id();
        }
        let labels = labels.into_iter().collect();
        let lease = self.0.leases.create(&namespace, &id, labels).await.map_err(status)?;
        Ok(Response::new(CreateResponse { lease: Some(lease.into()) }))
    }

    async fn delete(&self, request: Request<DeleteRequest>) -> Result<Response<()>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let DeleteRequest { id, sync } = request.into_inner();
        self.0.leases.delete(&namespace, &id).await.map_err(status)?;
        if sync {
            self.0.collector.collect().await.map_err(status)?;
        }
        Ok(Response::new(()))
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let leases = self.0.leases.list(&namespace, &request.into_inner().filters).map_err(status)?;
        Ok(Response::new(ListResponse { leases: leases.into_iter().map(Into::into).collect() }))
    }

    async fn add_resource(&self, request: Request<AddResourceRequest>) -> Result<Response<()>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let AddResourceRequest { id, resource } = request.into_inner();
        let resource = resource.unwrap_or_default();
        let resource = Resource::parse(&resource.r#type, &resource.id).map_err(status)?;
        self.0.leases.add_resource(&namespace, &id, resource).await.map_err(status)?;
        Ok(Response::new(()))
    }

    async fn delete_resource(&self, request: Request<DeleteResourceRequest>) -> Result<Response<()>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let DeleteResourceRequest { id, resource } = request.into_inner();
        let resource = resource.unwrap_or_default();
        let resource = Resource::parse(&resource.r#type, &resource.id).map_err(status)?;
        self.0.leases.delete_resource(&namespace, &id, resource).await.map_err(status)?;
        Ok(Response::new(()))
    }

    async fn list_resources(
        &self,
        request: Request<ListResourcesRequest>,
    ) -> Result<Response<ListResourcesResponse>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let resources = self.0.leases.resources(&namespace, &request.into_inner().id).map_err(status)?;
        Ok(Response::new(ListResourcesResponse {
            resources: resources.into_iter().map(Into::into).collect(),
        }))
    }
}
