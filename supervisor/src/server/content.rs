//! `containerd.services.content.v1.Content`, but for the write stream, which is in [`super::write`].

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use dhow_proto::containerd::services::content::v1::content_server::{Content, ContentServer};
use dhow_proto::containerd::services::content::v1::{
    AbortRequest, DeleteContentRequest, InfoRequest, InfoResponse, ListContentRequest, ListContentResponse,
    ListStatusesRequest, ListStatusesResponse, ReadContentRequest, ReadContentResponse, StatusRequest,
    StatusResponse, UpdateRequest, UpdateResponse, WriteContentRequest, WriteContentResponse,
};
use tonic::{Request, Response, Status, Streaming};

use super::convert::paths;
use super::{MESSAGE_LIMIT, Replies, pages};
use crate::content::Digest;
use crate::fault::status;
use crate::namespace::{Namespace, Scope};
use crate::supervisor::Deps;

/// How many bytes one message of a read carries.
const CHUNK: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct ContentService(Arc<Deps>);

pub(crate) fn service(deps: &Arc<Deps>) -> ContentServer<ContentService> {
    ContentServer::new(ContentService(deps.clone())).max_decoding_message_size(MESSAGE_LIMIT)
}

/// A digest from a request, refused in containerd's words.
fn digest(text: &str) -> Result<Digest, Status> {
    text.parse().map_err(|_| Status::invalid_argument(format!("{text:?} failed validation")))
}

#[tonic::async_trait]
impl Content for ContentService {
    type ListStream = Replies<ListContentResponse>;
    type ReadStream = Replies<ReadContentResponse>;
    type WriteStream = Replies<WriteContentResponse>;

    async fn info(&self, request: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let digest = digest(&request.into_inner().digest)?;
        let blob = self.0.content.info(&namespace, &digest).map_err(status)?;
        Ok(Response::new(InfoResponse { info: Some(blob.into()) }))
    }

    async fn update(&self, request: Request<UpdateRequest>) -> Result<Response<UpdateResponse>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let UpdateRequest { info, update_mask } = request.into_inner();
        let info = info.unwrap_or_default();
        digest(&info.digest)?;
        let updated =
            self.0.content.update(&namespace, info.into(), paths(update_mask)).await.map_err(status)?;
        Ok(Response::new(UpdateResponse { info: Some(updated.into()) }))
    }

    async fn list(&self, request: Request<ListContentRequest>) -> Result<Response<Self::ListStream>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let filters = request.into_inner().filters;
        let listing = self.0.content.list(&namespace, &filters).map_err(status)?;
        let message = |page: Vec<_>| ListContentResponse { info: page.into_iter().map(Into::into).collect() };
        Ok(Response::new(pages(listing, message)))
    }

    async fn delete(&self, request: Request<DeleteContentRequest>) -> Result<Response<()>, Status> {
        let scope = Scope::require(request.metadata()).map_err(status)?;
        let digest = request.into_inner().digest.parse::<Digest>();
        let digest = digest.map_err(|error| Status::invalid_argument(error.to_string()))?;
        self.0.content.delete(&scope, &digest).await.map_err(status)?;
        Ok(Response::new(()))
    }

    async fn read(&self, request: Request<ReadContentRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let ReadContentRequest { digest: text, offset, size } = request.into_inner();
        let digest = text.parse::<Digest>();
        let digest = digest.map_err(|error| Status::invalid_argument(format!("{text}: {error}")))?;
        let blob = self.0.content.info(&namespace, &digest).map_err(status)?;
        let offset = offset.max(0);
        if offset > blob.size {
            let text = format!("read past object length {} bytes", blob.size);
            return Err(Status::out_of_range(text));
        }
        let left = blob.size - offset;
        let length = if size <= 0 || size > left { left } else { size };
        let file = self.0.content.reader(&namespace, &digest).map_err(status)?;
        Ok(Response::new(chunks(file, offset.unsigned_abs(), length.unsigned_abs())))
    }

    async fn status(&self, request: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let found = self.0.content.status(&namespace, &request.into_inner().r#ref).map_err(status)?;
        Ok(Response::new(StatusResponse { status: Some(found.into()) }))
    }

    async fn list_statuses(
        &self,
        request: Request<ListStatusesRequest>,
    ) -> Result<Response<ListStatusesResponse>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let found = self.0.content.statuses(&namespace, &request.into_inner().filters).map_err(status)?;
        Ok(Response::new(ListStatusesResponse { statuses: found.into_iter().map(Into::into).collect() }))
    }

    async fn write(
        &self,
        request: Request<Streaming<WriteContentRequest>>,
    ) -> Result<Response<Self::WriteStream>, Status> {
        let scope = Scope::require(request.metadata()).map_err(status)?;
        Ok(Response::new(super::write::answer(self.0.content.clone(), scope, request.into_inner())))
    }

    async fn abort(&self, request: Request<AbortRequest>) -> Result<Response<()>, Status> {
        let scope = Scope::require(request.metadata()).map_err(status)?;
        self.0.content.abort(&scope, &request.into_inner().r#ref).await.map_err(status)?;
        Ok(Response::new(()))
    }
}

/// Reads `length` bytes of `file` from `offset`, a chunk a message, as fast as the client takes them.
fn chunks(file: std::fs::File, offset: u64, length: u64) -> Replies<ReadContentResponse> {
    let file = Arc::new(file);
    let state = (file, 0u64);
    Box::pin(futures_util::stream::try_unfold(state, move |(file, sent)| async move {
        if sent == length {
            return Ok(None);
        }
        let (reader, at) = (file.clone(), offset + sent);
        let wanted = usize::try_from(length - sent).unwrap_or(CHUNK).min(CHUNK);
        let data = crate::blocking::run(move || read_at(&reader, at, wanted)).await;
        let data = data.map_err(|error| Status::data_loss(format!("read blob: {error}")))?;
        // As containerd counts it: from the first byte sent, not from the start of the blob.
        let offset = i64::try_from(sent).unwrap_or(i64::MAX);
        let sent = sent + data.len() as u64;
        Ok(Some((ReadContentResponse { offset, data: data.into() }, (file, sent))))
    }))
}

fn read_at(file: &std::fs::File, offset: u64, length: usize) -> io::Result<Bytes> {
    let mut data = vec![0; length];
    file.read_exact_at(&mut data, offset)?;
    Ok(data.into())
}
