//! The two views of the store: a snapshot to read, and a transaction to write.

use std::ops::ControlFlow;

use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable, Table};

use super::{Barrier, StoreError, TABLE};

/// What a scan calls for each key and value.
pub(crate) type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StoreError> + 'a;

/// Something that can be read: a snapshot, or a transaction with its own writes.
pub(crate) trait View {
    /// The value at `key`.
    fn bytes(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Shows `visit` what is below `prefix`, in order, until it breaks off.
    fn scan(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError>;
}

/// The committed state at one moment.
pub(crate) struct Snapshot(ReadOnlyTable<&'static [u8], &'static [u8]>);

impl Snapshot {
    pub(super) fn begin(database: &Database) -> Result<Self, StoreError> {
        let read = |error: redb::Error| StoreError::Read(Box::new(error));
        let transaction = database.begin_read().map_err(|error| read(error.into()))?;
        Ok(Self(transaction.open_table(TABLE).map_err(|error| read(error.into()))?))
    }

    /// Shows `visit` what is below `prefix` from the key `start` on, in order, until it breaks off.
    pub(super) fn scan_from(
        &self,
        start: &[u8],
        prefix: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        scan(&self.0, start, prefix, visit)
    }
}

impl View for Snapshot {
    fn bytes(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        bytes(&self.0, key)
    }

    fn scan(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        scan(&self.0, prefix, prefix, visit)
    }
}

/// A write in progress; what it wrote is visible to itself.
pub(crate) struct Transaction<'a> {
    table: Table<'a, &'static [u8], &'static [u8]>,
    operations: &'a mut Vec<Operation>,
    barrier: &'a Barrier,
}

/// One change: a value for a key, or its removal.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Operation {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(super) value: Option<Vec<u8>>,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(
        table: Table<'a, &'static [u8], &'static [u8]>,
        operations: &'a mut Vec<Operation>,
        barrier: &'a Barrier,
    ) -> Self {
        Self { table, operations, barrier }
    }

    /// How many changes there were so far.
    pub(super) fn changes(&self) -> usize {
        self.operations.len()
    }

    /// Whether anything was removed after the first `changes`.
    pub(super) fn removed_since(&self, changes: usize) -> bool {
        self.operations.iter().skip(changes).any(|change| change.value.is_none())
    }

    /// Sets the value at `key`.
    pub(super) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), StoreError> {
        self.table.insert(key.as_slice(), value.as_slice()).map_err(write)?;
        self.operations.push(Operation { key, value: Some(value) });
        Ok(())
    }

    /// Removes the value at `key`; `false` when there was none.
    pub(super) fn remove(&mut self, key: Vec<u8>) -> Result<bool, StoreError> {
        let present = self.table.remove(key.as_slice()).map_err(write)?.is_some();
        if present {
            self.operations.push(Operation { key, value: None });
        }
        Ok(present)
    }

    /// The keys written since [`super::Store::watch`] began, by this transaction too.
    pub(crate) fn written(&self) -> Vec<Vec<u8>> {
        let own =
            self.operations.iter().filter(|change| change.value.is_some()).map(|change| change.key.clone());
        let barrier = self.barrier.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        barrier.iter().flatten().cloned().chain(own).collect()
    }
}

impl View for Transaction<'_> {
    fn bytes(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        bytes(&self.table, key)
    }

    fn scan(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        scan(&self.table, prefix, prefix, visit)
    }
}

fn write(error: redb::StorageError) -> StoreError {
    StoreError::Write(Box::new(error.into()))
}

fn read(error: redb::StorageError) -> StoreError {
    StoreError::Read(Box::new(error.into()))
}

fn bytes(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    key: &[u8],
) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(table.get(key).map_err(read)?.map(|value| value.value().to_vec()))
}

fn scan(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    start: &[u8],
    prefix: &[u8],
    visit: &mut Visit<'_>,
) -> Result<(), StoreError> {
    for entry in table.range(start..).map_err(read)? {
        let (key, value) = entry.map_err(read)?;
        if !key.value().starts_with(prefix) || visit(key.value(), value.value())?.is_break() {
            break;
        }
    }
    Ok(())
}
