//! Lists of any length: read a page at a time from one snapshot of the store.

use std::ops::ControlFlow;

use prost::Message;

use super::collection::decode;
use super::{Snapshot, StoreError};

/// The records below a path, as they were when this was made, in the order of their names.
pub(crate) struct Listing<R> {
    view: Snapshot,
    prefix: Vec<u8>,
    /// Where the next page begins.
    next: Vec<u8>,
    keep: Box<dyn Fn(&R) -> bool + Send>,
}

impl<R: Message + Default> Listing<R> {
    pub(super) fn new(view: Snapshot, prefix: Vec<u8>, keep: impl Fn(&R) -> bool + Send + 'static) -> Self {
        Self { view, next: prefix.clone(), prefix, keep: Box::new(keep) }
    }

    /// The next `count` records, fewer at the end, and none after it.
    pub(crate) fn page(&mut self, count: usize) -> Result<Vec<R>, StoreError> {
        let mut records = Vec::new();
        let mut last = None;
        self.view.scan_from(&self.next, &self.prefix, &mut |key, value| {
            let record = decode(key, value)?;
            if (self.keep)(&record) {
                records.push(record);
            }
            if records.len() < count {
                return Ok(ControlFlow::Continue(()));
            }
            last = Some(key.to_owned());
            Ok(ControlFlow::Break(()))
        })?;
        self.next = match last {
            // The smallest key after it.
            Some(mut last) => {
                last.push(0);
                last
            }
            // No key begins like this: a name ends with a zero byte.
            None => [self.prefix.as_slice(), &[u8::MAX]].concat(),
        };
        Ok(records)
    }
}
