//! `containerd.services.introspection.v1.Introspection`: who we are, and what we can do.

use std::sync::Arc;

use dhow_proto::any;
use dhow_proto::containerd::services::introspection::v1::introspection_server::{
    Introspection, IntrospectionServer,
};
use dhow_proto::containerd::services::introspection::v1::{
    PluginInfoRequest, PluginInfoResponse, PluginsRequest, PluginsResponse, ServerResponse,
};
use dhow_proto::containerd::types::{RuntimeInfo, RuntimeRequest};
use dhow_proto::error::chain;
use prost_types::Any;
use tonic::{Request, Response, Status};

use super::plugins;
use crate::fault::status;
use crate::filter::Filter;
use crate::supervisor::Deps;
use crate::task::LaunchError;

#[derive(Debug)]
pub(crate) struct IntrospectionService(Arc<Deps>);

pub(crate) fn service(deps: &Arc<Deps>) -> IntrospectionServer<IntrospectionService> {
    IntrospectionServer::new(IntrospectionService(deps.clone()))
        .max_decoding_message_size(super::MESSAGE_LIMIT)
}

impl IntrospectionService {
    /// What a shim and the runtime below it can do.
    async fn runtime(&self, question: &Any) -> Result<RuntimeInfo, Status> {
        let Some(request) = any::unpack::<RuntimeRequest>(question) else {
            let text = format!("unknown request type {}: not implemented", any::name(question));
            return Err(Status::unimplemented(text));
        };
        let RuntimeRequest { runtime_path, options } =
            request.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let failed = |error: LaunchError| Status::unknown(chain(&error));
        let launcher = self.0.tasks.launcher();
        let binary = launcher.resolve(&runtime_path).map_err(failed)?;
        launcher.info(&binary, options.as_ref()).await.map_err(failed)
    }
}

#[tonic::async_trait]
impl Introspection for IntrospectionService {
    async fn plugins(&self, request: Request<PluginsRequest>) -> Result<Response<PluginsResponse>, Status> {
        let filter = Filter::parse(&request.into_inner().filters).map_err(status)?;
        let mut plugins = plugins::all(&self.0);
        plugins.retain(|plugin| filter.matches(plugin));
        Ok(Response::new(PluginsResponse { plugins }))
    }

    async fn server(&self, _: Request<()>) -> Result<Response<ServerResponse>, Status> {
        Ok(Response::new(ServerResponse {
            uuid: self.0.metadata.identity().to_owned(),
            pid: std::process::id().into(),
            pidns: std::fs::metadata("/proc/self/ns/pid")
                .map_or(0, |namespace| std::os::unix::fs::MetadataExt::ino(&namespace)),
            deprecations: Vec::new(),
        }))
    }

    async fn plugin_info(
        &self,
        request: Request<PluginInfoRequest>,
    ) -> Result<Response<PluginInfoResponse>, Status> {
        let PluginInfoRequest { r#type, id, options } = request.into_inner();
        let plugin =
            plugins::all(&self.0).into_iter().find(|plugin| plugin.r#type == r#type && plugin.id == id);
        let missing = || Status::not_found(format!("plugin {type}.{id} not found: not found"));
        let plugin = plugin.ok_or_else(missing)?;
        let extra = match (options, plugin.r#type.as_str()) {
            (None, _) => None,
            (Some(question), "io.containerd.gc.v1") => Some(self.0.gc.answer(&question).map_err(status)?),
            (Some(question), plugins::RUNTIME) => Some(any::pack(&self.runtime(&question).await?)),
            (Some(_), _) => {
                let text = "plugin does not provided extra information: not implemented";
                return Err(Status::unimplemented(text));
            }
        };
        Ok(Response::new(PluginInfoResponse { plugin: Some(plugin), extra }))
    }
}
