//! Typed access: a collection is all records of one type, each a protobuf message at a path of names.

use std::marker::PhantomData;
use std::ops::ControlFlow;

use prost::Message;

use super::{Listing, Snapshot, StoreError, Transaction, View, key};

/// The records of type `R` under one name of the schema.
#[derive(Debug)]
pub(crate) struct Collection<R> {
    name: &'static str,
    record: PhantomData<fn() -> R>,
}

impl<R: Message + Default> Collection<R> {
    /// The collection called `name` in the schema.
    pub(crate) const fn new(name: &'static str) -> Self {
        Self { name, record: PhantomData }
    }

    /// Its name in the schema.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    fn key(&self, path: &[&str]) -> Vec<u8> {
        let mut names = Vec::with_capacity(path.len() + 1);
        names.push(self.name);
        names.extend(path);
        key::encode(&names)
    }

    /// The record at `path`.
    pub(crate) fn get(&self, view: &impl View, path: &[&str]) -> Result<Option<R>, StoreError> {
        let key = self.key(path);
        view.bytes(&key)?.map(|value| decode(&key, &value)).transpose()
    }

    /// Whether there is a record at `path`.
    pub(crate) fn contains(&self, view: &impl View, path: &[&str]) -> Result<bool, StoreError> {
        Ok(view.bytes(&self.key(path))?.is_some())
    }

    /// Whether nothing is below `path`.
    pub(crate) fn is_empty(&self, view: &impl View, path: &[&str]) -> Result<bool, StoreError> {
        let mut empty = true;
        view.scan(&self.key(path), &mut |_, _| {
            empty = false;
            Ok(ControlFlow::Break(()))
        })?;
        Ok(empty)
    }

    /// Makes `record` the one at `path`.
    pub(crate) fn put(
        &self,
        transaction: &mut Transaction<'_>,
        path: &[&str],
        record: &R,
    ) -> Result<(), StoreError> {
        transaction.put(self.key(path), record.encode_to_vec())
    }

    /// Removes the record at `path`; `false` when there was none.
    pub(crate) fn remove(
        &self,
        transaction: &mut Transaction<'_>,
        path: &[&str],
    ) -> Result<bool, StoreError> {
        transaction.remove(self.key(path))
    }

    /// Removes every record below `path`.
    pub(crate) fn clear(&self, transaction: &mut Transaction<'_>, path: &[&str]) -> Result<(), StoreError> {
        let mut keys = Vec::new();
        transaction.scan(&self.key(path), &mut |key, _| {
            keys.push(key.to_owned());
            Ok(ControlFlow::Continue(()))
        })?;
        keys.into_iter().try_for_each(|key| transaction.remove(key).map(drop))
    }

    /// Shows `visit` every record below `path` in the order of their names, with the names that follow `path`.
    pub(crate) fn each(
        &self,
        view: &impl View,
        path: &[&str],
        mut visit: impl FnMut(&[String], R) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let skip = path.len() + 1;
        view.scan(&self.key(path), &mut |key, value| {
            let names = key::decode(key);
            visit(names.get(skip..).unwrap_or_default(), decode(key, value)?)?;
            Ok(ControlFlow::Continue(()))
        })
    }

    /// The records below `path` that `keep` wants, in the order of their names.
    pub(crate) fn list(
        &self,
        view: &impl View,
        path: &[&str],
        keep: impl Fn(&R) -> bool,
    ) -> Result<Vec<R>, StoreError> {
        let mut records = Vec::new();
        self.each(view, path, |_, record| {
            if keep(&record) {
                records.push(record);
            }
            Ok(())
        })?;
        Ok(records)
    }

    /// The records of `view` below `path` that `keep` wants, to be read a page at a time.
    pub(crate) fn listing(
        &self,
        view: Snapshot,
        path: &[&str],
        keep: impl Fn(&R) -> bool + Send + 'static,
    ) -> Listing<R> {
        Listing::new(view, self.key(path), keep)
    }
}

pub(super) fn decode<R: Message + Default>(key: &[u8], value: &[u8]) -> Result<R, StoreError> {
    R::decode(value).map_err(|source| StoreError::Decode { key: key::decode(key).join("/"), source })
}
