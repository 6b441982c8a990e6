//! The daemon: its parts, and how they are opened and closed.
//!
//! Only wiring. What a part can do is in the part.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use dhow_linux::file::{self, Lock};
use tokio::task::AbortHandle;

use crate::container;
use crate::event::Events;
use crate::options::Options;
use crate::supervisor::Supervisor;
use crate::supervisor::keep::Keeper;
use crate::system;

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
    pub(crate) containers: container::Store,
    pub(crate) events: Events,
    keeper: Option<(Keeper, AbortHandle)>,
    _lock: Lock,
}

impl Daemon {
    /// Locks the folders, finds or starts the supervisor, reads the records, and takes up what goes on.
    pub(crate) async fn open(options: Options) -> anyhow::Result<Arc<Self>> {
        file::make_folder(&options.data_root, 0o711)?;
        file::make_folder(&options.exec_root, 0o711)?;
        let lock = Lock::try_take(&options.data_root.join("dhowd.lock"))?
            .with_context(|| format!("another daemon uses {}", options.data_root.display()))?;
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
            containers: container::Store::open(&options.containers())?,
            supervisor,
            events: Events::new(),
            keeper,
            options,
            _lock: lock,
        });
        Ok(daemon)
    }

    /// Ends in order: the supervisor that is ours ends too, containers go on.
    pub(crate) async fn close(self: Arc<Self>) {
        if let Some((keeper, keeping)) = &self.keeper {
            keeping.abort();
            keeper.stop().await;
        }
    }

    /// How many images there are.
    pub(crate) async fn image_count(&self) -> i64 {
        0
    }
}

async fn keep(keeper: Keeper) -> anyhow::Result<(Keeper, AbortHandle)> {
    let connection = keeper.adopt_or_start().await?;
    let keeping = tokio::spawn(keeper.clone().keep(connection)).abort_handle();
    Ok((keeper, keeping))
}
