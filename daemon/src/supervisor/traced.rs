//! A channel that tells the start-up waterfall how long each call took (`DHOW_TRACE`).

use std::pin::Pin;
use std::task::{Context, Poll};

use dhow_linux::trace;
use http::{Request, Response};
use tonic::body::Body;
use tonic::transport::{Channel, Error};
use tower::Service;

/// The channel.
#[derive(Debug, Clone)]
pub(crate) struct Traced(pub(super) Channel);

impl Service<Request<Body>> for Traced {
    type Response = Response<Body>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // `/containerd.services.tasks.v1.Tasks/Create` is shown as `Tasks/Create`.
        let path = request.uri().path();
        let span = trace::span("daemon", path.rsplit('.').next().unwrap_or(path));
        let answer = self.0.call(request);
        Box::pin(async move {
            let answer = answer.await;
            drop(span);
            answer
        })
    }
}
