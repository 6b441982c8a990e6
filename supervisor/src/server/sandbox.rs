//! `containerd.services.sandbox.v1`: the store of records and the controller of what runs.

use std::sync::Arc;

use dhow_proto::containerd::runtime::sandbox::v1 as runtime;
use dhow_proto::containerd::services::sandbox::v1::controller_server::{
    Controller as ControllerApi, ControllerServer,
};
use dhow_proto::containerd::services::sandbox::v1::store_server::{Store as StoreApi, StoreServer};
use dhow_proto::containerd::services::sandbox::v1::{
    ControllerCreateRequest, ControllerCreateResponse, ControllerMetricsRequest, ControllerMetricsResponse,
    ControllerPlatformRequest, ControllerPlatformResponse, ControllerShutdownRequest,
    ControllerShutdownResponse, ControllerStartRequest, ControllerStartResponse, ControllerStatusRequest,
    ControllerStatusResponse, ControllerStopRequest, ControllerStopResponse, ControllerUpdateRequest,
    ControllerUpdateResponse, ControllerWaitRequest, ControllerWaitResponse, StoreCreateRequest,
    StoreCreateResponse, StoreDeleteRequest, StoreDeleteResponse, StoreGetRequest, StoreGetResponse,
    StoreListRequest, StoreListResponse, StoreUpdateRequest, StoreUpdateResponse,
};
use dhow_proto::error::Kind;
use tonic::{Request, Response, Status};

use crate::fault::{Fault, status};
use crate::namespace::Namespace;
use crate::sandbox::{NewInstance, SHIM, Sandbox};
use crate::supervisor::Deps;

#[derive(Debug)]
pub(crate) struct StoreService(Arc<Deps>);

#[derive(Debug)]
pub(crate) struct ControllerService(Arc<Deps>);

pub(crate) fn store(deps: &Arc<Deps>) -> StoreServer<StoreService> {
    StoreServer::new(StoreService(deps.clone())).max_decoding_message_size(super::MESSAGE_LIMIT)
}

pub(crate) fn controller(deps: &Arc<Deps>) -> ControllerServer<ControllerService> {
    ControllerServer::new(ControllerService(deps.clone())).max_decoding_message_size(super::MESSAGE_LIMIT)
}

#[tonic::async_trait]
impl StoreApi for StoreService {
    async fn create(
        &self,
        request: Request<StoreCreateRequest>,
    ) -> Result<Response<StoreCreateResponse>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let sandbox = request.into_inner().sandbox.unwrap_or_default().into();
        let created = self.0.sandboxes.create(&namespace, sandbox).await.map_err(status)?;
        Ok(Response::new(StoreCreateResponse { sandbox: Some(created.into()) }))
    }

    async fn update(
        &self,
        request: Request<StoreUpdateRequest>,
    ) -> Result<Response<StoreUpdateResponse>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let StoreUpdateRequest { sandbox, fields } = request.into_inner();
        let sandbox = sandbox.unwrap_or_default().into();
        let updated = self.0.sandboxes.update(&namespace, sandbox, fields).await.map_err(status)?;
        Ok(Response::new(StoreUpdateResponse { sandbox: Some(updated.into()) }))
    }

    async fn delete(
        &self,
        request: Request<StoreDeleteRequest>,
    ) -> Result<Response<StoreDeleteResponse>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        self.0.sandboxes.delete(&namespace, &request.into_inner().sandbox_id).await.map_err(status)?;
        Ok(Response::new(StoreDeleteResponse {}))
    }

    async fn list(&self, request: Request<StoreListRequest>) -> Result<Response<StoreListResponse>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let list = self.0.sandboxes.list(&namespace, &request.into_inner().filters).map_err(status)?;
        Ok(Response::new(StoreListResponse { list: list.into_iter().map(Into::into).collect() }))
    }

    async fn get(&self, request: Request<StoreGetRequest>) -> Result<Response<StoreGetResponse>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let sandbox = self.0.sandboxes.get(&namespace, &request.into_inner().sandbox_id).map_err(status)?;
        Ok(Response::new(StoreGetResponse { sandbox: Some(sandbox.into()) }))
    }
}

/// The namespace of a request to the controller that it names.
fn enter<T>(request: &Request<T>, sandboxer: impl Fn(&T) -> &str) -> Result<Namespace, Status> {
    match sandboxer(request.get_ref()) {
        // Clients of containerd 2.1 name it only when they create.
        SHIM | "" => Namespace::require(request.metadata()).map_err(status),
        other => Err(Status::not_found(format!("not found: failed to get sandbox controller by {other}"))),
    }
}

#[tonic::async_trait]
impl ControllerApi for ControllerService {
    async fn create(
        &self,
        request: Request<ControllerCreateRequest>,
    ) -> Result<Response<ControllerCreateResponse>, Status> {
        let namespace = enter(&request, |request| &request.sandboxer)?;
        let request = request.into_inner();
        let new = NewInstance {
            id: request.sandbox_id.clone(),
            rootfs: request.rootfs,
            options: request.options,
            netns_path: request.netns_path,
            annotations: request.annotations,
            ..request.sandbox.map(Sandbox::from).unwrap_or_default().into()
        };
        self.0.controller.create(&namespace, new).await.map_err(status)?;
        Ok(Response::new(ControllerCreateResponse { sandbox_id: request.sandbox_id }))
    }

    async fn start(
        &self,
        request: Request<ControllerStartRequest>,
    ) -> Result<Response<ControllerStartResponse>, Status> {
        let namespace = enter(&request, |request| &request.sandboxer)?;
        let sandbox_id = request.into_inner().sandbox_id;
        let controller = &self.0.controller;
        // Clients of containerd 2.1 record a sandbox and start it, and never create it.
        if !controller.has(&namespace, &sandbox_id)
            && let Ok(record) = self.0.sandboxes.get(&namespace, &sandbox_id)
        {
            controller.create(&namespace, record.into()).await.map_err(status)?;
        }
        let started = controller.start(&namespace, &sandbox_id).await.map_err(status)?;
        let runtime::StartSandboxResponse { pid, created_at, spec } = started.answer;
        let labels = self.0.sandboxes.get(&namespace, &sandbox_id).map(|sandbox| sandbox.labels);
        Ok(Response::new(ControllerStartResponse {
            sandbox_id,
            pid,
            created_at,
            labels: labels.unwrap_or_default().into_iter().collect(),
            address: started.endpoint.url(),
            version: started.endpoint.version.unsigned_abs(),
            spec,
        }))
    }

    async fn platform(
        &self,
        request: Request<ControllerPlatformRequest>,
    ) -> Result<Response<ControllerPlatformResponse>, Status> {
        let namespace = enter(&request, |request| &request.sandboxer)?;
        let id = request.into_inner().sandbox_id;
        let request = runtime::PlatformRequest { sandbox_id: id.clone() };
        let asked = self.0.controller.call(&namespace, &id, ("get platform of", "Platform"), &request);
        let runtime::PlatformResponse { platform } = asked.await.map_err(status)?;
        Ok(Response::new(ControllerPlatformResponse { platform }))
    }

    async fn stop(
        &self,
        request: Request<ControllerStopRequest>,
    ) -> Result<Response<ControllerStopResponse>, Status> {
        let namespace = enter(&request, |request| &request.sandboxer)?;
        let ControllerStopRequest { sandbox_id, timeout_secs, .. } = request.into_inner();
        self.0.controller.stop(&namespace, &sandbox_id, timeout_secs).await.map_err(status)?;
        Ok(Response::new(ControllerStopResponse {}))
    }

    async fn wait(
        &self,
        request: Request<ControllerWaitRequest>,
    ) -> Result<Response<ControllerWaitResponse>, Status> {
        let namespace = enter(&request, |request| &request.sandboxer)?;
        let id = request.into_inner().sandbox_id;
        let request = runtime::WaitSandboxRequest { sandbox_id: id.clone() };
        let asked = self.0.controller.call(&namespace, &id, ("wait", "WaitSandbox"), &request);
        let runtime::WaitSandboxResponse { exit_status, exited_at } = asked.await.map_err(status)?;
        Ok(Response::new(ControllerWaitResponse { exit_status, exited_at }))
    }

    async fn status(
        &self,
        request: Request<ControllerStatusRequest>,
    ) -> Result<Response<ControllerStatusResponse>, Status> {
        let namespace = enter(&request, |request| &request.sandboxer)?;
        let ControllerStatusRequest { sandbox_id, verbose, .. } = request.into_inner();
        let found = self.0.controller.status(&namespace, &sandbox_id, verbose).await.map_err(status)?;
        let Some((answer, endpoint)) = found else {
            // As containerd: of a sandbox that is not there it is known that it has ended.
            let exited_at = Some(std::time::SystemTime::now().into());
            let gone = ControllerStatusResponse { sandbox_id, exited_at, ..Default::default() };
            return Ok(Response::new(gone));
        };
        Ok(Response::new(ControllerStatusResponse {
            sandbox_id: answer.sandbox_id,
            pid: answer.pid,
            state: answer.state,
            info: answer.info,
            created_at: answer.created_at,
            exited_at: answer.exited_at,
            extra: answer.extra,
            address: endpoint.url(),
            version: endpoint.version.unsigned_abs(),
        }))
    }

    async fn shutdown(
        &self,
        request: Request<ControllerShutdownRequest>,
    ) -> Result<Response<ControllerShutdownResponse>, Status> {
        let namespace = enter(&request, |request| &request.sandboxer)?;
        let id = request.into_inner().sandbox_id;
        match self.0.controller.shut_down(&namespace, &id).await {
            // Recorded, and never created: nothing runs, as wanted.
            Err(error) if error.kind() == Kind::NotFound && self.0.sandboxes.get(&namespace, &id).is_ok() => {
            }
            ended => ended.map_err(status)?,
        }
        Ok(Response::new(ControllerShutdownResponse {}))
    }

    async fn metrics(
        &self,
        request: Request<ControllerMetricsRequest>,
    ) -> Result<Response<ControllerMetricsResponse>, Status> {
        let namespace = enter(&request, |request| &request.sandboxer)?;
        let id = request.into_inner().sandbox_id;
        let request = runtime::SandboxMetricsRequest { sandbox_id: id.clone() };
        let asked = self.0.controller.call(&namespace, &id, ("get metrics of", "SandboxMetrics"), &request);
        let runtime::SandboxMetricsResponse { metrics } = asked.await.map_err(status)?;
        Ok(Response::new(ControllerMetricsResponse { metrics }))
    }

    async fn update(
        &self,
        request: Request<ControllerUpdateRequest>,
    ) -> Result<Response<ControllerUpdateResponse>, Status> {
        let namespace = enter(&request, |request| &request.sandboxer)?;
        let ControllerUpdateRequest { sandbox_id, sandbox, .. } = request.into_inner();
        if sandbox.is_none() {
            return Err(Status::invalid_argument("sandbox can not be nil"));
        }
        // A shim takes no updates of its sandbox: containers are updated one by one. Whether it is there is all to say.
        let id = sandbox_id.clone();
        let ping = runtime::PingRequest { sandbox_id };
        let asked = self.0.controller.call(&namespace, &id, ("update", "PingSandbox"), &ping);
        let runtime::PingResponse {} = asked.await.map_err(status)?;
        Ok(Response::new(ControllerUpdateResponse {}))
    }
}
