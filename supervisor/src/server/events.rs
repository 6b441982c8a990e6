//! `containerd.services.events.v1.Events`

use std::sync::Arc;
use std::time::SystemTime;

use dhow_proto::containerd::services::events::v1::events_server::{Events, EventsServer};
use dhow_proto::containerd::services::events::v1::{ForwardRequest, PublishRequest, SubscribeRequest};
use tonic::{Request, Response, Status};

use super::Replies;
use crate::event::{self, Envelope, Subscription};
use crate::fault::status;
use crate::namespace::Namespace;
use crate::supervisor::Deps;

#[derive(Debug)]
pub(crate) struct EventsService(Arc<Deps>);

pub(crate) fn service(deps: &Arc<Deps>) -> EventsServer<EventsService> {
    EventsServer::new(EventsService(deps.clone())).max_decoding_message_size(super::MESSAGE_LIMIT)
}

/// A subscription as a stream of answers, ended by an error for a subscriber that fell behind.
fn answers(subscription: Subscription) -> Replies<Envelope> {
    Box::pin(futures_util::stream::unfold(Some(subscription), async |subscription| {
        let mut subscription = subscription?;
        Some(match subscription.next().await {
            Some(envelope) => (Ok(envelope), Some(subscription)),
            None => {
                let text = "subscriber fell behind; events were lost, subscribe again";
                (Err(Status::resource_exhausted(text)), None)
            }
        })
    }))
}

#[tonic::async_trait]
impl Events for EventsService {
    type SubscribeStream = Replies<Envelope>;

    async fn publish(&self, request: Request<PublishRequest>) -> Result<Response<()>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let PublishRequest { topic, event } = request.into_inner();
        event::validate_topic(&topic).map_err(status)?;
        let timestamp = Some(SystemTime::now().into());
        self.0.events.forward(Envelope { timestamp, namespace: namespace.to_string(), topic, event });
        Ok(Response::new(()))
    }

    async fn forward(&self, request: Request<ForwardRequest>) -> Result<Response<()>, Status> {
        let envelope = request.into_inner().envelope.unwrap_or_default();
        event::validate(&envelope).map_err(status)?;
        self.0.tasks.forward(envelope);
        Ok(Response::new(()))
    }

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let subscription = self.0.events.subscribe(&request.into_inner().filters).map_err(status)?;
        Ok(Response::new(answers(subscription)))
    }
}
