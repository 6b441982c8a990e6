//! The store of sandbox records.

use super::record::{RecordError, SANDBOXES, Sandbox};
use crate::filter::Filter;
use crate::metadata::{self, Durability, Transaction};
use crate::namespace::{self, Namespace};

/// Keeps the records of sandboxes; as those of containers, they reach the disk soon, not before the reply.
#[derive(Debug, Clone)]
pub(crate) struct Store(metadata::Store);

impl Store {
    /// Sandboxes kept in `metadata`.
    pub(crate) fn new(metadata: metadata::Store) -> Self {
        Self(metadata)
    }

    /// The record of `id`.
    pub(crate) fn get(&self, namespace: &Namespace, id: &str) -> Result<Sandbox, RecordError> {
        SANDBOXES.get(&self.0.read()?, &[namespace.as_str(), id])?.ok_or_else(|| missing(namespace, id))
    }

    /// The records that `filters` want, by id.
    pub(crate) fn list(
        &self,
        namespace: &Namespace,
        filters: &[String],
    ) -> Result<Vec<Sandbox>, RecordError> {
        let filter = Filter::parse(filters)?;
        Ok(SANDBOXES.list(&self.0.read()?, &[namespace.as_str()], |sandbox| filter.matches(sandbox))?)
    }

    /// Makes a record, and says when.
    pub(crate) async fn create(
        &self,
        namespace: &Namespace,
        mut sandbox: Sandbox,
    ) -> Result<Sandbox, RecordError> {
        sandbox.validate()?;
        sandbox.created_at = Some(std::time::SystemTime::now().into());
        sandbox.updated_at = sandbox.created_at;
        let place = namespace.clone();
        let insert = move |transaction: &mut Transaction<'_>| {
            if SANDBOXES.contains(transaction, &[place.as_str(), &sandbox.id])? {
                return Err(RecordError::AlreadyExists(sandbox.id.clone()));
            }
            namespace::ensure(transaction, &place)?;
            SANDBOXES.put(transaction, &[place.as_str(), &sandbox.id], &sandbox)?;
            Ok(sandbox.clone())
        };
        self.0.write(Durability::Process, insert).await
    }

    /// Changes the fields that `mask` names, or all that may change.
    pub(crate) async fn update(
        &self,
        namespace: &Namespace,
        sandbox: Sandbox,
        mask: Vec<String>,
    ) -> Result<Sandbox, RecordError> {
        let place = namespace.clone();
        let change = move |transaction: &mut Transaction<'_>| {
            let found = SANDBOXES.get(transaction, &[place.as_str(), &sandbox.id])?;
            let mut updated = found.ok_or_else(|| missing(&place, &sandbox.id))?;
            updated.apply(&sandbox, &mask)?;
            updated.validate()?;
            updated.updated_at = Some(std::time::SystemTime::now().into());
            SANDBOXES.put(transaction, &[place.as_str(), &updated.id], &updated)?;
            Ok(updated)
        };
        self.0.write(Durability::Process, change).await
    }

    /// Removes a record.
    pub(crate) async fn delete(&self, namespace: &Namespace, id: &str) -> Result<(), RecordError> {
        let (place, gone) = (namespace.clone(), id.to_owned());
        let remove = move |transaction: &mut Transaction<'_>| match SANDBOXES
            .remove(transaction, &[place.as_str(), &gone])?
        {
            true => Ok(()),
            false => Err(missing(&place, &gone)),
        };
        self.0.write(Durability::Process, remove).await
    }
}

fn missing(namespace: &Namespace, id: &str) -> RecordError {
    RecordError::NotFound { id: id.to_owned(), namespace: namespace.clone() }
}
