//! What the daemon tells about changes: a ring of the last events, and whoever listens.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dhow_engine_api::event::{Actor, Event};
use jiff::Timestamp;
use tokio::sync::broadcast;

use crate::http::filter::Filters;

/// How many past events a new listener can ask for.
const RING: usize = 256;
/// How many events a listener may be behind before it misses some.
const BEHIND: usize = 4096;

/// Names that `filters` of `GET /events` may use.
pub(crate) const FILTERS: &[&str] = &[
    "type",
    "event",
    "container",
    "image",
    "label",
    "network",
    "volume",
    "daemon",
    "plugin",
    "scope",
    "service",
    "node",
    "config",
    "secret",
];

/// The events of this daemon.
#[derive(Debug)]
pub(crate) struct Events {
    ring: Mutex<VecDeque<Arc<Event>>>,
    live: broadcast::Sender<Arc<Event>>,
}

impl Events {
    /// No events yet.
    pub(crate) fn new() -> Self {
        Self { ring: Mutex::default(), live: broadcast::channel(BEHIND).0 }
    }

    /// Tells everybody that `action` happened to the `kind` called `id`.
    pub(crate) fn publish(&self, kind: &str, action: &str, id: &str, attributes: BTreeMap<String, String>) {
        let now = Timestamp::now();
        let legacy = matches!(kind, "container" | "image");
        let event = Arc::new(Event {
            status: if legacy { action.to_owned() } else { String::new() },
            id: if legacy { id.to_owned() } else { String::new() },
            from: if kind == "container" {
                attributes.get("image").cloned().unwrap_or_default()
            } else {
                String::new()
            },
            kind: kind.to_owned(),
            action: action.to_owned(),
            actor: Actor { id: id.to_owned(), attributes },
            scope: "local".to_owned(),
            time: now.as_second(),
            time_nano: i64::try_from(now.as_nanosecond()).unwrap_or(i64::MAX),
        });
        // Under the ring's lock, so that a new listener gets each event once: from the ring or live.
        let mut ring = self.ring();
        if ring.len() == RING {
            ring.pop_front();
        }
        ring.push_back(Arc::clone(&event));
        drop(self.live.send(event));
    }

    /// The kept events since a time (none without one), and those that follow.
    pub(crate) fn listen(
        &self,
        since: Option<Timestamp>,
    ) -> (Vec<Arc<Event>>, broadcast::Receiver<Arc<Event>>) {
        let ring = self.ring();
        let wanted = |event: &&Arc<Event>| {
            since.is_some_and(|since| i128::from(event.time_nano) >= since.as_nanosecond())
        };
        (ring.iter().filter(wanted).cloned().collect(), self.live.subscribe())
    }

    /// How many listen.
    pub(crate) fn listeners(&self) -> usize {
        self.live.receiver_count()
    }

    fn ring(&self) -> MutexGuard<'_, VecDeque<Arc<Event>>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an event passes the filters of a listener.
pub(crate) fn passes(event: &Event, filters: &Filters) -> bool {
    let subject = |kind: &str| {
        filters.any(kind, |wanted| {
            event.kind == kind
                && (event.actor.id.starts_with(wanted.as_str()) || attribute(event, "name") == Some(wanted))
                || event.kind != kind
                    && attribute(event, kind).is_some_and(|id| id.starts_with(wanted.as_str()))
        })
    };
    let image = filters.any("image", |wanted| {
        let untagged = |name: &str| name.split_once(':').map_or(name, |(name, _)| name).to_owned();
        let name = match event.kind.as_str() {
            "image" => attribute(event, "name").cloned().unwrap_or_else(|| event.actor.id.clone()),
            _ => attribute(event, "image").cloned().unwrap_or_default(),
        };
        event.actor.id == *wanted || name == *wanted || untagged(&name) == *wanted
    });
    filters.exact("type", &event.kind)
        && filters
            .any("event", |wanted| event.action == *wanted || event.action.starts_with(&format!("{wanted}:")))
        && filters.exact("scope", &event.scope)
        && filters.labels("label", &event.actor.attributes)
        && ["container", "network", "volume", "daemon", "plugin", "service", "node", "config", "secret"]
            .into_iter()
            .all(subject)
        && image
}

fn attribute<'a>(event: &'a Event, name: &str) -> Option<&'a String> {
    event.actor.attributes.get(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(count: usize) -> Events {
        let events = Events::new();
        for number in 0..count {
            let attributes = [("name", "web"), ("image", "busybox:latest"), ("number", &number.to_string())];
            let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            events.publish("container", "exec_create: sh", "abcdef", attributes);
        }
        events
    }

    #[test]
    fn the_ring_keeps_the_newest() {
        let events = events(RING + 5);
        assert!(events.listen(None).0.is_empty());
        let kept = events.listen(Some(Timestamp::UNIX_EPOCH)).0;
        assert_eq!(kept.len(), RING);
        assert_eq!(kept[0].actor.attributes["number"], "5");
    }

    #[test]
    fn filters_know_names_prefixes_and_commands() {
        let kept = events(1).listen(Some(Timestamp::UNIX_EPOCH)).0;
        let passes = |text: &str| passes(&kept[0], &Filters::parse(text, FILTERS).expect("filters"));
        assert!(passes("{\"event\":[\"exec_create\"]}") && !passes("{\"event\":[\"exec\"]}"));
        assert!(passes("{\"container\":[\"web\"]}") && passes("{\"container\":[\"abc\"]}"));
        assert!(!passes("{\"container\":[\"we\"]}"));
        assert!(passes("{\"image\":[\"busybox\"]}") && passes("{\"type\":[\"image\",\"container\"]}"));
        assert!(!passes("{\"type\":[\"image\"]}") && !passes("{\"network\":[\"web\"]}"));
    }
}
