//! `list`: a few words about each container, filtered.

use std::collections::BTreeMap;
use std::sync::Arc;

use dhow_engine_api::container::{ContainerSummary, Port, SummaryHostConfig, SummaryNetworkSettings};
use dhow_engine_api::endpoint::PortMap;
use dhow_proto::error::Kind;

use super::state::{Container, Phase, State};
use super::store::LookupError;
use super::{age, inspect, surroundings};
use crate::daemon::Daemon;
use crate::error::Failure;
use crate::http::filter::Filters;

/// Names that `filters` may use.
pub(crate) const FILTERS: &[&str] = &[
    "ancestor",
    "before",
    "expose",
    "exited",
    "health",
    "id",
    "isolation",
    "is-task",
    "label",
    "label!",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];

/// Which containers, and how much about them.
#[derive(Debug, Default)]
pub(crate) struct Wish {
    pub(crate) all: bool,
    /// The newest ones, running or not.
    pub(crate) limit: Option<usize>,
    pub(crate) size: bool,
    pub(crate) filters: Filters,
}

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListError {
    #[error("invalid filter '{name}={value}'")]
    Filter { name: &'static str, value: String },
    #[error(transparent)]
    Lookup(#[from] LookupError),
}

impl Failure for ListError {
    fn kind(&self) -> Kind {
        match self {
            Self::Filter { .. } => Kind::InvalidArgument,
            Self::Lookup(error) => error.kind(),
        }
    }
}

const STATUSES: [&str; 7] = ["created", "running", "paused", "restarting", "removing", "exited", "dead"];
const HEALTHS: [&str; 4] = ["none", "starting", "healthy", "unhealthy"];

/// Lists containers, the newest first.
pub(crate) async fn list(daemon: &Arc<Daemon>, wish: &Wish) -> Result<Vec<ContainerSummary>, ListError> {
    check(&wish.filters)?;
    let bounds = Bounds::find(daemon, &wish.filters)?;
    let stopped_too = wish.all
        || wish.limit.is_some()
        || !wish.filters.lacks("status")
        || !wish.filters.lacks("exited")
        || !wish.filters.lacks("before")
        || !wish.filters.lacks("since");
    let mut containers = daemon.containers.all();
    containers.sort_by_cached_key(|container| std::cmp::Reverse(created(container)));
    let mut list = Vec::new();
    for container in containers {
        if list.len() >= wish.limit.unwrap_or(usize::MAX) {
            break;
        }
        let wanted = {
            let state = container.state();
            (stopped_too || state.is_running()) && matches(&state, &wish.filters) && bounds.hold(&state)
        };
        if !wanted || !ancestor(daemon, &container, &wish.filters).await {
            continue;
        }
        let summary = summary(daemon, &container, wish.size).await;
        if of_summary(&summary, &wish.filters) {
            list.push(summary);
        }
    }
    Ok(list)
}

fn created(container: &Container) -> Option<jiff::Timestamp> {
    crate::time::parse(&container.state().record.created)
}

fn check(filters: &Filters) -> Result<(), ListError> {
    let known = |name: &'static str, known: &dyn Fn(&str) -> bool| {
        let wrong = filters.values(name).iter().find(|value| !known(value));
        wrong.map_or(Ok(()), |value| Err(ListError::Filter { name, value: value.clone() }))
    };
    known("status", &|value| STATUSES.contains(&value))?;
    known("health", &|value| HEALTHS.contains(&value))?;
    known("exited", &|value| value.parse::<i64>().is_ok())
}

/// The containers that a wanted one is older or younger than.
struct Bounds {
    before: Option<jiff::Timestamp>,
    since: Option<jiff::Timestamp>,
}

impl Bounds {
    fn find(daemon: &Daemon, filters: &Filters) -> Result<Self, LookupError> {
        let time = |name: &str| match filters.values(name) {
            [] => Ok(None),
            [reference, ..] => daemon.containers.find(reference).map(|container| created(&container)),
        };
        Ok(Self { before: time("before")?, since: time("since")? })
    }

    fn hold(&self, state: &State) -> bool {
        let created = crate::time::parse(&state.record.created);
        self.before.is_none_or(|before| created < Some(before))
            && self.since.is_none_or(|since| created > Some(since))
    }
}

fn matches(state: &State, filters: &Filters) -> bool {
    let record = &state.record;
    let none = BTreeMap::new();
    let labels = record.config.labels.as_ref().unwrap_or(&none);
    let health = state.health.as_ref().map_or("none", |health| health.status.as_str());
    let ended = matches!(state.phase, Phase::Idle) && record.history.was_started();
    filters.exact("status", state.status())
        && filters.exact("health", health)
        && filters.any("exited", |code| ended && *code == record.history.exit_code.to_string())
        && filters.any("id", |wanted| record.id.starts_with(wanted.as_str()))
        && (filters.pattern("name", &record.name) || filters.pattern("name", &format!("/{}", record.name)))
        && filters.labels("label", labels)
        && filters.no_labels(labels)
        && filters.any("volume", |wanted| {
            record.mounts.iter().any(|mount| mount.name == *wanted || mount.destination == *wanted)
        })
        && filters.any("is-task", |wanted| wanted == "false" || wanted == "0")
}

async fn ancestor(daemon: &Daemon, container: &Container, filters: &Filters) -> bool {
    if filters.lacks("ancestor") {
        return true;
    }
    let record = container.record();
    for wanted in filters.values("ancestor") {
        if record.config.image == *wanted || record.image == *wanted {
            return true;
        }
        if daemon.images.resolve(wanted).await.is_ok_and(|image| image.id == record.image) {
            return true;
        }
    }
    false
}

fn of_summary(summary: &ContainerSummary, filters: &Filters) -> bool {
    let port = |wanted: &String, number: u16, kind: &str| {
        let (range, protocol) = wanted.split_once('/').unwrap_or((wanted, "tcp"));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let bounds = first.parse::<u16>().ok().zip(last.parse::<u16>().ok());
        number != 0
            && kind == protocol
            && bounds.is_some_and(|(first, last)| (first..=last).contains(&number))
    };
    let ports = &summary.ports;
    filters.any("publish", |wanted| ports.iter().any(|found| port(wanted, found.public_port, &found.kind)))
        && filters
            .any("expose", |wanted| ports.iter().any(|found| port(wanted, found.private_port, &found.kind)))
        && filters.any("network", |wanted| {
            let networks = &summary.network_settings.networks;
            networks
                .iter()
                .any(|(name, endpoint)| name == wanted || endpoint.network_id.starts_with(wanted.as_str()))
        })
}

async fn summary(daemon: &Arc<Daemon>, container: &Arc<Container>, size: bool) -> ContainerSummary {
    let (record, status, line) = {
        let state = container.state();
        (state.record.clone(), state.status(), age::status_line(&state))
    };
    let settings = surroundings::network_settings(daemon, container);
    let sizes = if size { inspect::sizes(daemon, &record).await } else { None };
    let (size_rw, size_root_fs) = sizes.unwrap_or_default();
    let current =
        daemon.images.resolve(&record.config.image).await.is_ok_and(|image| image.id == record.image);
    ContainerSummary {
        names: vec![format!("/{}", record.name)],
        image: if current { record.config.image.clone() } else { record.image.clone() },
        image_id: record.image.clone(),
        command: command_line(&record.command()),
        created: crate::time::unix(&record.created),
        ports: ports(settings.ports.as_ref()),
        size_rw,
        size_root_fs,
        labels: record.config.labels.unwrap_or_default(),
        state: status.to_owned(),
        status: line,
        host_config: SummaryHostConfig {
            network_mode: record.host.network_mode,
            annotations: record.host.annotations,
        },
        network_settings: SummaryNetworkSettings { networks: settings.networks },
        mounts: record.mounts,
        id: record.id,
    }
}

/// A command line as a shell would need it.
fn command_line(words: &[String]) -> String {
    let quoted = |word: &String| {
        if word.contains(char::is_whitespace) {
            format!("'{}'", word.replace('\'', "\\'"))
        } else {
            word.clone()
        }
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

fn ports(map: Option<&PortMap>) -> Vec<Port> {
    let mut ports = Vec::new();
    for (name, bindings) in map.into_iter().flatten() {
        let (number, kind) = name.split_once('/').unwrap_or((name, "tcp"));
        let port = Port {
            private_port: number.parse().unwrap_or_default(),
            kind: kind.to_owned(),
            ..Port::default()
        };
        match bindings {
            None => ports.push(port),
            Some(bindings) => ports.extend(bindings.iter().map(|binding| Port {
                ip: binding.host_ip.clone(),
                public_port: binding.host_port.parse().unwrap_or_default(),
                ..port.clone()
            })),
        }
    }
    ports.sort();
    ports
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_quoted_where_a_shell_needs_it() {
        let words = ["sh", "-c", "echo a; sleep 1"].map(str::to_owned);
        assert_eq!(command_line(&words), "sh -c 'echo a; sleep 1'");
    }
}
