//! Activation: a record, the mounts, the whole record.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use dhow_proto::containerd::types::{ActiveMount, Mount};

use super::plan::{Plan, Step};
use super::{Activation, MOUNTS, Manager, MountError, folder};
use crate::blocking;
use crate::label::{self, Labels};
use crate::lease::{self, Resource};
use crate::metadata::{Durability, Transaction};
use crate::namespace::{self, Scope};

impl Manager {
    /// Mounts what of `mounts` must be mounted here, as `name`; with `temporary` all of it.
    pub(crate) async fn activate(
        &self,
        scope: &Scope,
        name: &str,
        mounts: Vec<Mount>,
        mut labels: Labels,
        temporary: bool,
    ) -> Result<Activation, MountError> {
        label::validate(&labels)?;
        labels.retain(|_, value| !value.is_empty());
        let plan = Plan::of(mounts, temporary)?;
        let now = Some(SystemTime::now().into());
        let begun = Activation {
            name: name.to_owned(),
            number: self.next(),
            labels,
            created_at: now,
            updated_at: now,
            leased: scope.lease.is_some(),
            ..Activation::default()
        };
        let (this, scope) = (self.clone(), scope.clone());
        // Its own task: a client that goes away leaves an activation whole, or none.
        let activated = tokio::spawn(async move {
            let _turn = this.0.turns.take(format!("{} {}", scope.namespace, begun.name)).await;
            this.begin(&scope, &begun).await?;
            let whole = this.perform(&scope, plan, begun.clone()).await;
            if whole.is_err()
                && let Err(error) = this.forget(&scope, &begun.name).await
            {
                tracing::warn!(name = begun.name, error = %dhow_proto::error::chain(&error), "a record stays");
            }
            whole
        });
        match activated.await {
            Ok(activated) => activated,
            Err(failure) => match failure.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// Writes the record that stands for what is being mounted; one that a failure left is replaced.
    async fn begin(&self, scope: &Scope, begun: &Activation) -> Result<(), MountError> {
        let (scope, begun) = (scope.clone(), begun.clone());
        let insert = move |transaction: &mut Transaction<'_>| {
            let path = [scope.namespace.as_str(), begun.name.as_str()];
            let stale = match MOUNTS.get(transaction, &path)? {
                Some(found) if found.complete => return Err(MountError::AlreadyExists(begun.name.clone())),
                stale => stale.map(|stale| stale.number),
            };
            namespace::ensure(transaction, &scope.namespace)?;
            lease::hold(transaction, &scope, &Resource::Mount(begun.name.clone()))?;
            MOUNTS.put(transaction, &path, &begun)?;
            Ok(stale)
        };
        match self.0.metadata.write(Durability::Process, insert).await? {
            Some(stale) => self.clear(stale).await,
            None => Ok(()),
        }
    }

    async fn perform(
        &self,
        scope: &Scope,
        plan: Plan,
        mut record: Activation,
    ) -> Result<Activation, MountError> {
        let (folder, roots) = (self.folder(record.number), self.0.roots.to_vec());
        let done = blocking::run(move || {
            let begun = folder::Begun::make(folder.clone())?;
            let (active, system) = mount_all(&folder, plan, &roots)?;
            Ok::<_, MountError>((active, system, begun))
        });
        let (active, system, begun) = done.await?;
        (record.active, record.system, record.complete) = (active, system, true);
        record.updated_at = Some(SystemTime::now().into());
        let (scope, whole) = (scope.clone(), record.clone());
        let finish = move |transaction: &mut Transaction<'_>| {
            MOUNTS.put(transaction, &[scope.namespace.as_str(), &whole.name], &whole)?;
            Ok::<_, MountError>(())
        };
        let written = self.0.metadata.write(Durability::Process, finish).await;
        match written {
            Ok(()) => begun.keep(),
            // Unmounting may wait for the disk.
            Err(_) => blocking::run(move || drop(begun)).await,
        }
        written.map(|()| record)
    }
}

/// What is mounted now, and what is left to the client.
fn mount_all(
    folder: &Path,
    plan: Plan,
    roots: &[PathBuf],
) -> Result<(Vec<ActiveMount>, Vec<Mount>), MountError> {
    let mut active = Vec::new();
    let prepare = |step: Step, active: &[ActiveMount]| {
        step.transforms.iter().try_fold(step.mount, |mount, transform| transform.apply(mount, active, roots))
    };
    for (index, step) in plan.here.into_iter().enumerate() {
        let mounted = prepare(step, &active).and_then(|mount| folder::mount(folder, index, mount));
        active.push(mounted.map_err(|source| MountError::Mount { index, source })?);
    }
    let mut system = Vec::new();
    for (index, step) in plan.system.into_iter().enumerate() {
        let index = active.len() + index;
        system.push(prepare(step, &active).map_err(|source| MountError::Mount { index, source })?);
    }
    // There is always a last step for the client: to put the tree where it wants it.
    if let (true, Some(last)) = (system.is_empty(), active.last()) {
        system.push(folder::bind(last.mount_point.clone()));
    }
    Ok((active, system))
}
