//! `containerd.services.version.v1.Version`

use dhow_proto::containerd::services::version::v1::VersionResponse;
use dhow_proto::containerd::services::version::v1::version_server::{Version, VersionServer};
use tonic::{Request, Response, Status};

#[derive(Debug)]
pub(crate) struct VersionService;

pub(crate) fn service() -> VersionServer<VersionService> {
    VersionServer::new(VersionService).max_decoding_message_size(super::MESSAGE_LIMIT)
}

#[tonic::async_trait]
impl Version for VersionService {
    async fn version(&self, _: Request<()>) -> Result<Response<VersionResponse>, Status> {
        let revision = option_env!("DHOW_REVISION").unwrap_or_default().to_owned();
        Ok(Response::new(VersionResponse { version: format!("v{}", env!("CARGO_PKG_VERSION")), revision }))
    }
}
