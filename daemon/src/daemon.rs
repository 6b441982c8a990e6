//! The daemon: its parts, and how they are opened and closed.
//!
//! Only wiring. What a part can do is in the part.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use dhow_linux::file::{self, Lock, PathError};
use tokio::task::AbortHandle;

use crate::container::spec::Machine;
use crate::container::{self, monitor, recovery};
use crate::event::Events;
use crate::image::Images;
use crate::network::{self, Networks};
use crate::options::Options;
use crate::supervisor::Supervisor;
use crate::supervisor::keep::Keeper;
use crate::system;
use crate::volume::Volumes;

/// How long the supervisor may take to answer for the first time.
const SUPERVISOR_PATIENCE: Duration = Duration::from_secs(30);

/// The OCI runtime, and where it keeps the state of our containers.
#[derive(Debug)]
pub(crate) struct OciRuntime {
    pub(crate) binary: PathBuf,
    pub(crate) root: PathBuf,
}

/// The parts of the daemon.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) options: Options,
    pub(crate) id: String,
    pub(crate) runtime: OciRuntime,
    pub(crate) supervisor: Supervisor,
    pub(crate) machine: Machine,
    pub(crate) images: Images,
    pub(crate) networks: Networks,
    pub(crate) volumes: Volumes,
    pub(crate) containers: container::Store,
    pub(crate) execs: container::exec::Execs,
    pub(crate) events: Events,
    keeper: Option<(Keeper, AbortHandle)>,
    _lock: Lock,
}

impl Daemon {
    /// Locks the folders, finds or starts the supervisor, reads the records, and takes up what goes on.
    pub(crate) async fn open(options: Options) -> anyhow::Result<Arc<Self>> {
        file::make_folder(&options.data_root, 0o711)?;
        file::make_folder(&options.exec_root, 0o711)?;
        file::make_folder(&options.exec_root.join("attach"), 0o700)?;
        let lock = Lock::try_take(&options.data_root.join("dhowd.lock"))?
            .with_context(|| format!("another daemon uses {}", options.data_root.display()))?;
        sweep(&options.data_root.join("trash"))?;
        let keeper = match options.containerd {
            Some(_) => None,
            None => Some(keep(Keeper::new(&options)).await?),
        };
        let supervisor = Supervisor::new(&options.supervisor_socket(), &options.containerd_namespace)?;
        supervisor
            .ready(SUPERVISOR_PATIENCE)
            .await
            .with_context(|| format!("reach the supervisor at {}", options.supervisor_socket().display()))?;
        let daemon = Arc::new(Self {
            id: system::identity(&options)?,
            runtime: OciRuntime {
                binary: Options::binary("dhow-runtime"),
                root: options.exec_root.join("runtime-root"),
            },
            machine: Machine::read(),
            images: Images::new(&supervisor, &options.insecure_registries),
            volumes: Volumes::open(options.data_root.join("volumes"))?,
            networks: Networks::open(network_settings(&options))?,
            containers: container::Store::open(&options.containers())?,
            execs: container::exec::Execs::default(),
            supervisor,
            events: Events::new(),
            keeper,
            options,
            _lock: lock,
        });
        daemon.take_up().await.context("take up the containers that go on")?;
        Ok(daemon)
    }

    /// First the ear, then the look: what happens between the two is heard.
    async fn take_up(self: &Arc<Self>) -> anyhow::Result<()> {
        let events = monitor::subscribe(self).await?;
        recovery::reconcile(self, recovery::Moment::Start).await?;
        self.networks.recover(self.containers.running()).await?;
        tokio::spawn(monitor::run(Arc::clone(self), events));
        recovery::resume(self);
        Ok(())
    }

    /// Ends in order: the supervisor that is ours ends too, containers go on.
    pub(crate) async fn close(self: Arc<Self>) {
        if let Err(error) = self.networks.close().await {
            tracing::warn!(error = %dhow_proto::error::chain(&error), "networks stay as they are");
        }
        if let Some((keeper, keeping)) = &self.keeper {
            keeping.abort();
            keeper.stop().await;
        }
    }
}

fn network_settings(options: &Options) -> network::Settings {
    network::Settings {
        data: options.data_root.join("network"),
        state: options.exec_root.clone(),
        bridge: options.bridge.clone(),
        bip: options.bip,
    }
}

/// Removes what an earlier daemon threw away and had no time to remove.
fn sweep(trash: &Path) -> Result<(), PathError> {
    file::make_folder(trash, 0o700)?;
    let old: Vec<PathBuf> = std::fs::read_dir(trash)
        .map_err(PathError::at("list", trash))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    tokio::task::spawn_blocking(move || old.iter().for_each(|folder| drop(std::fs::remove_dir_all(folder))));
    Ok(())
}

async fn keep(keeper: Keeper) -> anyhow::Result<(Keeper, AbortHandle)> {
    let connection = keeper.adopt_or_start().await?;
    let keeping = tokio::spawn(keeper.clone().keep(connection)).abort_handle();
    Ok((keeper, keeping))
}
