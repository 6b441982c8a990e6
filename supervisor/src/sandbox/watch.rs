//! Watching over sandboxes: their end, the death of their shims, and finding them again after a restart.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dhow_proto::containerd::events::SandboxExit;
use dhow_proto::containerd::runtime::sandbox::v1 as api;
use dhow_proto::containerd::task::v3::ShutdownRequest;
use dhow_proto::error::{Kind, chain};
use futures_util::future::join_all;
use prost_types::Timestamp;

use super::controller::Controller;
use super::instance::Instance;
use crate::namespace::Namespace;
use crate::slot::{Key, Slot};
use crate::task::{Endpoint, binary_of, folders, kill_listener};
use crate::ttrpc::CallError;

/// How long a shim that was told to end may take.
const LEAVE: Duration = Duration::from_secs(5);
/// How long one shim may hold up the start.
const PATIENCE: Duration = Duration::from_secs(1);

impl Controller {
    /// Finds the sandboxes of before a restart again; a shim that is gone is cleaned up after.
    pub(crate) async fn recover(&self) {
        let mut keys = Vec::new();
        for namespace in folders(self.folder()) {
            let Ok(parsed) = namespace.parse::<Namespace>() else { continue };
            let ids = folders(&self.folder().join(&namespace));
            keys.extend(ids.into_iter().map(|id| (parsed.clone(), id)));
        }
        join_all(keys.into_iter().map(|key| self.recover_one(key))).await;
    }

    async fn recover_one(&self, key: Key) {
        let bundle = self.bundle(&key);
        let found = async {
            let endpoint = Endpoint::load(&bundle)?;
            Instance::connect(key.clone(), &bundle, endpoint).await
        };
        let instance = match found.await {
            Ok(instance) => Arc::new(instance),
            Err(error) => {
                tracing::info!(sandbox = %key.1, error = %chain(&error), "shim of sandbox is gone");
                return self.clean_up(&key).await;
            }
        };
        self.slots().set(&key, Slot::Ready(Arc::clone(&instance)));
        match tokio::time::timeout(PATIENCE, instance.status(false)).await {
            // A shim without a sandbox: we died in the middle of a create.
            Ok(Err(call)) if call.kind() == Kind::NotFound => self.retire(&instance).await,
            // A shim that says nothing still has its containers.
            Ok(_) | Err(_) => self.follow(instance),
        }
    }

    /// Watches over a sandbox: tells its end once, and cleans up when its shim goes by itself.
    pub(super) fn follow(&self, instance: Arc<Instance>) {
        let controller = self.clone();
        tokio::spawn(async move {
            let request = api::WaitSandboxRequest { sandbox_id: instance.id.clone() };
            let exit = instance.call::<_, api::WaitSandboxResponse>("WaitSandbox", &request, None).await;
            match exit {
                Ok(exit) => controller.tell_exit(&instance, exit.exit_status, exit.exited_at),
                Err(CallError::Closed) => {
                    let now = SystemTime::now().into();
                    controller.tell_exit(&instance, 255, Some(now));
                }
                Err(error) => {
                    tracing::warn!(sandbox = %instance.id, error = %chain(&error), "wait for sandbox");
                }
            }
            instance.client.closed().await;
            if instance.leave() {
                tracing::warn!(sandbox = %instance.id, "shim of sandbox died; cleaning up after it");
                controller.retire(&instance).await;
            }
        });
    }

    fn tell_exit(&self, instance: &Instance, exit_status: u32, exited_at: Option<Timestamp>) {
        let event = SandboxExit { sandbox_id: instance.id.clone(), exit_status, exited_at };
        self.events().publish(instance.namespace.as_str(), "/sandboxes/exit", &event);
    }

    /// Ends a sandbox, and frees its id.
    pub(super) async fn retire(&self, instance: &Instance) {
        instance.leave();
        let key = (instance.namespace.clone(), instance.id.clone());
        self.slots().set(&key, Slot::Leaving);
        self.end(instance).await;
        self.slots().free(&key);
    }

    /// Ends the shim of a sandbox and removes its bundle.
    pub(super) async fn end(&self, instance: &Instance) {
        let request = api::ShutdownSandboxRequest { sandbox_id: instance.id.clone() };
        let asked =
            instance.call::<_, api::ShutdownSandboxResponse>("ShutdownSandbox", &request, Some(LEAVE)).await;
        // One that knows no sandboxes is still a shim of tasks.
        if asked.is_err_and(|call| call.kind() == Kind::Unimplemented) {
            let target = (instance.endpoint.task_service(), "Shutdown");
            let request = ShutdownRequest { id: instance.id.clone(), now: true };
            let namespace = instance.namespace.as_str();
            drop(instance.client.call::<_, ()>(target, namespace, Some(LEAVE), &request).await);
        }
        if tokio::time::timeout(LEAVE, instance.client.closed()).await.is_err() {
            tracing::warn!(sandbox = %instance.id, "shim of sandbox does not end; killing it");
            kill_listener(&instance.client, &instance.id);
        }
        self.clean_up(&(instance.namespace.clone(), instance.id.clone())).await;
    }

    /// Takes away what a create left that never ended, or failed before there was a sandbox.
    pub(super) async fn end_unfinished(&self, key: &Key) {
        let bundle = self.bundle(key);
        if let Ok(endpoint) = Endpoint::load(&bundle)
            && let Ok(instance) = Instance::connect(key.clone(), &bundle, endpoint).await
        {
            kill_listener(&instance.client, &instance.id);
        }
        self.clean_up(key).await;
    }

    /// Has the shim's binary clean up after it, and removes the bundle.
    pub(super) async fn clean_up(&self, key: &Key) {
        let bundle = self.bundle(key);
        if !bundle.path().exists() {
            return;
        }
        if let Some(binary) = binary_of(&bundle)
            && let Err(error) = self.launcher().delete(&binary, (key.0.as_str(), &key.1), &bundle).await
        {
            tracing::debug!(sandbox = %key.1, error = %chain(&error), "clean up after shim");
        }
        if let Err(error) = bundle.remove() {
            tracing::warn!(sandbox = %key.1, error = %chain(&error), "remove bundle");
        }
    }
}
