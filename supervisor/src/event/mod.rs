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

use crate::filter::Filter;
pub(crate) use crate::filter::FilterError;

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
    #[error("event envelope has invalid namespace {0:?}")]
    Namespace(String),
    #[error("envelope topic {0:?} must be a path such as /tasks/exit")]
    Topic(String),
    #[error("timestamp must be set on forwarded event")]
    Timestamp,
}

impl EnvelopeError {
    /// What sort of failure this is.
    pub(crate) fn kind(&self) -> Kind {
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
    if !is_identifier(&envelope.namespace) {
        return Err(EnvelopeError::Namespace(envelope.namespace.clone()));
    }
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
    let parts = topic.strip_prefix('/').ok_or_else(|| EnvelopeError::Topic(topic.to_owned()))?;
    if parts.split('/').all(is_identifier) { Ok(()) } else { Err(EnvelopeError::Topic(topic.to_owned())) }
}

fn is_identifier(text: &str) -> bool {
    let joint = |byte: u8| matches!(byte, b'_' | b'.' | b'-');
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    bytes.len() <= 76
        && first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
        && bytes.iter().all(|&byte| byte.is_ascii_alphanumeric() || joint(byte))
        && bytes.windows(2).all(|pair| !(joint(pair[0]) && joint(pair[1])))
}
