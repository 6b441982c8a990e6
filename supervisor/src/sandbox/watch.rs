//! Watching over sandboxes: their end, the death of their shims, and finding them again after a restart.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dhow_proto::containerd::events::SandboxExit;
use dhow_proto::containerd::runtime::sandbox::v1 as api;
use dhow_proto::containerd::task::v3::ShutdownRequest;
use dhow_proto::error::{Kind, chain};
use prost_types::Timestamp;

use super::controller::Controller;
use super::instance::Instance;
use crate::slot::{ANSWER, Departure, Key, recover};
use crate::task::{Endpoint, binary_of, found_below, kill_listener};
use crate::ttrpc::CallError;

/// How long a shim that was told to end may take.
const LEAVE: Duration = Duration::from_secs(5);

impl Controller {
    /// Finds the sandboxes of before a restart again; a shim that is gone is cleaned up after.
    pub(crate) async fn recover(&self) {
        let found = found_below(self.folder()).into_iter().map(|key| {
            let departure = self.slots().leave(&key);
            (key, departure)
        });
        let found: Vec<_> = found.collect();
        recover(found.into_iter().map(|(key, departure)| {
            let controller = self.clone();
            async move { controller.recover_one(key, &departure).await }
        }))
        .await;
    }

    async fn recover_one(&self, key: Key, departure: &Departure) {
        let bundle = self.bundle(&key);
        if bundle.is_unfinished() {
            tracing::info!(sandbox = %key.1, "we died in the middle of a create; undoing it");
            self.end_unfinished(&key, departure).await;
            return self.slots().free(&key);
        }
        let found = async {
            let endpoint = Endpoint::load(&bundle)?;
            Instance::connect(key.clone(), &bundle, endpoint).await
        };
        let instance = match found.await {
            Ok(instance) => Arc::new(instance),
            Err(error) => {
                tracing::info!(sandbox = %key.1, error = %chain(&error), "shim of sandbox is gone");
                self.clean_up(&key, departure).await;
                return self.slots().free(&key);
            }
        };
        match tokio::time::timeout(ANSWER, instance.status(false)).await {
            // A shim without a sandbox: we died in the middle of a shutdown.
            Ok(Err(call)) if call.kind() == Kind::NotFound => self.retire(&instance).await,
            // A shim that says nothing still has its containers.
            Ok(_) | Err(_) => {
                self.slots().ready(&key, Arc::clone(&instance));
                self.follow(instance);
            }
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
                Err(error) if error.kind() == Kind::NotFound => {
                    if instance.leave() {
                        controller.retire(&instance).await;
                    }
                    return;
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
        let departure = self.slots().leave(&key);
        self.end(instance, &departure).await;
        self.slots().free(&key);
    }

    /// Ends the shim of a sandbox and removes its bundle.
    pub(super) async fn end(&self, instance: &Instance, departure: &Departure) {
        if departure.within(ask_to_end(instance)).await.is_none_or(|ended| !ended) {
            tracing::warn!(sandbox = %instance.id, "shim of sandbox does not end; killing it");
            kill_listener(&instance.client, &instance.id);
        }
        self.clean_up(&(instance.namespace.clone(), instance.id.clone()), departure).await;
    }

    /// Takes away what a create left that never ended, or failed before there was a sandbox.
    pub(super) async fn end_unfinished(&self, key: &Key, departure: &Departure) {
        let bundle = self.bundle(key);
        if let Ok(endpoint) = Endpoint::load(&bundle)
            && let Ok(instance) = Instance::connect(key.clone(), &bundle, endpoint).await
        {
            kill_listener(&instance.client, &instance.id);
        }
        self.launcher().kill_started(key);
        self.clean_up(key, departure).await;
    }

    /// Has the shim's binary clean up after it, and removes the bundle.
    async fn clean_up(&self, key: &Key, departure: &Departure) {
        let bundle = self.bundle(key);
        if !bundle.path().exists() {
            return;
        }
        if let Some(binary) = binary_of(&bundle) {
            let delete = self.launcher().delete(&binary, (key.0.as_str(), &key.1), &bundle);
            if let Some(Err(error)) = departure.within(delete).await {
                tracing::debug!(sandbox = %key.1, error = %chain(&error), "clean up after shim");
            }
        }
        bundle.discard();
    }
}

/// Asks the shim of a sandbox to end; whether it did.
async fn ask_to_end(instance: &Instance) -> bool {
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
    tokio::time::timeout(LEAVE, instance.client.closed()).await.is_ok()
}
