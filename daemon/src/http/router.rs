//! Every route of the API on one page.
//!
//! A path comes here without its version, split at `/`, with its escapes resolved. Names of images hold slashes, which
//! is why those patterns take any number of segments.

use super::body::Outcome;
use super::call::Call;
use super::handler::system;

/// Calls the handler of a route; `None` when there is no such route.
pub(super) async fn route(call: Call, path: &[&str]) -> Option<Outcome> {
    let method = call.head.method.clone();
    Some(match (method.as_str(), path) {
        ("GET" | "HEAD", ["_ping"]) => system::ping(&call),
        ("OPTIONS", _) => system::options(),
        ("GET", ["version"]) => system::version(&call).await,
        ("GET", ["info"]) => system::info(&call).await,
        ("GET", ["events"]) => system::events(&call),

        ("GET", ["plugins"]) => system::plugins(),
        (_, ["swarm" | "nodes" | "services" | "tasks" | "secrets" | "configs", ..]) => system::no_swarm(path),
        _ => return None,
    })
}
