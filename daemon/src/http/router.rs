//! Every route of the API on one page.
//!
//! A path comes here without its version, split at `/`, with its escapes resolved. Names of images hold slashes, which
//! is why those patterns take any number of segments.

use super::body::Outcome;
use super::call::Call;
use super::handler::{container, exec, image, network, system, volume};

/// Calls the handler of a route; `None` when there is no such route.
pub(super) async fn route(call: Call, path: &[&str]) -> Option<Outcome> {
    let method = call.head.method.clone();
    Some(match (method.as_str(), path) {
        ("GET" | "HEAD", ["_ping"]) => system::ping(&call),
        ("OPTIONS", _) => system::options(),
        ("GET", ["version"]) => system::version(&call).await,
        ("GET", ["info"]) => system::info(&call).await,
        ("GET", ["events"]) => system::events(&call),
        ("GET", ["system", "df"]) => system::disk_usage(&call).await,
        ("POST", ["build", "prune"]) => system::prune_builds(),

        ("GET", ["containers", "json"]) => container::list(&call).await,
        ("POST", ["containers", "create"]) => container::create(call).await,
        ("POST", ["containers", "prune"]) => container::prune(&call).await,
        ("GET", ["containers", name, "json"]) => container::inspect(&call, name).await,
        ("GET", ["containers", name, "top"]) => container::top(&call, name).await,
        ("GET", ["containers", name, "logs"]) => container::logs(&call, name).await,
        ("GET", ["containers", name, "stats"]) => container::stats(&call, name),
        ("POST", ["containers", name, "update"]) => container::update(call, name).await,
        ("POST", ["containers", name, "start"]) => container::start(&call, name).await,
        ("POST", ["containers", name, "stop"]) => container::stop(&call, name).await,
        ("POST", ["containers", name, "restart"]) => container::restart(&call, name).await,
        ("POST", ["containers", name, "kill"]) => container::kill(&call, name).await,
        ("POST", ["containers", name, "pause"]) => container::pause(&call, name).await,
        ("POST", ["containers", name, "unpause"]) => container::unpause(&call, name).await,
        ("POST", ["containers", name, "wait"]) => container::wait(&call, name),
        ("POST", ["containers", name, "attach"]) => container::attach(call, name).await,
        ("POST", ["containers", name, "resize"]) => container::resize(&call, name).await,
        ("POST", ["containers", name, "rename"]) => container::rename(&call, name).await,
        ("DELETE", ["containers", name]) => container::remove(&call, name).await,

        ("POST", ["containers", name, "exec"]) => exec::create(call, name).await,
        ("POST", ["exec", id, "start"]) => exec::start(call, id).await,
        ("POST", ["exec", id, "resize"]) => exec::resize(&call, id).await,
        ("GET", ["exec", id, "json"]) => exec::inspect(&call, id),

        ("GET", ["images", "json"]) => image::list(&call).await,
        ("POST", ["images", "create"]) => image::create(call).await,
        ("POST", ["images", "prune"]) => image::prune(&call).await,
        ("GET", ["images", name @ .., "json"]) => image::inspect(&call, name).await,
        ("GET", ["images", name @ .., "history"]) => image::history(&call, name).await,
        ("POST", ["images", name @ .., "tag"]) => image::tag(&call, name).await,
        ("DELETE", ["images", name @ ..]) => image::remove(&call, name).await,

        ("GET", ["networks"]) => network::list(&call),
        ("POST", ["networks", "create"]) => network::create(call).await,
        ("POST", ["networks", "prune"]) => network::prune(&call).await,
        ("GET", ["networks", name]) => network::inspect(&call, name),
        ("DELETE", ["networks", name]) => network::remove(&call, name).await,
        ("POST", ["networks", name, "connect"]) => network::connect(call, name).await,
        ("POST", ["networks", name, "disconnect"]) => network::disconnect(call, name).await,

        ("GET", ["volumes"]) => volume::list(&call),
        ("POST", ["volumes", "create"]) => volume::create(call).await,
        ("POST", ["volumes", "prune"]) => volume::prune(&call),
        ("GET", ["volumes", name]) => volume::inspect(&call, name),
        ("DELETE", ["volumes", name]) => volume::remove(&call, name),

        ("GET", ["plugins"]) => system::plugins(),
        (_, ["swarm" | "nodes" | "services" | "tasks" | "secrets" | "configs", ..]) => system::no_swarm(path),
        _ => return None,
    })
}
