//! The layers of an image: all on their way at once, published from the lowest up.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tokio::task::JoinSet;

use super::layer::{Layer, Staged, Wanted};
use super::manifest::chain_ids;
use super::transport::{Transport, TransportError};
use crate::blocking;
use crate::content::Digest;
use crate::diff::{Applied, ApplyError, Target, inherit, unpack};
use crate::fault::Fault;
use crate::label::Labels;
use crate::namespace::Scope;
use crate::snapshot::{Publication, Snapshots};

/// The label of a snapshot with its own name, as containerd's unpacker sets it.
const SNAPSHOT_REFERENCE: &str = "containerd.io/snapshot.ref";

/// The snapshots that layers become.
#[derive(Debug, Clone)]
pub(super) struct Stack {
    pub(super) snapshots: Snapshots,
    pub(super) diff_ids: Vec<Digest>,
}

impl Transport {
    /// Makes sure that the namespace has the blobs of `layers`, and unpacks them as `stack`.
    pub(super) async fn layers(
        &self,
        scope: &Scope,
        layers: Vec<Wanted>,
        stack: Option<&Stack>,
    ) -> Result<(), TransportError> {
        match stack {
            Some(stack) if !stack.snapshots.unpacks_apart() => {
                self.arrive(scope, &layers, None).await?;
                self.unpack_in_turn(scope, &layers, stack).await
            }
            _ => self.arrive(scope, &layers, stack).await,
        }
    }

    async fn arrive(
        &self,
        scope: &Scope,
        layers: &[Wanted],
        stack: Option<&Stack>,
    ) -> Result<(), TransportError> {
        let places = stack.map(places).unwrap_or_default();
        let mut tasks = JoinSet::new();
        for (number, wanted) in layers.iter().cloned().enumerate() {
            let (this, scope, place) = (self.clone(), scope.clone(), places.get(number).cloned());
            tasks.spawn(async move { (number, this.fetch_layer(&scope, &wanted, place.as_ref()).await) });
        }
        // The first failure ends the rest: the tasks die with the set.
        let mut ready: BTreeMap<usize, Option<Staged>> = BTreeMap::new();
        let (mut next, mut parent) = (0, None);
        while let Some(task) = tasks.join_next().await {
            let (number, staged) = match task {
                Ok((number, staged)) => (number, staged?),
                Err(failure) => std::panic::resume_unwind(failure.into_panic()),
            };
            ready.insert(number, staged);
            let mut batch = Vec::new();
            while let Some(staged) = ready.remove(&(next + batch.len())) {
                batch.push(staged);
            }
            let done = next..next + batch.len();
            if let Some(places) = places.get(done.clone()) {
                self.publish(scope, batch, places, parent.as_ref()).await?;
                parent = places.last().map(|top| top.chain_id.clone()).or(parent);
            }
            done.clone().for_each(|number| layers[number].part.extracted());
            next = done.end;
        }
        Ok(())
    }

    /// Makes staged layers snapshots, one on the other, the lowest on `parent`; those without a staging are there.
    async fn publish(
        &self,
        scope: &Scope,
        batch: Vec<Option<Staged>>,
        places: &[Layer],
        parent: Option<&Digest>,
    ) -> Result<(), TransportError> {
        let Some(snapshots) = places.first().map(|place| &place.snapshots) else { return Ok(()) };
        let below = |parent: Option<&Digest>| match parent {
            Some(parent) => snapshots.layers(&scope.namespace, parent.as_str()),
            None => Ok(Vec::new()),
        };
        let mut stands_on = below(parent)?;
        let mut parent = parent.cloned();
        let mut publications = Vec::new();
        for (staged, place) in batch.into_iter().zip(places) {
            let name = place.chain_id.clone();
            match staged {
                None => stands_on = below(Some(&name))?,
                Some(Staged { staging, applied }) => {
                    if !applied.implied.is_empty() {
                        inherit_below(staging.path(), applied, stands_on.clone(), &name).await?;
                    }
                    stands_on.insert(0, staging.path().to_owned());
                    let labels = reference(&name);
                    publications.push(Publication { staging, name: name.clone(), parent, labels });
                }
            }
            parent = Some(name);
        }
        Ok(snapshots.publish(scope, publications).await?)
    }

    /// Unpacks blobs that are here one on the other, for snapshotters whose snapshots hold whole trees.
    async fn unpack_in_turn(
        &self,
        scope: &Scope,
        layers: &[Wanted],
        stack: &Stack,
    ) -> Result<(), TransportError> {
        let mut parent = String::new();
        for (wanted, place) in layers.iter().zip(places(stack)) {
            let name = place.chain_id.to_string();
            let _turn =
                self.turns.take(format!("{} {} {name}", scope.namespace, place.snapshots.name())).await;
            if !self.hold_snapshot(scope, &place.snapshots, &place.chain_id).await? {
                self.unpack_one(scope, wanted, &place, &parent).await?;
            }
            wanted.part.extracted();
            parent = name;
        }
        Ok(())
    }

    async fn unpack_one(
        &self,
        scope: &Scope,
        wanted: &Wanted,
        place: &Layer,
        parent: &str,
    ) -> Result<(), TransportError> {
        let snapshots = &place.snapshots;
        let key = format!("extract-{} {}", super::transport::unique(), place.chain_id);
        let mounts = snapshots.prepare(scope, &key, parent, reference(&place.chain_id)).await?;
        let root = mounts.first().map(|mount| mount.source.clone()).unwrap_or_default();
        let file = self.content.reader(&scope.namespace, &wanted.digest)?;
        let unpacked = blocking::run(move || unpack(file, Path::new(&root), Target::Merged)).await;
        let result = async {
            let unpacked = unpacked.map_err(|source| TransportError::Apply {
                media_type: wanted.descriptor.media_type.clone(),
                layer: wanted.digest.to_string(),
                source,
            })?;
            place.verify(wanted, &unpacked.diff_id)?;
            snapshots.commit(scope, place.chain_id.as_str(), &key, "", reference(&place.chain_id)).await?;
            Ok(())
        }
        .await;
        if result.is_err()
            && let Err(error) = snapshots.remove(scope, &key).await
        {
            tracing::debug!(key, kind = ?error.kind(), "what was unpacked so far stays for the collector");
        }
        result
    }
}

/// Gives directories that a layer needed but did not hold the metadata that they have in the layers `below`.
async fn inherit_below(
    layer: &Path,
    applied: Applied,
    below: Vec<PathBuf>,
    name: &Digest,
) -> Result<(), TransportError> {
    let layer = layer.to_owned();
    let inherited = blocking::run(move || {
        let below: Vec<&Path> = below.iter().map(PathBuf::as_path).collect();
        inherit(&layer, &applied.implied, &below)
    });
    inherited.await.map_err(|source| TransportError::Apply {
        media_type: String::new(),
        layer: name.to_string(),
        source: ApplyError::Write { action: "copy metadata below", path: "/".to_owned(), source },
    })
}

fn reference(chain_id: &Digest) -> Labels {
    Labels::from([(SNAPSHOT_REFERENCE.to_owned(), chain_id.to_string())])
}

/// Where each layer goes.
fn places(stack: &Stack) -> Vec<Layer> {
    let chain = chain_ids(&stack.diff_ids);
    let place = |(number, (diff_id, chain_id)): (usize, (&Digest, Digest))| Layer {
        snapshots: stack.snapshots.clone(),
        diff_id: diff_id.clone(),
        chain_id,
        lowest: number == 0,
    };
    stack.diff_ids.iter().zip(chain).enumerate().map(place).collect()
}
