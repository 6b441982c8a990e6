//! What a store of records works with: where they are kept, who is told of changes, who collects what they leave.

use prost::{Message, Name};

use crate::event::Exchange;
use crate::gc::Trigger;
use crate::metadata::{self, Durability, Snapshot, StoreError, Transaction};
use crate::namespace::Namespace;

/// The metadata with those who must know of its changes; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    metadata: metadata::Store,
    events: Exchange,
    collector: Trigger,
}

/// What a committed change is followed by.
#[derive(Debug)]
pub(crate) struct News {
    ledger: Ledger,
    namespace: Namespace,
}

impl Ledger {
    /// Records kept in `metadata`, their changes published on `events`, what they leave behind told `collector`.
    pub(crate) fn new(metadata: metadata::Store, events: Exchange, collector: Trigger) -> Self {
        Self { metadata, events, collector }
    }

    /// What is committed now.
    pub(crate) fn read(&self) -> Result<Snapshot, StoreError> {
        self.metadata.read()
    }

    /// Makes a change of `namespace`, as [`metadata::Store::write_then`] does, and tells of it once it is committed.
    pub(crate) async fn change<R, E>(
        &self,
        namespace: &Namespace,
        durability: Durability,
        work: impl FnMut(&mut Transaction<'_>) -> Result<R, E> + Send + 'static,
        tell: impl FnOnce(&News, &R) + Send + 'static,
    ) -> Result<R, E>
    where
        R: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let news = News { ledger: self.clone(), namespace: namespace.clone() };
        self.metadata.write_then(durability, work, move |changed| tell(&news, changed)).await
    }
}

impl News {
    /// Publishes an event of the namespace.
    pub(crate) fn publish<M: Message + Name>(&self, topic: &str, event: &M) {
        self.ledger.events.publish(self.namespace.as_str(), topic, event);
    }

    /// Something may have become garbage.
    pub(crate) fn collect(&self) {
        self.ledger.collector.pull();
    }
}
