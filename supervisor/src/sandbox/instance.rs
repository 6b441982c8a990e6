//! A sandbox that a shim runs, and the calls to it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dhow_proto::containerd::runtime::sandbox::v1 as api;
use prost::Message;

use crate::namespace::Namespace;
use crate::task::{Bundle, Endpoint, LaunchError, ShimLog};
use crate::ttrpc::{CallError, Client};

/// The ttrpc service of shims that can run sandboxes.
const SERVICE: &str = "containerd.runtime.sandbox.v1.Sandbox";

/// How long a shim may take to say what its sandbox is doing.
pub(super) const STATUS: Duration = Duration::from_secs(2);

/// A sandbox whose shim we are connected to.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(super) namespace: Namespace,
    pub(super) id: String,
    pub(super) endpoint: Endpoint,
    pub(super) client: Client,
    /// Set once the shim is meant to go away.
    leaving: AtomicBool,
    _log: ShimLog,
}

impl Instance {
    /// Connects to the shim at `endpoint`.
    pub(super) async fn connect(
        (namespace, id): (Namespace, String),
        bundle: &Bundle,
        endpoint: Endpoint,
    ) -> Result<Self, LaunchError> {
        let log = ShimLog::open(&bundle.file("log"), &id)?;
        let address = endpoint.path()?;
        let connected = Client::connect(&address).await;
        let client = match connected {
            Ok(client) => client,
            Err(source) => return Err(LaunchError::Connect { address, source }),
        };
        let leaving = AtomicBool::new(false);
        Ok(Self { namespace, id, endpoint, client, leaving, _log: log })
    }

    /// Calls a method of the shim's sandbox service, which must answer within `limit` if there is one.
    pub(super) async fn call<Q: Message, R: Message + Default>(
        &self,
        method: &str,
        request: &Q,
        limit: Option<Duration>,
    ) -> Result<R, CallError> {
        self.client.call((SERVICE, method), self.namespace.as_str(), limit, request).await
    }

    pub(super) async fn status(&self, verbose: bool) -> Result<api::SandboxStatusResponse, CallError> {
        let request = api::SandboxStatusRequest { sandbox_id: self.id.clone(), verbose };
        self.call("SandboxStatus", &request, Some(STATUS)).await
    }

    /// From now on the shim is expected to go away; whether it was not before.
    pub(super) fn leave(&self) -> bool {
        !self.leaving.swap(true, Ordering::AcqRel)
    }
}
