//! `containerd.services.tasks.v1.Tasks`

use std::sync::Arc;

use dhow_proto::containerd::runc::v1::Options;
use dhow_proto::containerd::services::tasks::v1::tasks_server::{Tasks, TasksServer};
use dhow_proto::containerd::services::tasks::v1::{
    CheckpointTaskRequest, CheckpointTaskResponse, CloseIoRequest, CreateTaskRequest, CreateTaskResponse,
    DeleteProcessRequest, DeleteResponse, DeleteTaskRequest, ExecProcessRequest, GetRequest, GetResponse,
    KillRequest, ListPidsRequest, ListPidsResponse, ListTasksRequest, ListTasksResponse, MetricsRequest,
    MetricsResponse, PauseTaskRequest, ResizePtyRequest, ResumeTaskRequest, StartRequest, StartResponse,
    UpdateTaskRequest, WaitRequest, WaitResponse,
};
use dhow_proto::containerd::task::v3;
use dhow_proto::containerd::v1::types::Process;
use dhow_proto::error::Kind;
use prost_types::Any;
use tonic::{Request, Response, Status};

use crate::fault::{Fault, status};
use crate::filter::Filter;
use crate::identifier;
use crate::namespace::{Namespace, Scope};
use crate::supervisor::Deps;
use crate::task::{Endpoint, NewTask, Task, TaskError};

#[derive(Debug)]
pub(crate) struct TasksService(Arc<Deps>);

pub(crate) fn service(deps: &Arc<Deps>) -> TasksServer<TasksService> {
    TasksServer::new(TasksService(deps.clone())).max_decoding_message_size(super::MESSAGE_LIMIT)
}

impl TasksService {
    /// The task of a container; without one, whether it is the container or the task that is missing.
    fn task<T>(&self, request: &Request<T>, id: impl Fn(&T) -> &str) -> Result<Arc<Task>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let id = id(request.get_ref());
        self.0.tasks.get(&namespace, id).map_err(|missing| match self.0.containers.get(&namespace, id) {
            Ok(_) => status(missing),
            Err(error) => status(error),
        })
    }

    /// The sandbox that a new task joins, and the shim of it: the one at the address that the client was told, or the
    /// one that we run. A shim that cannot take more groups containers by itself, or not at all.
    fn sandbox(
        &self,
        namespace: &Namespace,
        id: &str,
        (address, version): (&str, u32),
    ) -> Result<Option<(String, Endpoint)>, Status> {
        if id.is_empty() {
            return Ok(None);
        }
        match self.0.sandboxes.get(namespace, id) {
            Ok(_) => {}
            Err(error) if error.kind() == Kind::NotFound => {
                tracing::warn!(sandbox = id, "a container names a sandbox that is not recorded");
                return Ok(None);
            }
            Err(error) => return Err(status(error)),
        }
        let endpoint = match address {
            "" => self.0.controller.endpoint(namespace, id).map_err(status)?,
            url => Endpoint::from_url(url, version).map_err(|error| status(TaskError::Start(error)))?,
        };
        Ok(endpoint.takes_more().then(|| (id.to_owned(), endpoint)))
    }
}

#[tonic::async_trait]
impl Tasks for TasksService {
    async fn create(
        &self,
        request: Request<CreateTaskRequest>,
    ) -> Result<Response<CreateTaskResponse>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let request = request.into_inner();
        let container = self.0.containers.get(&namespace, &request.container_id).map_err(status)?;
        let given = request.options.filter(|options| !options.value.is_empty());
        let options = runc_options(given.as_ref());
        let api = match request.task_api_address.as_str() {
            "" => (options.task_api_address.as_str(), options.task_api_version),
            address => (address, request.task_api_version),
        };
        let sandbox = self.sandbox(&namespace, &container.sandbox, api)?;
        let unpacked = match &request.checkpoint {
            Some(checkpoint) if options.criu_image_path.is_empty() => {
                Some(self.0.checkpoints.unpack(&namespace, checkpoint).await.map_err(status)?)
            }
            _ => None,
        };
        let runtime = Some(request.runtime_path).filter(|path| !path.is_empty()).unwrap_or(container.runtime);
        let new = NewTask {
            id: request.container_id.clone(),
            spec: container.spec.map(|spec| spec.value).unwrap_or_default(),
            rootfs: request.rootfs,
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
            terminal: request.terminal,
            runtime,
            checkpoint: options.criu_image_path,
            unpacked,
            sandbox,
            options: given.or(container.runtime_options),
        };
        let pid = self.0.tasks.create(&namespace, new).await.map_err(status)?;
        Ok(Response::new(CreateTaskResponse { container_id: request.container_id, pid }))
    }

    async fn start(&self, request: Request<StartRequest>) -> Result<Response<StartResponse>, Status> {
        let task = self.task(&request, |request| &request.container_id)?;
        let StartRequest { container_id: id, exec_id } = request.into_inner();
        let started: v3::StartResponse =
            task.call("Start", &v3::StartRequest { id, exec_id }).await.map_err(status)?;
        Ok(Response::new(StartResponse { pid: started.pid }))
    }

    async fn delete(&self, request: Request<DeleteTaskRequest>) -> Result<Response<DeleteResponse>, Status> {
        let task = self.task(&request, |request| &request.container_id)?;
        let exit = self.0.tasks.delete(task).await.map_err(status)?;
        Ok(Response::new(DeleteResponse {
            id: String::new(),
            pid: exit.pid,
            exit_status: exit.status,
            exited_at: exit.at,
        }))
    }

    async fn delete_process(
        &self,
        request: Request<DeleteProcessRequest>,
    ) -> Result<Response<DeleteResponse>, Status> {
        let task = self.task(&request, |request| &request.container_id)?;
        let exec_id = request.into_inner().exec_id;
        let exit = self.0.tasks.delete_process(&task, &exec_id).await.map_err(status)?;
        Ok(Response::new(DeleteResponse {
            id: exec_id,
            pid: exit.pid,
            exit_status: exit.status,
            exited_at: exit.at,
        }))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let task = self.task(&request, |request| &request.container_id)?;
        let exec_id = request.into_inner().exec_id;
        let state = task.state(&exec_id).await.map_err(status)?;
        let id = if exec_id.is_empty() { task.id().to_owned() } else { exec_id };
        Ok(Response::new(GetResponse { process: Some(process(id, state)) }))
    }

    async fn list(&self, request: Request<ListTasksRequest>) -> Result<Response<ListTasksResponse>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let states = self.0.tasks.list(&namespace).await;
        let tasks = states.into_iter().map(|(task, state)| process(task.id().to_owned(), state));
        Ok(Response::new(ListTasksResponse { tasks: tasks.collect() }))
    }

    async fn kill(&self, request: Request<KillRequest>) -> Result<Response<()>, Status> {
        let task = self.task(&request, |request| &request.container_id)?;
        let KillRequest { container_id: id, exec_id, signal, all } = request.into_inner();
        let request = v3::KillRequest { id, exec_id, signal, all };
        task.call("Kill", &request).await.map(Response::new).map_err(status)
    }

    async fn exec(&self, request: Request<ExecProcessRequest>) -> Result<Response<()>, Status> {
        if request.get_ref().exec_id.is_empty() {
            return Err(Status::invalid_argument("exec id cannot be empty"));
        }
        identifier::validate(&request.get_ref().exec_id).map_err(|error| {
            status(TaskError::ExecId { id: request.get_ref().exec_id.clone(), source: error })
        })?;
        let task = self.task(&request, |request| &request.container_id)?;
        let request = request.into_inner();
        let request = v3::ExecProcessRequest {
            id: request.container_id,
            exec_id: request.exec_id,
            terminal: request.terminal,
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
            spec: request.spec,
        };
        task.call("Exec", &request).await.map(Response::new).map_err(status)
    }

    async fn resize_pty(&self, request: Request<ResizePtyRequest>) -> Result<Response<()>, Status> {
        let task = self.task(&request, |request| &request.container_id)?;
        let ResizePtyRequest { container_id: id, exec_id, width, height } = request.into_inner();
        let request = v3::ResizePtyRequest { id, exec_id, width, height };
        task.call("ResizePty", &request).await.map(Response::new).map_err(status)
    }

    async fn close_io(&self, request: Request<CloseIoRequest>) -> Result<Response<()>, Status> {
        let task = self.task(&request, |request| &request.container_id)?;
        let CloseIoRequest { container_id: id, exec_id, stdin } = request.into_inner();
        let request = v3::CloseIoRequest { id, exec_id, stdin };
        task.call("CloseIO", &request).await.map(Response::new).map_err(status)
    }

    async fn pause(&self, request: Request<PauseTaskRequest>) -> Result<Response<()>, Status> {
        let task = self.task(&request, |request| &request.container_id)?;
        let request = v3::PauseRequest { id: request.into_inner().container_id };
        task.call("Pause", &request).await.map(Response::new).map_err(status)
    }

    async fn resume(&self, request: Request<ResumeTaskRequest>) -> Result<Response<()>, Status> {
        let task = self.task(&request, |request| &request.container_id)?;
        let request = v3::ResumeRequest { id: request.into_inner().container_id };
        task.call("Resume", &request).await.map(Response::new).map_err(status)
    }

    async fn list_pids(
        &self,
        request: Request<ListPidsRequest>,
    ) -> Result<Response<ListPidsResponse>, Status> {
        let task = self.task(&request, |request| &request.container_id)?;
        let request = v3::PidsRequest { id: request.into_inner().container_id };
        let pids: v3::PidsResponse = task.call("Pids", &request).await.map_err(status)?;
        Ok(Response::new(ListPidsResponse { processes: pids.processes }))
    }

    async fn checkpoint(
        &self,
        request: Request<CheckpointTaskRequest>,
    ) -> Result<Response<CheckpointTaskResponse>, Status> {
        let task = self.task(&request, |request| &request.container_id)?;
        let scope = Scope::require(request.metadata()).map_err(status)?;
        let CheckpointTaskRequest { container_id: id, options, .. } = request.into_inner();
        let given = options.as_ref().and_then(dhow_proto::runc::checkpoint_options).and_then(Result::ok);
        let path = given.map(|options| options.image_path).unwrap_or_default();
        if !path.is_empty() {
            let request = v3::CheckpointTaskRequest { id, path, options };
            let () = task.call("Checkpoint", &request).await.map_err(status)?;
            return Ok(Response::new(CheckpointTaskResponse { descriptors: Vec::new() }));
        }
        let container = self.0.containers.get(&scope.namespace, &id).map_err(status)?;
        let folder = self.0.checkpoints.folder().map_err(|error| status(TaskError::Bundle(error)))?;
        let path = folder.path().to_string_lossy().into_owned();
        let request = v3::CheckpointTaskRequest { id, path, options };
        let () = task.call("Checkpoint", &request).await.map_err(status)?;
        let spec = container.spec.unwrap_or_default();
        let descriptors = self.0.checkpoints.keep(&scope, &folder, &spec).await.map_err(status)?;
        Ok(Response::new(CheckpointTaskResponse { descriptors }))
    }

    async fn update(&self, request: Request<UpdateTaskRequest>) -> Result<Response<()>, Status> {
        let task = self.task(&request, |request| &request.container_id)?;
        let UpdateTaskRequest { container_id: id, resources, annotations } = request.into_inner();
        let request = v3::UpdateTaskRequest { id, resources, annotations };
        task.call("Update", &request).await.map(Response::new).map_err(status)
    }

    async fn metrics(&self, request: Request<MetricsRequest>) -> Result<Response<MetricsResponse>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let filter = Filter::parse(&request.into_inner().filters).map_err(status)?;
        Ok(Response::new(MetricsResponse { metrics: self.0.tasks.metrics(&namespace, &filter).await }))
    }

    async fn wait(&self, request: Request<WaitRequest>) -> Result<Response<WaitResponse>, Status> {
        let task = self.task(&request, |request| &request.container_id)?;
        let exit = task.wait(&request.into_inner().exec_id).await.map_err(status)?;
        Ok(Response::new(WaitResponse { exit_status: exit.exit_status, exited_at: exit.exited_at }))
    }
}

/// The options of runc's shim; those of other shims say nothing to us.
fn runc_options(options: Option<&Any>) -> Options {
    options.and_then(dhow_proto::runc::options).and_then(Result::ok).unwrap_or_default()
}

fn process(id: String, state: v3::StateResponse) -> Process {
    Process {
        container_id: String::new(),
        id,
        pid: state.pid,
        status: state.status,
        stdin: state.stdin,
        stdout: state.stdout,
        stderr: state.stderr,
        terminal: state.terminal,
        exit_status: state.exit_status,
        exited_at: state.exited_at,
    }
}
