//! `containerd.services.images.v1.Images`

use std::sync::Arc;

use dhow_proto::containerd::services::images::v1::images_server::{Images, ImagesServer};
use dhow_proto::containerd::services::images::v1::{
    CreateImageRequest, CreateImageResponse, DeleteImageRequest, GetImageRequest, GetImageResponse,
    ListImagesRequest, ListImagesResponse, UpdateImageRequest, UpdateImageResponse,
};
use tonic::{Request, Response, Status};

use super::convert::paths;
use crate::fault::status;
use crate::namespace::{Namespace, Scope};
use crate::supervisor::Deps;

#[derive(Debug)]
pub(crate) struct ImagesService(Arc<Deps>);

pub(crate) fn service(deps: &Arc<Deps>) -> ImagesServer<ImagesService> {
    ImagesServer::new(ImagesService(deps.clone())).max_decoding_message_size(super::MESSAGE_LIMIT)
}

#[tonic::async_trait]
impl Images for ImagesService {
    async fn get(&self, request: Request<GetImageRequest>) -> Result<Response<GetImageResponse>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let image = self.0.images.get(&namespace, &request.into_inner().name).map_err(status)?;
        Ok(Response::new(GetImageResponse { image: Some(image.into()) }))
    }

    async fn list(
        &self,
        request: Request<ListImagesRequest>,
    ) -> Result<Response<ListImagesResponse>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let images = self.0.images.list(&namespace, &request.into_inner().filters).map_err(status)?;
        Ok(Response::new(ListImagesResponse { images: images.into_iter().map(Into::into).collect() }))
    }

    async fn create(
        &self,
        request: Request<CreateImageRequest>,
    ) -> Result<Response<CreateImageResponse>, Status> {
        let scope = Scope::require(request.metadata()).map_err(status)?;
        let CreateImageRequest { image, source_date_epoch } = request.into_inner();
        let image = image.filter(|image| !image.name.is_empty());
        let image = image.ok_or_else(|| Status::invalid_argument("Image.Name required"))?;
        let created = self.0.images.create(&scope, image.into(), source_date_epoch).await.map_err(status)?;
        Ok(Response::new(CreateImageResponse { image: Some(created.into()) }))
    }

    async fn update(
        &self,
        request: Request<UpdateImageRequest>,
    ) -> Result<Response<UpdateImageResponse>, Status> {
        let scope = Scope::require(request.metadata()).map_err(status)?;
        let UpdateImageRequest { image, update_mask, source_date_epoch } = request.into_inner();
        let image = image.filter(|image| !image.name.is_empty());
        let image = image.ok_or_else(|| Status::invalid_argument("Image.Name required"))?;
        let (image, mask) = (image.into(), paths(update_mask));
        let updated = self.0.images.update(&scope, image, mask, source_date_epoch).await.map_err(status)?;
        Ok(Response::new(UpdateImageResponse { image: Some(updated.into()) }))
    }

    async fn delete(&self, request: Request<DeleteImageRequest>) -> Result<Response<()>, Status> {
        let scope = Scope::require(request.metadata()).map_err(status)?;
        let DeleteImageRequest { name, sync, target } = request.into_inner();
        let expected = target.map(|target| target.digest).filter(|digest| !digest.is_empty());
        self.0.images.delete(&scope, &name, expected.as_deref()).await.map_err(status)?;
        if sync {
            self.0.collector.collect().await.map_err(status)?;
        }
        Ok(Response::new(()))
    }
}
