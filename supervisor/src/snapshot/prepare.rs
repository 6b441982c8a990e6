//! New snapshots: active ones, and views.

use std::time::SystemTime;

use dhow_linux::file::PathError;
use dhow_proto::containerd::events::SnapshotPrepare;
use dhow_proto::containerd::types::Mount;

use super::{Kind, Record, Remap, SNAPSHOTS, SnapshotError, Snapshots, StateError, TARGET};
use crate::blocking;
use crate::label::{self, Labels};
use crate::lease;
use crate::metadata::{Durability, Transaction};
use crate::namespace::Scope;

impl Snapshots {
    /// Makes an active snapshot under `key`, on `parent` or on nothing.
    pub(crate) async fn prepare(
        &self,
        scope: &Scope,
        key: &str,
        parent: &str,
        labels: Labels,
    ) -> Result<Vec<Mount>, SnapshotError> {
        self.make(scope, Kind::Active, key, parent, labels).await
    }

    /// Makes a view of `parent` under `key`.
    pub(crate) async fn view(
        &self,
        scope: &Scope,
        key: &str,
        parent: &str,
        labels: Labels,
    ) -> Result<Vec<Mount>, SnapshotError> {
        self.make(scope, Kind::View, key, parent, labels).await
    }

    async fn make(
        &self,
        scope: &Scope,
        kind: Kind,
        key: &str,
        parent: &str,
        mut labels: Labels,
    ) -> Result<Vec<Mount>, SnapshotError> {
        if key.is_empty() {
            return Err(StateError::NoKey.into());
        }
        label::validate(&labels)?;
        labels.retain(|_, value| !value.is_empty());
        if let Some(present) = self.present(scope, key, labels.get(TARGET)).await? {
            return Err(present);
        }
        let remap = Remap::of(&labels)?;
        let parents = self.lineage(&self.0.metadata.read()?, &scope.namespace, parent)?;
        let inner = self.0.clone();
        let (mut reserved, mounts) = blocking::run(move || {
            let reserved = inner.directories.reserve()?;
            inner.driver.fill(&reserved.path(), kind, &parents, remap.as_ref())?;
            let mounts = inner.driver.mounts(&reserved.path(), kind, &parents, remap.as_ref());
            Ok::<_, PathError>((reserved, mounts))
        })
        .await?;
        let now = Some(SystemTime::now().into());
        let record = Record {
            key: key.to_owned(),
            parent: parent.to_owned(),
            kind: kind.into(),
            created_at: now,
            updated_at: now,
            labels,
            directory: reserved.number(),
            leased: scope.lease.is_some(),
            ..Record::default()
        };
        let this = self.clone();
        let place = scope.clone();
        let insert = move |transaction: &mut Transaction<'_>| {
            // The directory belongs to this closure: it stays or goes with the record, whoever waits for the reply.
            reserved.keep(false);
            if SNAPSHOTS.contains(transaction, &[place.namespace.as_str(), this.name(), &record.key])? {
                return Err(SnapshotError::AlreadyExists(record.key.clone()));
            }
            this.check_parent(transaction, &place.namespace, &record.parent, StateError::Parent)?;
            this.insert(transaction, &place, &record)?;
            reserved.keep(true);
            Ok(record.clone())
        };
        let (inner, place) = (self.0.clone(), scope.clone());
        let tell = move |new: &Record| {
            if kind == Kind::Active {
                let (key, parent) = (new.key.clone(), new.parent.clone());
                let event = SnapshotPrepare { key, parent, snapshotter: inner.driver.name().to_owned() };
                inner.events.publish(place.namespace.as_str(), "/snapshot/prepare", &event);
            }
        };
        self.0.metadata.write_then(Durability::Process, insert, tell).await?;
        Ok(mounts)
    }

    /// Whether `key`, or the committed snapshot that it is to become, exists; the lease of `scope` then holds it.
    async fn present(
        &self,
        scope: &Scope,
        key: &str,
        target: Option<&String>,
    ) -> Result<Option<SnapshotError>, SnapshotError> {
        let namespace = scope.namespace.as_str();
        let view = self.0.metadata.read()?;
        let exists = |key: &str| SNAPSHOTS.contains(&view, &[namespace, self.name(), key]);
        let found = match target {
            Some(target) if exists(target)? => SnapshotError::Target(target.clone()),
            _ if exists(key)? => SnapshotError::AlreadyExists(key.to_owned()),
            _ => return Ok(None),
        };
        let held = match &found {
            SnapshotError::Target(name) | SnapshotError::AlreadyExists(name) => self.resource(name),
            _ => return Ok(Some(found)),
        };
        if scope.lease.is_some() {
            let place = scope.clone();
            let hold = move |transaction: &mut Transaction<'_>| lease::hold(transaction, &place, &held);
            self.0.metadata.write(Durability::Process, hold).await?;
        }
        Ok(Some(found))
    }
}
