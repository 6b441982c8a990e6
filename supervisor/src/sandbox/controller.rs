//! Runs sandboxes in shims: what clients ask for.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dhow_proto::containerd::events::{SandboxCreate, SandboxStart};
use dhow_proto::containerd::runtime::sandbox::v1 as api;
use dhow_proto::containerd::types::Mount;
use dhow_proto::error::Kind;
use prost::Message;
use prost_types::Any;

use super::error::ControllerError;
use super::instance::Instance;
use super::record::Sandbox;
use crate::event::Exchange;
use crate::identifier;
use crate::namespace::Namespace;
use crate::slot::{Departure, Key, Maker, Slots, attempt};
use crate::task::{Bundle, Endpoint, Launcher};
use crate::ttrpc::CallError;

/// The folder of bundles in the state folder, by containerd's name for what keeps them.
const PLUGIN: &str = "io.containerd.sandbox.controller.v1.shim";

/// Runs sandboxes; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Controller(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    launcher: Launcher,
    events: Exchange,
    slots: Slots<Instance>,
}

/// What a sandbox is made from.
#[derive(Debug, Default)]
pub(crate) struct NewInstance {
    pub(crate) id: String,
    /// The name or path of a shim.
    pub(crate) runtime: String,
    pub(crate) runtime_options: Option<Any>,
    /// The sandbox's spec, as JSON; may be empty.
    pub(crate) spec: Vec<u8>,
    pub(crate) rootfs: Vec<Mount>,
    pub(crate) options: Option<Any>,
    pub(crate) netns_path: String,
    pub(crate) annotations: HashMap<String, String>,
}

impl From<Sandbox> for NewInstance {
    fn from(record: Sandbox) -> Self {
        Self {
            id: record.id,
            runtime: record.runtime,
            runtime_options: record.runtime_options,
            spec: record.spec.map(|spec| spec.value).unwrap_or_default(),
            ..Self::default()
        }
    }
}

/// A sandbox that has started.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) answer: api::StartSandboxResponse,
    pub(crate) endpoint: Endpoint,
}

impl Controller {
    /// A controller of the bundles below `state`, whose shims `launcher` starts.
    pub(crate) fn new(state: &Path, launcher: Launcher, events: Exchange) -> Self {
        let (folder, slots) = (state.join(PLUGIN), Slots::default());
        Self(Arc::new(Inner { folder, launcher, events, slots }))
    }

    /// Whether a sandbox runs or is being created.
    pub(crate) fn has(&self, namespace: &Namespace, id: &str) -> bool {
        self.slots().contains(&(namespace.clone(), id.to_owned()))
    }

    /// How to reach the shim of a sandbox, for the tasks that join it.
    pub(crate) fn endpoint(&self, namespace: &Namespace, id: &str) -> Result<Endpoint, ControllerError> {
        self.instance(namespace, id).map(|instance| instance.endpoint.clone())
    }

    /// Creates a sandbox: bundle, shim, sandbox; all of it or nothing, also when the caller is dropped.
    pub(crate) async fn create(
        &self,
        namespace: &Namespace,
        new: NewInstance,
    ) -> Result<(), ControllerError> {
        identifier::validate(&new.id).map_err(ControllerError::Id)?;
        let key = (namespace.clone(), new.id.clone());
        if !self.slots().reserve(&key).await {
            return Err(ControllerError::AlreadyExists(key.1));
        }
        let id = key.1.clone();
        attempt(self, key, new).await.unwrap_or(Err(ControllerError::Canceled(id)))
    }

    async fn bring_up_once(&self, key: &Key, new: &NewInstance) -> Result<Arc<Instance>, ControllerError> {
        let failed = |source| ControllerError::Start { id: new.id.clone(), source };
        let binary = self.launcher().resolve(&new.runtime).map_err(failed)?;
        let bundle = Bundle::create(self.bundle(key).path().to_owned(), &new.spec)?;
        let names = (key.0.as_str(), key.1.as_str());
        let connected = async {
            let endpoint =
                self.launcher().start(&binary, names, &bundle, new.runtime_options.as_ref()).await?;
            Instance::connect(key.clone(), &bundle, endpoint).await
        };
        let instance = match connected.await {
            Ok(instance) => instance,
            Err(error) => {
                self.end_unfinished(key, &self.slots().leave(key)).await;
                return Err(failed(error));
            }
        };
        let request = api::CreateSandboxRequest {
            sandbox_id: new.id.clone(),
            bundle_path: bundle.path().to_string_lossy().into_owned(),
            rootfs: new.rootfs.clone(),
            options: new.options.clone(),
            netns_path: new.netns_path.clone(),
            annotations: new.annotations.clone(),
        };
        let created = instance.call("CreateSandbox", &request, None).await;
        let refused = |call| ControllerError::Call { action: "create", id: new.id.clone(), call };
        let finished =
            created.map_err(refused).and_then(|_: api::CreateSandboxResponse| Ok(bundle.finish()?));
        match finished {
            Ok(()) => Ok(Arc::new(instance)),
            Err(error) => {
                self.end(&instance, &self.slots().leave(key)).await;
                Err(error)
            }
        }
    }

    /// Starts a sandbox; one that does not start is gone.
    pub(crate) async fn start(&self, namespace: &Namespace, id: &str) -> Result<Started, ControllerError> {
        let instance = self.instance(namespace, id)?;
        let request = api::StartSandboxRequest { sandbox_id: id.to_owned() };
        match instance.call("StartSandbox", &request, None).await {
            Ok(answer) => {
                let event = SandboxStart { sandbox_id: id.to_owned() };
                self.events().publish(namespace.as_str(), "/sandboxes/start", &event);
                Ok(Started { answer, endpoint: instance.endpoint.clone() })
            }
            Err(call) => {
                // That it was started before is no reason to take it away.
                if call.kind() != Kind::FailedPrecondition {
                    self.retire(&instance).await;
                }
                Err(ControllerError::Call { action: "start", id: id.to_owned(), call })
            }
        }
    }

    /// Stops a sandbox; of one that is not there, that is done already.
    pub(crate) async fn stop(
        &self,
        namespace: &Namespace,
        id: &str,
        timeout_secs: u32,
    ) -> Result<(), ControllerError> {
        let Ok(instance) = self.instance(namespace, id) else { return Ok(()) };
        let request = api::StopSandboxRequest { sandbox_id: id.to_owned(), timeout_secs };
        match instance.call::<_, api::StopSandboxResponse>("StopSandbox", &request, None).await {
            Ok(_) => Ok(()),
            Err(call) if matches!(call.kind(), Kind::NotFound | Kind::Unavailable) => Ok(()),
            Err(call) => Err(ControllerError::Call { action: "stop", id: id.to_owned(), call }),
        }
    }

    /// Ends a sandbox with its shim.
    pub(crate) async fn shut_down(&self, namespace: &Namespace, id: &str) -> Result<(), ControllerError> {
        let instance = self.instance(namespace, id)?;
        instance.leave();
        let request = api::ShutdownSandboxRequest { sandbox_id: id.to_owned() };
        let asked = instance.call::<_, api::ShutdownSandboxResponse>("ShutdownSandbox", &request, None).await;
        match asked {
            Err(call) if !matches!(call.kind(), Kind::NotFound | Kind::Unavailable) => {
                return Err(ControllerError::Call { action: "shutdown", id: id.to_owned(), call });
            }
            _ => {}
        }
        self.retire(&instance).await;
        Ok(())
    }

    /// Calls a method of the shim of a sandbox.
    pub(crate) async fn call<Q: Message, R: Message + Default>(
        &self,
        namespace: &Namespace,
        id: &str,
        (action, method): (&'static str, &str),
        request: &Q,
    ) -> Result<R, ControllerError> {
        let answer = self.instance(namespace, id)?.call(method, request, None).await;
        answer.map_err(|call| ControllerError::Call { action, id: id.to_owned(), call })
    }

    /// What a sandbox is doing; `None` of one that is not there.
    pub(crate) async fn status(
        &self,
        namespace: &Namespace,
        id: &str,
        verbose: bool,
    ) -> Result<Option<(api::SandboxStatusResponse, Endpoint)>, ControllerError> {
        let Ok(instance) = self.instance(namespace, id) else { return Ok(None) };
        match instance.status(verbose).await {
            Ok(answer) => Ok(Some((answer, instance.endpoint.clone()))),
            // Its shim is dead, and about to be cleaned up after.
            Err(CallError::Closed) => Ok(None),
            Err(call) => Err(ControllerError::Call { action: "query status of", id: id.to_owned(), call }),
        }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0.folder
    }

    pub(super) fn launcher(&self) -> &Launcher {
        &self.0.launcher
    }

    pub(super) fn events(&self) -> &Exchange {
        &self.0.events
    }

    fn instance(&self, namespace: &Namespace, id: &str) -> Result<Arc<Instance>, ControllerError> {
        self.slots().get(namespace, id).ok_or_else(|| ControllerError::NotFound(id.to_owned()))
    }

    pub(super) fn bundle(&self, (namespace, id): &Key) -> Bundle {
        Bundle::at(self.0.folder.join(namespace.as_str()).join(id))
    }

    pub(super) fn slots(&self) -> &Slots<Instance> {
        &self.0.slots
    }
}

impl Maker for Controller {
    type New = NewInstance;
    type Made = Instance;
    type Answer = ();
    type Error = ControllerError;

    fn slots(&self) -> &Slots<Instance> {
        self.slots()
    }

    /// A `start` right after another sandbox of this id has ended may have found the old shim, on its way out.
    async fn bring_up(&self, key: &Key, new: &NewInstance) -> Result<(Arc<Instance>, ()), ControllerError> {
        let instance = match self.bring_up_once(key, new).await {
            Err(error) if error.is_gone() => self.bring_up_once(key, new).await?,
            brought => brought?,
        };
        Ok((instance, ()))
    }

    async fn undo(&self, made: &Instance, departure: &Departure) {
        self.end(made, departure).await;
    }

    async fn undo_unfinished(&self, key: &Key, departure: &Departure) {
        self.end_unfinished(key, departure).await;
    }

    fn keep(&self, key: &Key, made: Arc<Instance>) {
        let event = SandboxCreate { sandbox_id: key.1.clone() };
        self.events().publish(key.0.as_str(), "/sandboxes/create", &event);
        self.follow(made);
    }

    fn free(&self, key: &Key) {
        self.slots().free(key);
    }
}
