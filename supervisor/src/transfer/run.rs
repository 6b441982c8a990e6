//! Running a transfer: the pair of its ends decides what is done.

use std::io;

use dhow_proto::containerd::types::transfer::{
    ImageExportStream, ImageImportStream, ImageStore, Progress as ProgressMessage,
};
use dhow_proto::error::Kind;
use tokio::sync::mpsc::unbounded_channel;

use super::bytes::{Incoming, Outgoing};
use super::end::{End, EndError, selection};
use super::naming;
use super::stream::{Closing, Stream, StreamError, Streams};
use crate::blocking;
use crate::fault::Fault;
use crate::image::archive::ExportOptions;
use crate::image::manifest::Descriptor;
use crate::image::platform::Platform;
use crate::image::{Image, ImageError, Progress, Selection, Transport, TransportError, Update};
use crate::namespace::Scope;
use crate::registry::Registry;

/// What transfers work on; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Transfers {
    transport: Transport,
    /// The streams that clients have open.
    pub(crate) streams: Streams,
}

/// Why a transfer failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransferError {
    /// One of its ends.
    #[error(transparent)]
    End(#[from] EndError),
    /// Moving the image.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The record of an image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A stream.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The pair makes no sense.
    #[error("method Transfer not implemented for {from} to {to}")]
    Pair {
        /// The source.
        from: String,
        /// The destination.
        to: String,
    },
    /// Prefixes stand for several images.
    #[error("prefix lookup on export not implemented")]
    Prefix,
    /// The image has no target.
    #[error("image {0:?} has no target")]
    Target(String),
    /// Bytes did not get through.
    #[error("copy the stream")]
    Copy(#[source] io::Error),
}

impl Fault for TransferError {
    fn kind(&self) -> Kind {
        match self {
            Self::End(error) => error.kind(),
            Self::Transport(error) => error.kind(),
            Self::Image(error) => error.kind(),
            Self::Stream(error) => error.kind(),
            Self::Pair { .. } | Self::Prefix => Kind::Unimplemented,
            Self::Target(_) => Kind::FailedPrecondition,
            Self::Copy(_) => Kind::Unavailable,
        }
    }
}

impl Transfers {
    /// Transfers over `transport`.
    pub(crate) fn new(transport: Transport) -> Self {
        Self { transport, streams: Streams::default() }
    }

    /// Moves what is at `from` to `to`, telling `stream` about it. The stream ends with the transfer.
    pub(crate) async fn run(
        &self,
        scope: &Scope,
        from: End,
        to: End,
        stream: Option<Stream>,
    ) -> Result<(), TransferError> {
        let Some(stream) = stream else { return self.dispatch(scope, from, to, &Progress::default()).await };
        let closing = Closing(stream.clone());
        let (sender, mut updates) = unbounded_channel();
        let telling = async {
            while let Some(update) = updates.recv().await {
                if stream.send(&message(update)).await.is_err() {
                    // Nobody listens any more; the transfer goes on.
                    break;
                }
            }
        };
        let progress = Progress::to(sender);
        let moving = async {
            let result = self.dispatch(scope, from, to, &progress).await;
            drop(progress);
            result
        };
        let (result, ()) = tokio::join!(moving, telling);
        drop(closing);
        result
    }

    async fn dispatch(
        &self,
        scope: &Scope,
        from: End,
        to: End,
        progress: &Progress,
    ) -> Result<(), TransferError> {
        match (from, to) {
            (End::Registry(registry, name, _answering), End::Images(store)) => {
                let leased = self.transport.lease(scope).await?;
                self.pull(&leased.scope, &registry, &name, &store, progress).await
            }
            (End::Images(store), End::Registry(registry, name, _answering)) => {
                self.push(scope, &store, &registry, &name, progress).await
            }
            (End::Images(source), End::Images(store)) => {
                let target = self.target(scope, &source.name)?;
                self.record(scope, naming::records(&store, &target), progress).await.map(drop)
            }
            (End::Import(stream, import), End::Images(store)) => {
                let leased = self.transport.lease(scope).await?;
                self.import(&leased.scope, stream, &import, &store, progress).await
            }
            (End::Images(store), End::Export(stream, export)) => {
                self.export(scope, &store, stream, &export, progress).await
            }
            (End::Import(incoming, _), End::Export(outgoing, _)) => echo(&incoming, &outgoing).await,
            (from, to) => Err(TransferError::Pair { from: from.name(), to: to.name() }),
        }
    }

    async fn pull(
        &self,
        scope: &Scope,
        registry: &Registry,
        name: &str,
        store: &ImageStore,
        progress: &Progress,
    ) -> Result<(), TransferError> {
        progress.event(format!("Resolving from OCI Registry ({name})"));
        let target = self.transport.pull(scope, registry, &selection(store), name, progress).await?;
        self.record(scope, naming::records(store, &target), progress).await?;
        progress.event(format!("Completed pull from OCI Registry ({name})"));
        Ok(())
    }

    async fn push(
        &self,
        scope: &Scope,
        store: &ImageStore,
        registry: &Registry,
        name: &str,
        progress: &Progress,
    ) -> Result<(), TransferError> {
        let target = self.target(scope, &store.name)?;
        let platforms = selection(store).platforms;
        Ok(self.transport.push(scope, registry, &target, &platforms, (&store.name, name), progress).await?)
    }

    async fn import(
        &self,
        scope: &Scope,
        stream: Closing,
        import: &ImageImportStream,
        store: &ImageStore,
        progress: &Progress,
    ) -> Result<(), TransferError> {
        progress.event("Importing");
        let input = Incoming::new(stream.0.clone());
        let (descriptor, index) = self.transport.import(scope, input, import.force_compress).await?;
        let chosen: Selection = selection(store);
        self.transport.settle(scope, &index, &chosen, progress).await?;
        self.record(scope, naming::records(store, &descriptor), progress).await?;
        for manifest in &index.manifests {
            self.record(scope, naming::imported(store, manifest), progress).await?;
        }
        progress.event("Completed import");
        Ok(())
    }

    async fn export(
        &self,
        scope: &Scope,
        store: &ImageStore,
        stream: Closing,
        export: &ImageExportStream,
        progress: &Progress,
    ) -> Result<(), TransferError> {
        if !matches!(export.media_type.as_str(), "" | "application/vnd.oci.image.layout.v1+tar") {
            tracing::debug!(media_type = export.media_type, "archives are always an OCI layout");
        }
        progress.event("Exporting");
        let mut images = Vec::new();
        if !store.name.is_empty() {
            images.push((store.name.clone(), self.target(scope, &store.name)?));
        }
        for reference in &store.extra_references {
            if reference.is_prefix {
                return Err(TransferError::Prefix);
            }
            images.push((reference.name.clone(), self.target(scope, &reference.name)?));
        }
        let platforms: Vec<Platform> = export.platforms.iter().cloned().map(Platform::from).collect();
        let platforms =
            if export.all_platforms || !platforms.is_empty() { platforms } else { vec![Platform::host()] };
        let options = ExportOptions {
            platforms: if export.all_platforms { Vec::new() } else { platforms },
            skip_docker: export.skip_compatibility_manifest,
            skip_foreign: export.skip_non_distributable,
        };
        let (output, sending) = Outgoing::new(stream.0.clone());
        let (written, sent) = tokio::join!(self.transport.export(scope, &images, &options, output), sending);
        sent?;
        written?;
        progress.event("Completed export");
        Ok(())
    }

    /// What the image called `name` stands for.
    fn target(&self, scope: &Scope, name: &str) -> Result<Descriptor, TransferError> {
        let image = self.transport.images.get(&scope.namespace, name)?;
        image.target.map(Descriptor::from).ok_or_else(|| TransferError::Target(name.to_owned()))
    }

    async fn record(
        &self,
        scope: &Scope,
        images: Vec<Image>,
        progress: &Progress,
    ) -> Result<(), TransferError> {
        for image in images {
            let saved = self.transport.images.put(scope, image).await?;
            if let Some(target) = saved.target {
                progress.image("saved", &saved.name, &target.into());
            }
        }
        Ok(())
    }
}

/// Sends back what comes.
async fn echo(incoming: &Closing, outgoing: &Closing) -> Result<(), TransferError> {
    let mut input = Incoming::new(incoming.0.clone());
    let (mut output, sending) = Outgoing::new(outgoing.0.clone());
    let copying = blocking::run(move || io::copy(&mut input, &mut output));
    let (copied, sent) = tokio::join!(copying, sending);
    sent?;
    copied.map_err(TransferError::Copy)?;
    Ok(())
}

fn message(update: Update) -> ProgressMessage {
    ProgressMessage {
        event: update.event,
        name: update.name,
        parents: update.parents,
        progress: i64::try_from(update.progress).unwrap_or(i64::MAX),
        total: i64::try_from(update.total).unwrap_or(i64::MAX),
        desc: update.descriptor.as_ref().map(Into::into),
    }
}
