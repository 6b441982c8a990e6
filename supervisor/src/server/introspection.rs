//! `containerd.services.introspection.v1.Introspection`: who we are, and what we can do.

use std::sync::Arc;

use dhow_proto::containerd::services::introspection::v1::introspection_server::{
    Introspection, IntrospectionServer,
};
use dhow_proto::containerd::services::introspection::v1::{
    Plugin, PluginInfoRequest, PluginInfoResponse, PluginsRequest, PluginsResponse, ServerResponse,
};
use dhow_proto::containerd::types::Platform;
use tonic::{Request, Response, Status};

use crate::fault::status;
use crate::filter::{Adaptor, Filter};
use crate::supervisor::Deps;

#[derive(Debug)]
pub(crate) struct IntrospectionService(Arc<Deps>);

pub(crate) fn service(deps: &Arc<Deps>) -> IntrospectionServer<IntrospectionService> {
    IntrospectionServer::new(IntrospectionService(deps.clone()))
}

/// The gRPC services, as containerd names their plugins.
const SERVICES: [&str; 15] = [
    "containers",
    "content",
    "diff",
    "events",
    "healthcheck",
    "images",
    "introspection",
    "leases",
    "mounts",
    "namespaces",
    "snapshots",
    "streaming",
    "tasks",
    "transfer",
    "version",
];

#[tonic::async_trait]
impl Introspection for IntrospectionService {
    async fn plugins(&self, request: Request<PluginsRequest>) -> Result<Response<PluginsResponse>, Status> {
        let filter = Filter::parse(&request.into_inner().filters).map_err(status)?;
        let mut plugins = plugins(&self.0);
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
        let plugin = plugins(&self.0).into_iter().find(|plugin| plugin.r#type == r#type && plugin.id == id);
        let plugin = plugin.ok_or_else(|| Status::not_found(format!("plugin {type}.{id} not found")))?;
        let extra = match (options, plugin.r#type.as_str()) {
            (None, _) => None,
            (Some(question), "io.containerd.gc.v1") => Some(self.0.gc.answer(&question).map_err(status)?),
            (Some(_), _) => {
                let text = format!("plugin {type}.{id} takes no options: not implemented");
                return Err(Status::unimplemented(text));
            }
        };
        Ok(Response::new(PluginInfoResponse { plugin: Some(plugin), extra }))
    }
}

/// What clients look for, under the types that containerd gives it.
fn plugins(deps: &Deps) -> Vec<Plugin> {
    let platform = platform();
    let mut plugins = vec![
        plugin("io.containerd.content.v1", "content", &[]),
        plugin(
            "io.containerd.metadata.v1",
            "bolt",
            &["io.containerd.content.v1", "io.containerd.snapshotter.v1"],
        ),
        plugin("io.containerd.event.v1", "exchange", &[]),
        plugin("io.containerd.gc.v1", "scheduler", &["io.containerd.metadata.v1"]),
        plugin("io.containerd.mount-manager.v1", "bolt", &["io.containerd.metadata.v1"]),
        plugin("io.containerd.differ.v1", "walking", &["io.containerd.metadata.v1"]),
        plugin("io.containerd.runtime.v2", "task", &["io.containerd.event.v1", "io.containerd.metadata.v1"]),
    ];
    for snapshots in deps.snapshotters.all() {
        let mut snapshotter = plugin("io.containerd.snapshotter.v1", snapshots.name(), &[]);
        let root = deps.root.join(format!("io.containerd.snapshotter.v1.{}", snapshots.name()));
        snapshotter.capabilities.extend(snapshots.capabilities().iter().map(|name| (*name).to_owned()));
        snapshotter.exports.insert("root".to_owned(), root.display().to_string());
        plugins.push(snapshotter);
    }
    let service = |id: &&str| plugin("io.containerd.grpc.v1", id, &["io.containerd.metadata.v1"]);
    plugins.extend(SERVICES.iter().map(service));
    for plugin in &mut plugins {
        let kinds = ["io.containerd.snapshotter.v1", "io.containerd.differ.v1", "io.containerd.runtime.v2"];
        if kinds.contains(&plugin.r#type.as_str()) {
            plugin.platforms.push(platform.clone());
        }
    }
    plugins
}

fn plugin(kind: &str, id: &str, requires: &[&str]) -> Plugin {
    let requires = requires.iter().map(|kind| (*kind).to_owned()).collect();
    Plugin { r#type: kind.to_owned(), id: id.to_owned(), requires, ..Plugin::default() }
}

/// This machine, in the words of image indexes.
fn platform() -> Platform {
    let (architecture, variant) = match std::env::consts::ARCH {
        "x86_64" => ("amd64", ""),
        "aarch64" => ("arm64", "v8"),
        "x86" => ("386", ""),
        "arm" => ("arm", "v7"),
        "powerpc64" => ("ppc64le", ""),
        other => (other, ""),
    };
    let (os, architecture, variant) = ("linux".to_owned(), architecture.to_owned(), variant.to_owned());
    Platform { os, architecture, variant, ..Platform::default() }
}

impl Adaptor for Plugin {
    fn field(&self, path: &[&str]) -> Option<String> {
        match path {
            ["type", ..] => Some(self.r#type.clone()),
            ["id", ..] => Some(self.id.clone()),
            ["capabilities", name] => self.capabilities.iter().find(|held| held == name).cloned(),
            _ => None,
        }
        .filter(|value| !value.is_empty())
    }
}
