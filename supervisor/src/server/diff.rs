//! `containerd.services.diff.v1.Diff`.

use std::sync::Arc;

use dhow_proto::containerd::services::diff::v1::diff_server::{Diff, DiffServer};
use dhow_proto::containerd::services::diff::v1::{ApplyRequest, ApplyResponse, DiffRequest, DiffResponse};
use dhow_proto::containerd::types::Descriptor;
use tonic::{Request, Response, Status};

use crate::diff::{DifferenceOptions, is_layer};
use crate::fault::status;
use crate::image::manifest::OCI_LAYER;
use crate::namespace::{Namespace, Scope};
use crate::supervisor::Deps;

#[derive(Debug)]
pub(crate) struct DiffService(Arc<Deps>);

pub(crate) fn service(deps: &Arc<Deps>) -> DiffServer<DiffService> {
    DiffServer::new(DiffService(deps.clone())).max_decoding_message_size(super::MESSAGE_LIMIT)
}

#[tonic::async_trait]
impl Diff for DiffService {
    async fn apply(&self, request: Request<ApplyRequest>) -> Result<Response<ApplyResponse>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let ApplyRequest { diff, mounts, sync_fs, .. } = request.into_inner();
        let Descriptor { media_type, digest, .. } = diff.unwrap_or_default();
        if !is_layer(&media_type) {
            let text =
                format!("failed to get stream processor for {media_type}: no processor for media-type");
            return Err(Status::unimplemented(text));
        }
        let digest =
            digest.parse().map_err(|error| Status::invalid_argument(format!("{digest:?}: {error}")))?;
        let applied = self.0.differ.apply(&namespace, digest, mounts, sync_fs).await.map_err(status)?;
        let applied = Descriptor {
            media_type: OCI_LAYER.to_owned(),
            digest: applied.diff_id.to_string(),
            size: i64::try_from(applied.size).unwrap_or(i64::MAX),
            ..Descriptor::default()
        };
        Ok(Response::new(ApplyResponse { applied: Some(applied) }))
    }

    async fn diff(&self, request: Request<DiffRequest>) -> Result<Response<DiffResponse>, Status> {
        let scope = Scope::require(request.metadata()).map_err(status)?;
        let DiffRequest { left, right, media_type, r#ref: reference, labels, source_date_epoch } =
            request.into_inner();
        let options = DifferenceOptions {
            media_type,
            reference,
            labels: labels.into_iter().collect(),
            epoch: source_date_epoch.map(|epoch| epoch.seconds),
        };
        let made = self.0.differ.difference(&scope, left, right, options).await.map_err(status)?;
        let (media_type, digest, size) = (made.media_type, made.digest.to_string(), made.size);
        let diff = Descriptor { media_type, digest, size, ..Descriptor::default() };
        Ok(Response::new(DiffResponse { diff: Some(diff) }))
    }
}
