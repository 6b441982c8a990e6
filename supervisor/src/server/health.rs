//! `grpc.health.v1.Health`: we serve while we answer, as a whole: single services have no health of their own.

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

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Health for HealthService {
    type WatchStream = std::pin::Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !request.into_inner().service.is_empty() {
            return Err(Status::not_found("unknown service"));
        }
        Ok(Response::new(answer(ServingStatus::Serving)))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let whole = request.into_inner().service.is_empty();
        let status = if whole { ServingStatus::Serving } else { ServingStatus::ServiceUnknown };
        // The state never changes: one answer, and an open stream until one of us goes.
        let once = tokio_stream::once(Ok(answer(status)));
        Ok(Response::new(Box::pin(tokio_stream::StreamExt::chain(once, tokio_stream::pending()))))
    }
}
