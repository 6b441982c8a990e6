//! One blob on its way in: fetched, or found, and a layer unpacked in the same pass.
//!
//! ```text
//! socket ─> ingest (hash: digest) ─> channel ─> inflate ─> hash: diff ID, files ─> staging
//! ```
//! What an earlier attempt left of the ingest is read back into the same pipe first; the rest is asked for by range.
//! The blob is committed when its digest is right, the staging published, by [`super::unpack`], when the diff ID is.

use std::io::{self, Read};
use std::time::Duration;

use bytes::{Buf, Bytes};
use dhow_proto::error::Kind;
use tokio::sync::mpsc;

use super::manifest::Descriptor;
use super::progress::Part;
use super::transport::{Origin, Transport, TransportError, UNCOMPRESSED};
use crate::blocking;
use crate::content::{ContentError, Digest, WriteError, Writer};
use crate::diff::{Applied, Target, Unpacked, unpack};
use crate::fault::Fault;
use crate::label::Labels;
use crate::namespace::Scope;
use crate::registry::{Registry, RegistryError};
use crate::snapshot::{Snapshots, Staging};

/// How many pieces may wait between the network and the inflater. A piece may be as large as a socket's buffer
/// (400 KiB), and several layers move at once.
const DEPTH: usize = 8;

/// A blob that is wanted.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) descriptor: Descriptor,
    pub(super) digest: Digest,
    /// Where it can be had; without, it must be here.
    pub(super) registry: Option<Registry>,
    pub(super) part: Part,
}

/// The layer that a blob is to be unpacked as.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub(super) snapshots: Snapshots,
    pub(super) diff_id: Digest,
    pub(super) chain_id: Digest,
    /// Whether there is nothing below it.
    pub(super) lowest: bool,
}

/// A layer that was unpacked and waits for those below it to be published.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) staging: Staging,
    pub(super) applied: Applied,
}

impl Transport {
    /// Makes sure that the namespace has `wanted`.
    pub(super) async fn fetch(&self, scope: &Scope, wanted: &Wanted) -> Result<(), TransportError> {
        self.fetch_layer(scope, wanted, None).await.map(drop)
    }

    /// Makes sure that the namespace has `wanted`, and unpacks it as `layer` unless that is there too.
    pub(super) async fn fetch_layer(
        &self,
        scope: &Scope,
        wanted: &Wanted,
        layer: Option<&Layer>,
    ) -> Result<Option<Staged>, TransportError> {
        let _turn = self.turns.take(format!("{} {}", scope.namespace, wanted.digest)).await;
        let _place = self.layers.acquire().await;
        let missing = match layer {
            Some(layer) if !self.hold_snapshot(scope, &layer.snapshots, &layer.chain_id).await? => {
                Some(layer)
            }
            _ => None,
        };
        match self.begin(scope, wanted).await? {
            Some(writer) => self.receive(scope, wanted, writer, missing).await,
            None => {
                if let Some(registry) = &wanted.registry {
                    self.label_source(scope, &wanted.digest, &origin(registry)).await?;
                }
                match missing {
                    Some(layer) => self.unpack_blob(scope, wanted, layer).await.map(Some),
                    None => {
                        wanted.part.exists();
                        Ok(None)
                    }
                }
            }
        }
    }

    /// Opens the ingest of a blob; `None` when the namespace has it, which the lease then holds.
    async fn begin(&self, scope: &Scope, wanted: &Wanted) -> Result<Option<Writer>, TransportError> {
        if wanted.registry.is_none() {
            self.content.info(&scope.namespace, &wanted.digest)?;
            return Ok(None);
        }
        let mut pause = Duration::from_millis(10);
        let reference = wanted.descriptor.reference_key();
        let total = i64::try_from(wanted.descriptor.size).unwrap_or(i64::MAX);
        loop {
            let digest = Some(wanted.digest.clone());
            match self.content.writer(scope, &reference, digest, total).await {
                Ok(writer) => return Ok(Some(writer)),
                Err(ContentError::AlreadyExists(_)) => return Ok(None),
                // A client writes the same blob: when it is done, it is there.
                Err(error) if error.kind() == Kind::Unavailable => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn receive(
        &self,
        scope: &Scope,
        wanted: &Wanted,
        mut writer: Writer,
        layer: Option<&Layer>,
    ) -> Result<Option<Staged>, TransportError> {
        let resumed = writer.offset() > 0;
        if u64::try_from(writer.offset()).unwrap_or(u64::MAX) > wanted.descriptor.size {
            writer.restart().await?;
        }
        match self.receive_once(scope, wanted, writer, layer).await {
            // What was left of an earlier attempt is damaged, or was never this blob.
            Err(error) if resumed && is_damage(&error) => {
                tracing::info!(digest = %wanted.digest, error = %error, "start over");
                let mut writer = match self.begin(scope, wanted).await? {
                    Some(writer) => writer,
                    None => return self.receive_nothing(scope, wanted, layer).await,
                };
                writer.restart().await?;
                self.receive_once(scope, wanted, writer, layer).await
            }
            other => other,
        }
    }

    async fn receive_nothing(
        &self,
        scope: &Scope,
        wanted: &Wanted,
        layer: Option<&Layer>,
    ) -> Result<Option<Staged>, TransportError> {
        match layer {
            Some(layer) => self.unpack_blob(scope, wanted, layer).await.map(Some),
            None => Ok(None),
        }
    }

    async fn receive_once(
        &self,
        scope: &Scope,
        wanted: &Wanted,
        mut writer: Writer,
        layer: Option<&Layer>,
    ) -> Result<Option<Staged>, TransportError> {
        let reference = wanted.descriptor.reference_key();
        let (downloaded, unpacked) = match layer {
            None => (self.download(wanted, &mut writer, None).await, None),
            Some(layer) => {
                let (pieces, received) = mpsc::channel(DEPTH);
                let before = writer.reader()?.take(u64::try_from(writer.offset()).unwrap_or_default());
                let input = before.chain(Received { pieces: received, current: Bytes::new() });
                // Both end, whichever fails first: nothing writes into a directory that is being deleted.
                let (downloaded, unpacked) = tokio::join!(
                    self.download(wanted, &mut writer, Some(pieces)),
                    self.unpack_input(wanted, layer, input)
                );
                (downloaded, Some(unpacked))
            }
        };
        let result = async {
            // A download that broke off makes the unpacking fail, too: the reason is the download's.
            downloaded?;
            let staged = unpacked.transpose()?;
            let mut labels = Labels::new();
            if let Some(registry) = &wanted.registry {
                labels.extend(origin(registry).labels(&Labels::new()));
            }
            if let Some(layer) = layer {
                labels.insert(UNCOMPRESSED.to_owned(), layer.diff_id.to_string());
            }
            let size = i64::try_from(wanted.descriptor.size).unwrap_or(i64::MAX);
            match writer.commit(size, Some(&wanted.digest), labels).await {
                Ok(_) | Err(ContentError::AlreadyExists(_)) => Ok(staged),
                Err(error) => Err(TransportError::from(error)),
            }
        }
        .await;
        if let Err(error) = &result
            && is_damage(error)
        {
            // Going on from damaged bytes would fail for ever.
            drop(self.content.abort(scope, &reference).await);
        }
        result
    }

    /// Brings the rest of a blob into its ingest, and into `pieces`.
    async fn download(
        &self,
        wanted: &Wanted,
        writer: &mut Writer,
        pieces: Option<mpsc::Sender<Bytes>>,
    ) -> Result<(), TransportError> {
        let Some(registry) = &wanted.registry else { return Ok(()) };
        let failed = |source| TransportError::Registry { action: format!("fetch {}", wanted.digest), source };
        let mut position = u64::try_from(writer.offset()).unwrap_or_default();
        let mut blob = registry.blob(&wanted.digest, wanted.descriptor.size, position);
        wanted.part.downloading(position);
        while let Some(chunk) = blob.chunk().await.map_err(failed)? {
            position += chunk.len() as u64;
            writer.write(chunk.clone()).await?;
            wanted.part.downloading(position);
            if let Some(pieces) = &pieces
                && pieces.send(chunk).await.is_err()
            {
                // Unpacking failed; its reason is the one to tell.
                return Ok(());
            }
        }
        wanted.part.complete();
        Ok(())
    }

    /// Unpacks a blob that the namespace has.
    async fn unpack_blob(
        &self,
        scope: &Scope,
        wanted: &Wanted,
        layer: &Layer,
    ) -> Result<Staged, TransportError> {
        let file = self.content.reader(&scope.namespace, &wanted.digest)?;
        wanted.part.complete();
        let staged = self.unpack_input(wanted, layer, file).await?;
        let labels = Labels::from([(UNCOMPRESSED.to_owned(), layer.diff_id.to_string())]);
        self.label(scope, &wanted.digest, labels).await?;
        Ok(staged)
    }

    async fn unpack_input(
        &self,
        wanted: &Wanted,
        layer: &Layer,
        input: impl Read + Send + 'static,
    ) -> Result<Staged, TransportError> {
        let staging = layer.snapshots.stage().await?;
        let input = Counted { input, position: 0, size: wanted.descriptor.size, part: wanted.part.clone() };
        let target = if layer.lowest { Target::Merged } else { Target::Overlay };
        // The thread owns the staging: cancelled from outside, it ends before the directory goes.
        let (unpacked, staging) = blocking::run(move || {
            let unpacked = unpack(input, staging.path(), target);
            (unpacked, staging)
        })
        .await;
        let Unpacked { diff_id, applied, .. } = unpacked.map_err(|source| TransportError::Apply {
            media_type: wanted.descriptor.media_type.clone(),
            layer: wanted.digest.to_string(),
            source,
        })?;
        layer.verify(wanted, &diff_id)?;
        Ok(Staged { staging, applied })
    }
}

impl Layer {
    /// Checks that the archive of `wanted` hashed to the diff ID of this layer.
    pub(super) fn verify(&self, wanted: &Wanted, diff_id: &Digest) -> Result<(), TransportError> {
        if *diff_id == self.diff_id {
            return Ok(());
        }
        let (actual, expected) = (diff_id.clone(), self.diff_id.clone());
        Err(TransportError::DiffId { layer: wanted.digest.to_string(), actual, expected })
    }
}

/// The repository of `registry`.
pub(super) fn origin(registry: &Registry) -> Origin {
    let reference = registry.reference();
    Origin { host: reference.host().to_owned(), repository: reference.path().to_owned() }
}

/// Whether the bytes themselves were wrong, so that keeping them is of no use.
fn is_damage(error: &TransportError) -> bool {
    match error {
        TransportError::Content(ContentError::Write(error)) => {
            matches!(error, WriteError::Digest { .. } | WriteError::Size { .. })
        }
        TransportError::Registry { source: RegistryError::Protocol { .. }, .. } => true,
        TransportError::Apply { source, .. } => source.kind() != Kind::Internal,
        TransportError::DiffId { .. } => true,
        _ => false,
    }
}

/// Pieces from the network, as a blocking stream.
struct Received {
    pieces: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Read for Received {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.current.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.current = piece,
                None => return Ok(0),
            }
        }
        let count = self.current.len().min(buffer.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

/// Tells how much of a blob was unpacked; once all has been read, the rest is only waiting for the disk.
struct Counted<R> {
    input: R,
    position: u64,
    size: u64,
    part: Part,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.position += count as u64;
        self.part.extracting(self.position.min(self.size));
        Ok(count)
    }
}
