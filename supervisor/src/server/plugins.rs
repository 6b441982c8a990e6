//! What we can do, in containerd's words: its plugins, as far as clients look for them.
//!
//! Clients ask which snapshotters there are and what those can do, on which platforms images can be unpacked and
//! run, where `ctr install` puts binaries, and whether a service is there.

use dhow_proto::containerd::services::introspection::v1::Plugin;
use dhow_proto::containerd::types::Platform;

use crate::filter::Adaptor;
use crate::supervisor::Deps;

/// The gRPC services, as containerd names their plugins.
const SERVICES: [&str; 17] = [
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
    "sandbox-controllers",
    "sandboxes",
    "snapshots",
    "streaming",
    "tasks",
    "transfer",
    "version",
];

/// What a plugin stands on.
const CONTENT: &str = "io.containerd.content.v1";
const SNAPSHOTTER: &str = "io.containerd.snapshotter.v1";
const METADATA: &str = "io.containerd.metadata.v1";
const MOUNTS: &str = "io.containerd.mount-manager.v1";
const EVENT: &str = "io.containerd.event.v1";
const SHIM: &str = "io.containerd.shim.v1";
const LEASE: &str = "io.containerd.lease.v1";
const GC: &str = "io.containerd.gc.v1";
const DIFFER: &str = "io.containerd.differ.v1";
const SANDBOX_STORE: &str = "io.containerd.sandbox.store.v1";
const SANDBOX_CONTROLLER: &str = "io.containerd.sandbox.controller.v1";
const STREAMING: &str = "io.containerd.streaming.v1";
const TRANSFER: &str = "io.containerd.transfer.v1";
/// The plugin of the runtime, which answers questions about shims.
pub(super) const RUNTIME: &str = "io.containerd.runtime.v2";

/// All of them, in the order in which one stands on another.
pub(super) fn all(deps: &Deps) -> Vec<Plugin> {
    let root = |id: &str| deps.root.join(id).display().to_string();
    let mut plugins = vec![
        exporting(plugin(CONTENT, "content", &[]), "root", root(CONTENT)),
        exporting(
            plugin("io.containerd.internal.v1", "opt", &[]),
            "path",
            deps.tasks.launcher().installed.display().to_string(),
        ),
        plugin("io.containerd.warning.v1", "deprecations", &[]),
        plugin(EVENT, "exchange", &[]),
    ];
    for snapshots in deps.snapshotters.all() {
        let id = snapshots.name();
        let mut snapshotter = plugin(SNAPSHOTTER, id, &[]);
        snapshotter.capabilities.extend(snapshots.capabilities().iter().map(|name| (*name).to_owned()));
        plugins.push(exporting(here(snapshotter), "root", root(&format!("{SNAPSHOTTER}.{id}"))));
    }
    plugins.extend([
        plugin(METADATA, "bolt", &[CONTENT, EVENT, SNAPSHOTTER]),
        plugin(LEASE, "manager", &[METADATA]),
        plugin(GC, "scheduler", &[METADATA]),
        plugin(MOUNTS, "bolt", &[METADATA]),
        here(plugin(DIFFER, "walking", &[METADATA])),
        plugin(SANDBOX_STORE, "local", &[METADATA]),
        plugin(SHIM, "manager", &[EVENT, METADATA]),
        plugin(SANDBOX_CONTROLLER, "shim", &[SHIM, EVENT]),
        here(plugin(RUNTIME, "task", &[SHIM])),
        plugin(STREAMING, "manager", &[METADATA]),
        here(plugin(TRANSFER, "local", &[LEASE, METADATA, DIFFER])),
    ]);
    plugins.extend(SERVICES.iter().map(|id| plugin("io.containerd.grpc.v1", id, requirements(id))));
    plugins
}

/// Why we must not start.
#[derive(Debug, thiserror::Error)]
#[error("the configuration requires plugins that are not here: {}", .0.join(", "))]
pub(crate) struct MissingPlugins(Vec<String>);

/// Checks what the configuration asks of plugins: those that are `required` must be here; those that should be off
/// and cannot be are named once in the log.
pub(crate) fn check(deps: &Deps, required: &[String], disabled: &[String]) -> Result<(), MissingPlugins> {
    let present: Vec<String> =
        all(deps).iter().map(|plugin| format!("{}.{}", plugin.r#type, plugin.id)).collect();
    for plugin in disabled.iter().filter(|plugin| present.contains(plugin)) {
        tracing::warn!(plugin, "the configuration disables a plugin that is always on here");
    }
    let missing: Vec<String> = required.iter().filter(|plugin| !present.contains(plugin)).cloned().collect();
    if missing.is_empty() { Ok(()) } else { Err(MissingPlugins(missing)) }
}

/// What a gRPC service stands on.
fn requirements(service: &str) -> &'static [&'static str] {
    match service {
        "diff" => &[DIFFER, METADATA],
        "events" => &[EVENT],
        "healthcheck" | "version" => &[],
        "introspection" => &["io.containerd.warning.v1"],
        "sandbox-controllers" => &[SANDBOX_CONTROLLER, EVENT],
        "sandboxes" => &[SANDBOX_STORE],
        "mounts" => &[MOUNTS],
        "streaming" => &[STREAMING],
        "tasks" => &[RUNTIME, EVENT, METADATA],
        "transfer" => &[TRANSFER, STREAMING],
        _ => &[METADATA, GC],
    }
}

fn plugin(kind: &str, id: &str, requires: &[&str]) -> Plugin {
    let requires = requires.iter().map(|kind| (*kind).to_owned()).collect();
    Plugin { r#type: kind.to_owned(), id: id.to_owned(), requires, ..Plugin::default() }
}

fn exporting(mut plugin: Plugin, name: &str, value: String) -> Plugin {
    plugin.exports.insert(name.to_owned(), value);
    plugin
}

/// A plugin that works for this machine only.
fn here(mut plugin: Plugin) -> Plugin {
    plugin.platforms.push(platform());
    plugin
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
