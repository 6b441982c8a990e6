//! What garbage collection removed lately, for whoever misses something.

use prost_types::Timestamp;

use super::Node;
use crate::metadata::{Collection, StoreError, Transaction};

/// How many collections that removed something are remembered.
const KEPT: usize = 64;
/// How many objects of one collection are named.
const NAMED: usize = 512;

/// One collection that removed something.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Collected {
    #[prost(message, optional, tag = "1")]
    pub(crate) at: Option<Timestamp>,
    /// What was removed, as far as it is named.
    #[prost(string, repeated, tag = "2")]
    pub(crate) nodes: Vec<String>,
    /// How many objects were removed.
    #[prost(uint64, tag = "3")]
    pub(crate) count: u64,
}

/// The collections that are remembered, by the time they were made.
pub(crate) const COLLECTED: Collection<Collected> = Collection::new("collected");

/// Remembers that `nodes` were removed, and forgets the oldest collections.
pub(super) fn remember(transaction: &mut Transaction<'_>, nodes: &[Node]) -> Result<(), StoreError> {
    let mut names = Vec::new();
    COLLECTED.each(transaction, &[], |path, _| {
        names.extend(path.first().cloned());
        Ok(())
    })?;
    let excess = (names.len() + 1).saturating_sub(KEPT);
    for name in &names[..excess] {
        COLLECTED.remove(transaction, &[name])?;
    }
    let now = std::time::SystemTime::now();
    let nanoseconds = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos();
    let record = Collected {
        at: Some(now.into()),
        nodes: nodes.iter().take(NAMED).map(Node::to_string).collect(),
        count: nodes.len() as u64,
    };
    COLLECTED.put(transaction, &[&format!("{nanoseconds:020}")], &record)
}
