//! `containerd.services.namespaces.v1.Namespaces`

use std::sync::Arc;

use dhow_proto::containerd::services::namespaces::v1::namespaces_server::{Namespaces, NamespacesServer};
use dhow_proto::containerd::services::namespaces::v1::{
    CreateNamespaceRequest, CreateNamespaceResponse, DeleteNamespaceRequest, GetNamespaceRequest,
    GetNamespaceResponse, ListNamespacesRequest, ListNamespacesResponse, UpdateNamespaceRequest,
    UpdateNamespaceResponse,
};
use tonic::{Request, Response, Status};

use super::convert::paths;
use crate::fault::status;
use crate::supervisor::Deps;

#[derive(Debug)]
pub(crate) struct NamespacesService(Arc<Deps>);

pub(crate) fn service(deps: &Arc<Deps>) -> NamespacesServer<NamespacesService> {
    NamespacesServer::new(NamespacesService(deps.clone())).max_decoding_message_size(super::MESSAGE_LIMIT)
}

#[tonic::async_trait]
impl Namespaces for NamespacesService {
    async fn get(
        &self,
        request: Request<GetNamespaceRequest>,
    ) -> Result<Response<GetNamespaceResponse>, Status> {
        let record = self.0.namespaces.get(&request.into_inner().name).map_err(status)?;
        Ok(Response::new(GetNamespaceResponse { namespace: Some(record.into()) }))
    }

    async fn list(
        &self,
        _: Request<ListNamespacesRequest>,
    ) -> Result<Response<ListNamespacesResponse>, Status> {
        let records = self.0.namespaces.list().map_err(status)?;
        Ok(Response::new(ListNamespacesResponse {
            namespaces: records.into_iter().map(Into::into).collect(),
        }))
    }

    async fn create(
        &self,
        request: Request<CreateNamespaceRequest>,
    ) -> Result<Response<CreateNamespaceResponse>, Status> {
        let record = request.into_inner().namespace.unwrap_or_default().into();
        let created = self.0.namespaces.create(record).await.map_err(status)?;
        Ok(Response::new(CreateNamespaceResponse { namespace: Some(created.into()) }))
    }

    async fn update(
        &self,
        request: Request<UpdateNamespaceRequest>,
    ) -> Result<Response<UpdateNamespaceResponse>, Status> {
        let UpdateNamespaceRequest { namespace, update_mask } = request.into_inner();
        let record = namespace.unwrap_or_default().into();
        let updated = self.0.namespaces.update(record, paths(update_mask)).await.map_err(status)?;
        Ok(Response::new(UpdateNamespaceResponse { namespace: Some(updated.into()) }))
    }

    async fn delete(&self, request: Request<DeleteNamespaceRequest>) -> Result<Response<()>, Status> {
        self.0.namespaces.delete(&request.into_inner().name).await.map_err(status)?;
        Ok(Response::new(()))
    }
}
