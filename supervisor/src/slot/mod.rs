//! Which ids are in use, for what lives in shims: tasks and sandboxes.
//!
//! An id is reserved before anything is made, and freed when nothing is left; whoever wants it in between waits for
//! what is on its way out ([`Departure`]), and is refused by what is there.

mod attempt;
mod departure;
mod recovery;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(crate) use attempt::{Maker, attempt};
pub(crate) use departure::Departure;
use departure::Wish;
pub(crate) use recovery::{ANSWER, recover};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::namespace::Namespace;

/// Whose it is, and its id.
pub(crate) type Key = (Namespace, String);

/// A client that gave a create up may be back before that was noticed: so long its id may still be in creation.
const NOTICE: Duration = Duration::from_secs(2);

/// What is known of an id.
#[derive(Debug)]
enum Slot<T> {
    /// It is being created for a client that waits.
    Creating,
    /// What was there is being taken away; then the id is free again.
    Leaving(Wish),
    Ready(Arc<T>),
}

/// The ids in use.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    known: Mutex<HashMap<Key, Slot<T>>>,
    changed: Notify,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { known: Mutex::default(), changed: Notify::new() }
    }
}

impl<T> Slots<T> {
    /// Takes a free id for what is to be created, waiting for what is on its way out; whether it could be had.
    pub(crate) async fn reserve(&self, key: &Key) -> bool {
        let noticed = Instant::now() + NOTICE;
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let creating = {
                let mut known = self.known();
                match known.get(key) {
                    None => {
                        known.insert(key.clone(), Slot::Creating);
                        return true;
                    }
                    Some(Slot::Leaving(wish)) => {
                        wish.want();
                        false
                    }
                    Some(Slot::Creating) => true,
                    Some(Slot::Ready(_)) => return false,
                }
            };
            if !creating {
                changed.await;
            } else if tokio::time::timeout_at(noticed, changed).await.is_err() {
                return false;
            }
        }
    }

    /// What is made is there.
    pub(crate) fn ready(&self, key: &Key, made: Arc<T>) {
        self.known().insert(key.clone(), Slot::Ready(made));
        self.changed.notify_waiters();
    }

    /// What is there, or is half made, is on its way out from now on.
    pub(crate) fn leave(&self, key: &Key) -> Departure {
        let mut known = self.known();
        let departure = match known.get(key) {
            Some(Slot::Leaving(wish)) => wish.departure(),
            _ => {
                let wish = Wish::default();
                let departure = wish.departure();
                known.insert(key.clone(), Slot::Leaving(wish));
                departure
            }
        };
        drop(known);
        self.changed.notify_waiters();
        departure
    }

    pub(crate) fn free(&self, key: &Key) {
        self.known().remove(key);
        self.changed.notify_waiters();
    }

    /// Whether the id is in use, or was a moment ago.
    pub(crate) fn contains(&self, key: &Key) -> bool {
        self.known().contains_key(key)
    }

    /// What is there under `id`.
    pub(crate) fn get(&self, namespace: &Namespace, id: &str) -> Option<Arc<T>> {
        match self.known().get(&(namespace.clone(), id.to_owned())) {
            Some(Slot::Ready(found)) => Some(Arc::clone(found)),
            Some(Slot::Creating | Slot::Leaving(_)) | None => None,
        }
    }

    /// All that is there, in no order.
    pub(crate) fn all(&self) -> Vec<Arc<T>> {
        let known = self.known();
        let ready = known.values().filter_map(|slot| match slot {
            Slot::Ready(found) => Some(Arc::clone(found)),
            Slot::Creating | Slot::Leaving(_) => None,
        });
        ready.collect()
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Key, Slot<T>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        ("n".parse().expect("a namespace"), "a".to_owned())
    }

    #[tokio::test]
    async fn a_create_that_is_given_up_a_moment_later_is_waited_for() {
        let (slots, key) = (Arc::new(Slots::<()>::default()), key());
        assert!(slots.reserve(&key).await);
        let retried = tokio::spawn({
            let (slots, key) = (slots.clone(), key.clone());
            async move { slots.reserve(&key).await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        let departure = slots.leave(&key);
        assert!(departure.within(std::future::pending::<()>()).await.is_none(), "what leaves has to hurry");
        assert!(!retried.is_finished(), "and is waited for");
        slots.free(&key);
        assert!(retried.await.expect("joined"));
    }

    #[tokio::test]
    async fn what_is_there_is_in_use_and_what_stays_in_creation_too() {
        let (slots, key) = (Slots::default(), key());
        assert!(slots.reserve(&key).await);
        assert!(!slots.reserve(&key).await);
        slots.ready(&key, Arc::new(()));
        assert!(!slots.reserve(&key).await);
        assert!(slots.get(&key.0, &key.1).is_some());
        drop(slots.leave(&key));
        assert!(slots.contains(&key) && slots.all().is_empty());
    }
}
