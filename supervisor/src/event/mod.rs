//! Events: the exchange that every part of the supervisor publishes on, and that clients subscribe to.
//!
//! Owns: the fan-out, the queue of each subscriber, and which field paths of an event filters may name ([`field`]).
//! Does not own: the filter language, nor what an event means.
//!
//! An event reaches every subscription that was open when it was published, in one order for all of them. A
//! subscriber that falls [`QUEUE_LIMIT`] events behind is cut off, so that it learns of its loss and can subscribe
//! again, instead of missing events in silence or growing without bound. After a restart of ours subscribers need a
//! moment to come back; how tasks ended in that moment is told to them then.

mod field;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use dhow_proto::any;
pub(crate) use dhow_proto::containerd::types::Envelope;
use dhow_proto::error::Kind;
use prost::{Message, Name};
use tokio::sync::mpsc;

use crate::fault::Fault;
use crate::filter::Filter;
pub(crate) use crate::filter::FilterError;
use crate::identifier::{self, IdentifierError};

/// How many undelivered events a subscriber may have before it is cut off.
pub(crate) const QUEUE_LIMIT: usize = 64 << 10;

/// How long after our start subscribers may come and still hear how tasks ended in the meantime.
const RETURN: Duration = Duration::from_secs(30);
/// How many such events are kept for them.
const KEPT_LIMIT: usize = 4096;

/// The hub between publishers and subscribers; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    hub: Arc<Mutex<Hub>>,
    started: Instant,
}

#[derive(Debug, Default)]
struct Hub {
    subscribers: Vec<Subscriber>,
    /// Ends of tasks since our start, for subscribers that we have lost by it and that are on their way back.
    kept: VecDeque<Arc<Envelope>>,
}

#[derive(Debug)]
struct Subscriber {
    filter: Filter,
    queue: mpsc::Sender<Arc<Envelope>>,
}

/// One reader of the exchange; dropping it ends the subscription.
#[derive(Debug)]
pub(crate) struct Subscription {
    queue: mpsc::Receiver<Arc<Envelope>>,
}

/// Why a foreign envelope was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnvelopeError {
    #[error("event envelope has invalid namespace")]
    Namespace(#[source] IdentifierError),
    #[error("envelope topic {topic:?}: {problem}")]
    Topic { topic: String, problem: &'static str },
    #[error("envelope topic {topic:?}: failed validation on component {component:?}")]
    Component { topic: String, component: String, source: IdentifierError },
    #[error("timestamp must be set on forwarded event")]
    Timestamp,
}

impl Fault for EnvelopeError {
    fn kind(&self) -> Kind {
        Kind::InvalidArgument
    }
}

impl Default for Exchange {
    fn default() -> Self {
        Self { hub: Arc::default(), started: Instant::now() }
    }
}

impl Exchange {
    /// Publishes `event`, made now, to the subscribers.
    pub(crate) fn publish<M: Message + Name>(&self, namespace: &str, topic: &str, event: &M) {
        self.forward(Envelope {
            timestamp: Some(SystemTime::now().into()),
            namespace: namespace.to_owned(),
            topic: topic.to_owned(),
            event: Some(any::pack(event)),
        });
    }

    /// Publishes an envelope that somebody else has made.
    pub(crate) fn forward(&self, envelope: Envelope) {
        let envelope = Arc::new(envelope);
        let mut hub = self.hub.lock().unwrap_or_else(PoisonError::into_inner);
        if self.started.elapsed() > RETURN {
            hub.kept = VecDeque::new();
        } else if matches!(envelope.topic.as_str(), "/tasks/exit" | "/tasks/oom" | "/tasks/delete") {
            if hub.kept.len() == KEPT_LIMIT {
                hub.kept.pop_front();
            }
            hub.kept.push_back(Arc::clone(&envelope));
        }
        hub.subscribers.retain(|subscriber| {
            if !subscriber.filter.matches(envelope.as_ref()) {
                return !subscriber.queue.is_closed();
            }
            subscriber.queue.try_send(Arc::clone(&envelope)).is_ok()
        });
    }

    /// Opens a subscription to the events that match any of `filters`; to all of them when there are none.
    ///
    /// # Errors
    /// When a filter cannot be parsed.
    pub(crate) fn subscribe(&self, filters: &[String]) -> Result<Subscription, FilterError> {
        let filter = Filter::parse(filters)?;
        let (sender, queue) = mpsc::channel(QUEUE_LIMIT);
        let mut hub = self.hub.lock().unwrap_or_else(PoisonError::into_inner);
        if self.started.elapsed() <= RETURN {
            for envelope in hub.kept.iter().filter(|envelope| filter.matches(&***envelope)) {
                // There is room: fewer are kept than fit a queue.
                drop(sender.try_send(Arc::clone(envelope)));
            }
        }
        hub.subscribers.push(Subscriber { filter, queue: sender });
        Ok(Subscription { queue })
    }
}

impl Subscription {
    /// The next event; `None` once the subscriber was cut off for falling behind.
    pub(crate) async fn next(&mut self) -> Option<Envelope> {
        self.queue.recv().await.map(Arc::unwrap_or_clone)
    }
}

/// Checks an envelope that came from outside.
///
/// # Errors
/// When its namespace or topic is not well formed or it has no time.
pub(crate) fn validate(envelope: &Envelope) -> Result<(), EnvelopeError> {
    identifier::validate(&envelope.namespace).map_err(EnvelopeError::Namespace)?;
    validate_topic(&envelope.topic)?;
    if envelope.timestamp.is_none() {
        return Err(EnvelopeError::Timestamp);
    }
    Ok(())
}

/// Checks a topic that came from outside.
///
/// # Errors
/// When it is not an absolute path of identifiers.
pub(crate) fn validate_topic(topic: &str) -> Result<(), EnvelopeError> {
    let refuse = |problem| EnvelopeError::Topic { topic: topic.to_owned(), problem };
    if topic.is_empty() {
        return Err(refuse("must not be empty"));
    }
    let path = topic.strip_prefix('/').ok_or_else(|| refuse("must start with '/'"))?;
    if path.is_empty() {
        return Err(refuse("must have at least one component"));
    }
    path.split('/').try_for_each(|component| {
        identifier::validate(component).map_err(|source| {
            let (topic, component) = (topic.to_owned(), component.to_owned());
            EnvelopeError::Component { topic, component, source }
        })
    })
}
