//! Garbage collection: what nothing refers to any more goes.

pub(crate) mod label;

use std::sync::Arc;

use tokio::sync::Notify;

/// Asks for a collection soon; clones share one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trigger(Arc<Notify>);

impl Trigger {
    /// Something may have become garbage.
    pub(crate) fn pull(&self) {
        self.0.notify_one();
    }
}
