//! The parts of the supervisor, opened in order: what every service works on.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use dhow_linux::file::Lock;
use dhow_proto::error::chain;

use crate::checkpoint::Checkpoints;
use crate::diff::Differ;
use crate::event::Exchange;
use crate::gc::{Collector, Trigger};
use crate::image::Transport;
use crate::ledger::Ledger;
use crate::options::Options;
use crate::snapshot::Snapshotters;
use crate::transfer::Transfers;
use crate::{container, content, image, lease, metadata, mount, namespace, sandbox, task};

/// The metadata store, below the root.
pub(crate) const METADATA: &str = "metadata.redb";
/// The last copy of the metadata, below the root.
pub(crate) const BACKUP: &str = "metadata.backup";
/// The journal of the metadata, below the state.
pub(crate) const JOURNAL: &str = "metadata.journal";

/// Everything that a service may need, made once.
#[derive(Debug)]
pub(crate) struct Deps {
    /// Directory of what must survive a reboot.
    pub(crate) root: PathBuf,
    pub(crate) metadata: metadata::Store,
    pub(crate) events: Exchange,
    /// Asks for a garbage collection.
    pub(crate) collector: Trigger,
    /// Knows why something is kept.
    pub(crate) gc: Collector,
    pub(crate) namespaces: namespace::Store,
    pub(crate) content: content::Store,
    pub(crate) snapshotters: Snapshotters,
    pub(crate) images: image::Store,
    pub(crate) containers: container::Store,
    pub(crate) leases: lease::Store,
    pub(crate) mounts: mount::Manager,
    pub(crate) sandboxes: sandbox::Store,
    /// Runs sandboxes.
    pub(crate) controller: sandbox::Controller,
    pub(crate) tasks: task::Manager,
    pub(crate) differ: Differ,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) transfers: Transfers,
    /// Keeps a second supervisor off our directories.
    _lock: Lock,
}

impl Deps {
    /// Opens everything below the directories of `options`. Must be called on the asynchronous runtime.
    pub(crate) fn open(options: &Options) -> anyhow::Result<Self> {
        let (root, state) = (directory(&options.root)?, directory(&options.state)?);
        let lock = lock(&root)?;
        metadata::require(&root.join(METADATA), &root.join(BACKUP))?;
        let metadata = metadata::Store::open(&root.join(METADATA), &state.join(JOURNAL))?;
        let events = Exchange::default();
        let (collector, requests) = Trigger::new();
        let content = content::Store::open(&root, metadata.clone(), events.clone(), collector.clone())?;
        let snapshotters = Snapshotters::open(&root, &metadata, &events, &collector)?;
        let mounts = mount::Manager::open(&root, &state, metadata.clone(), collector.clone())?;
        let gc = Collector::new(
            metadata.clone(),
            content.clone(),
            snapshotters.clone(),
            mounts.clone(),
            events.clone(),
        );
        tokio::spawn(gc.clone().run(requests));
        // Shims run in their bundle, and must find us from there.
        let address = std::path::absolute(&options.address).context("resolve the address")?;
        let ledger = Ledger::new(metadata.clone(), events.clone(), collector.clone());
        let images = image::Store::new(ledger.clone());
        let leases = lease::Store::new(metadata.clone(), collector.clone());
        let transport = Transport::new(content.clone(), images.clone(), leases.clone(), snapshotters.clone());
        let differ = Differ::new(content.clone(), &state);
        let launcher = task::Launcher {
            address,
            ttrpc_address: std::path::absolute(&options.ttrpc_address).context("resolve the address")?,
            installed: options.opt.clone().unwrap_or_else(|| root.join("opt")),
        };
        let tasks = task::Manager::new(&state, launcher, events.clone());
        for folder in ["bin", "lib"] {
            directory(&tasks.launcher().installed.join(folder))?;
        }
        Ok(Self {
            sandboxes: sandbox::Store::new(metadata.clone()),
            controller: sandbox::Controller::new(&state, tasks.launcher().clone(), events.clone()),
            tasks,
            gc,
            checkpoints: Checkpoints::new(&state, content.clone(), differ.clone()),
            differ,
            transfers: Transfers::new(transport),
            namespaces: namespace::Store::new(metadata.clone(), events.clone()),
            images,
            containers: container::Store::new(ledger),
            leases,
            mounts,
            content,
            snapshotters,
            metadata,
            events,
            collector,
            root,
            _lock: lock,
        })
    }

    /// Copies the metadata aside, for `repair`.
    pub(crate) async fn back_up(&self) {
        if let Err(error) = self.metadata.back_up(self.root.join(BACKUP)).await {
            tracing::warn!(error = %chain(&error), "cannot back the metadata up");
        }
    }

    /// Deletes what a crash may have left on disk.
    pub(crate) async fn sweep(&self) {
        if let Err(error) = self.content.sweep().await {
            tracing::warn!(error = %chain(&error), "cannot sweep content");
        }
        for snapshots in self.snapshotters.all() {
            if let Err(error) = snapshots.sweep() {
                tracing::warn!(error = %chain(&error), "cannot sweep snapshots");
            }
        }
        if let Err(error) = self.mounts.recover().await {
            tracing::warn!(error = %chain(&error), "cannot clear mounts");
        }
        self.checkpoints.sweep();
        self.collector.pull();
    }
}

/// Makes a directory that may be there, and resolves its path: it goes into mounts and bundles.
pub(crate) fn directory(path: &Path) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(path).with_context(|| format!("create {}", path.display()))?;
    path.canonicalize().with_context(|| format!("resolve {}", path.display()))
}

/// How long a predecessor that was told to stop may still hold the lock.
const PREDECESSOR: Duration = Duration::from_secs(10);

/// Takes the lock that keeps a second supervisor off `root`; a predecessor's last steps are waited for.
pub(crate) fn lock(root: &Path) -> anyhow::Result<Lock> {
    let path = root.join("lock");
    let end = Instant::now() + PREDECESSOR;
    loop {
        if let Some(lock) = Lock::try_take(&path)? {
            return Ok(lock);
        }
        if Instant::now() > end {
            anyhow::bail!("another dhow-supervisor uses {}: stop it, or give --root", root.display());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
