//! `grpc.health.v1.Health`: we serve while we answer.

use dhow_proto::grpc::health::v1::health_check_response::ServingStatus;
use dhow_proto::grpc::health::v1::health_server::{Health, HealthServer};
use dhow_proto::grpc::health::v1::{HealthCheckRequest, HealthCheckResponse};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

#[derive(Debug)]
pub(crate) struct HealthService;

pub(crate) fn service() -> HealthServer<HealthService> {
    HealthServer::new(HealthService)
}

fn serving() -> HealthCheckResponse {
    HealthCheckResponse { status: ServingStatus::Serving.into() }
}

#[tonic::async_trait]
impl Health for HealthService {
    type WatchStream = std::pin::Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(serving()))
    }

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        // The state never changes: one answer, and an open stream until one of us goes.
        let once = tokio_stream::once(Ok(serving()));
        Ok(Response::new(Box::pin(tokio_stream::StreamExt::chain(once, tokio_stream::pending()))))
    }
}
