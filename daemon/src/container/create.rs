//! `create`: a name, a root file system, a record.

use std::sync::Arc;

use dhow_engine_api::container::{CreateRequest, CreateResponse};
use dhow_engine_api::mount::MountPoint;
use dhow_linux::file::{self, PathError};
use dhow_proto::containerd::services::snapshots::v1::{PrepareSnapshotRequest, RemoveSnapshotRequest};
use dhow_proto::error::Kind;

use super::name::{self, NameError};
use super::record::{Record, RecordError};
use super::rootfs;
use super::spec::{SpecError, defaults, merge, validate};
use super::start::SNAPSHOTTER;
use super::state::Container;
use super::stdio::{self, LogOptionError};
use super::store::NameTaken;
use crate::daemon::Daemon;
use crate::error::Failure;
use crate::identifier;
use crate::image::{Image, ImageError};
use crate::undo::Undo;
use crate::volume::VolumeError;

/// Why a container could not be created.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CreateError {
    #[error("config cannot be empty in order to create a container")]
    NoConfig,
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Taken(#[from] NameTaken),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error(transparent)]
    Log(#[from] LogOptionError),
    #[error("unknown or invalid runtime name: {0}")]
    Runtime(String),
    #[error("get random bytes")]
    Random(#[from] getrandom::Error),
    #[error("prepare the root file system")]
    Snapshot(#[source] Box<tonic::Status>),
    #[error("make the container's folder")]
    Folder(#[from] PathError),
    #[error(transparent)]
    Volume(#[from] VolumeError),
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl Failure for CreateError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoConfig | Self::Runtime(_) => Kind::InvalidArgument,
            Self::Name(error) => error.kind(),
            Self::Taken(error) => error.kind(),
            Self::Image(error) => error.kind(),
            Self::Spec(error) => error.kind(),
            Self::Log(error) => error.kind(),
            Self::Volume(error) => error.kind(),
            Self::Snapshot(status) if status.code() == tonic::Code::Unavailable => Kind::Unavailable,
            Self::Random(_) | Self::Snapshot(_) | Self::Folder(_) | Self::Record(_) => Kind::Internal,
        }
    }
}

/// Creates a container; an empty `name` is made up.
pub(crate) async fn create(
    daemon: &Arc<Daemon>,
    name: &str,
    request: CreateRequest,
) -> Result<CreateResponse, CreateError> {
    if request.config == Default::default() {
        return Err(CreateError::NoConfig);
    }
    if !name.is_empty() {
        name::check(name)?;
    }
    let image = daemon.images.resolve(&request.config.image).await?;
    let (mut record, warnings) = decide(daemon, &image, request)?;
    record.mounts = mount_points(daemon, &record)?;
    record.name = take_name(daemon, name, &record.id)?;
    let mut undo = Undo::default();
    undo.push(drop_name(Arc::clone(daemon), record.name.clone()));
    match make(daemon, record, &image, &mut undo).await {
        Ok(container) => {
            undo.disarm();
            daemon.containers.insert(Arc::clone(&container));
            container.tell_event(daemon, "create", &[]);
            Ok(CreateResponse { id: container.id.clone(), warnings })
        }
        Err(error) => {
            undo.run().await;
            Err(error)
        }
    }
}

/// What was asked for, with what the image and the daemon add.
fn decide(
    daemon: &Daemon,
    image: &Image,
    request: CreateRequest,
) -> Result<(Record, Vec<String>), CreateError> {
    let CreateRequest { mut config, host_config, networking_config } = request;
    let mut host = host_config.unwrap_or_default();
    merge::image_into(&mut config, &image.config)?;
    if host.log_config.kind.is_empty() {
        host.log_config.kind.clone_from(&daemon.options.log_driver);
        let options = host.log_config.config.get_or_insert_default();
        for (name, value) in &daemon.options.log_opts {
            options.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
    defaults::fill(&mut host, &daemon.machine);
    let warnings = validate::check(&config, &host)?;
    match host.runtime.as_str() {
        "" => "dhow".clone_into(&mut host.runtime),
        "dhow" | "runc" => {}
        name if name.starts_with("io.containerd.") => {}
        other => return Err(CreateError::Runtime(other.to_owned())),
    }
    let id = identifier::random()?;
    if config.hostname.is_empty() {
        identifier::short(&id).clone_into(&mut config.hostname);
    }
    let mut record = Record::new(id, String::new(), image.id.clone(), config, host);
    record.networking = networking_config.unwrap_or_default();
    stdio::check(&record)?;
    Ok((record, warnings))
}

/// Its volumes and binds; volumes that are missing are made.
fn mount_points(daemon: &Daemon, record: &Record) -> Result<Vec<MountPoint>, VolumeError> {
    let others = |name: &str| match daemon.containers.find(name) {
        Ok(other) => Ok(other.state().record.mounts.clone()),
        Err(error) => Err(VolumeError::Invalid(error.to_string())),
    };
    daemon.volumes.prepare(&record.config, &record.host, &others)
}

fn take_name(daemon: &Daemon, asked: &str, id: &str) -> Result<String, CreateError> {
    if !asked.is_empty() {
        let name = name::check(asked)?;
        daemon.containers.take_name(name, id)?;
        return Ok(name.to_owned());
    }
    let mut attempt = 0;
    loop {
        let name = name::invent(attempt)?;
        match daemon.containers.take_name(&name, id) {
            Ok(()) => return Ok(name),
            Err(taken) if attempt > 100 => return Err(taken.into()),
            Err(_) => attempt += 1,
        }
    }
}

async fn drop_name(daemon: Arc<Daemon>, name: String) {
    daemon.containers.drop_name(&name);
}

async fn make(
    daemon: &Arc<Daemon>,
    record: Record,
    image: &Image,
    undo: &mut Undo,
) -> Result<Arc<Container>, CreateError> {
    let folder = daemon.containers.folder(&record.id);
    file::make_folder(&folder, 0o710)?;
    undo.push(remove_folder(folder.clone()));
    // The label keeps it when the supervisor collects garbage: nothing else there refers to it until the start.
    let labels = [("containerd.io/gc.root".to_owned(), record.created.clone())].into();
    let (snapshotter, key, parent) = (SNAPSHOTTER.to_owned(), record.id.clone(), image.chain_id.clone());
    let request = PrepareSnapshotRequest { snapshotter, key, parent, labels };
    let prepared = daemon.supervisor.snapshots().prepare(request).await;
    let mounts = prepared.map_err(|status| CreateError::Snapshot(Box::new(status)))?.into_inner().mounts;
    undo.push(remove_snapshot(Arc::clone(daemon), record.id.clone()));
    if record.mounts.iter().any(|mount| mount.kind == "volume") {
        let (daemon, record) = (Arc::clone(daemon), record.clone());
        let filling = tokio::task::spawn_blocking(move || {
            daemon.volumes.fill(&record.host, &record.mounts, &rootfs::folders(&mounts))
        });
        filling.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
    }
    let container = Arc::new(Container::new(record, folder));
    container.save().await?;
    Ok(container)
}

async fn remove_folder(folder: std::path::PathBuf) {
    drop(tokio::task::spawn_blocking(move || std::fs::remove_dir_all(folder)).await);
}

async fn remove_snapshot(daemon: Arc<Daemon>, key: String) {
    let request = RemoveSnapshotRequest { snapshotter: SNAPSHOTTER.to_owned(), key };
    drop(daemon.supervisor.snapshots().remove(request).await);
}
