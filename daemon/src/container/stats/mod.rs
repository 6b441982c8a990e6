//! `stats`: what a container uses, once or every second.

mod host;
mod metrics;

use std::sync::Arc;
use std::time::Duration;

use dhow_engine_api::container::{CpuStats, StatsResponse};
use dhow_proto::containerd::services::tasks::v1::MetricsRequest;
use futures_util::Stream;
use futures_util::stream;

use super::state::{Container, Phase};
use crate::daemon::Daemon;
use crate::time::{NEVER, now};

/// Between two measurements.
const INTERVAL: Duration = Duration::from_secs(1);

/// What a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// One measurement, with nothing before it.
    OneShot,
    /// One measurement, with another one a second before.
    Once,
    /// One a second, as long as the client listens.
    Stream,
}

/// Measures a container. One that does not run uses nothing.
pub(crate) fn measure(
    daemon: Arc<Daemon>,
    container: Arc<Container>,
    wish: Wish,
) -> impl Stream<Item = StatsResponse> {
    let first = Series { daemon, container, wish, last: None, over: false };
    stream::unfold(first, Series::next)
}

struct Series {
    daemon: Arc<Daemon>,
    container: Arc<Container>,
    wish: Wish,
    /// The last measurement, and when it was taken.
    last: Option<(String, CpuStats)>,
    over: bool,
}

impl Series {
    async fn next(mut self) -> Option<(StatsResponse, Self)> {
        if self.over {
            return None;
        }
        match (self.wish, &self.last) {
            (Wish::Once, None) => {
                let before = take(&self.daemon, &self.container).await;
                self.last = Some((before.read, before.cpu_stats));
                tokio::time::sleep(INTERVAL).await;
            }
            (Wish::Stream, Some(_)) => tokio::time::sleep(INTERVAL).await,
            (Wish::OneShot, _) | (Wish::Once, Some(_)) | (Wish::Stream, None) => {}
        }
        let mut stats = take(&self.daemon, &self.container).await;
        if let Some((read, cpu)) = self.last.replace((stats.read.clone(), stats.cpu_stats.clone())) {
            (stats.preread, stats.precpu_stats) = (read, cpu);
        }
        self.over = self.wish != Wish::Stream || self.daemon.containers.get(&self.container.id).is_none();
        Some((stats, self))
    }
}

/// Measures once.
async fn take(daemon: &Daemon, container: &Container) -> StatsResponse {
    let (name, pid) = {
        let state = container.state();
        let running = matches!(state.phase, Phase::Running { .. });
        (format!("/{}", state.record.name), state.phase.pid().filter(|_| running))
    };
    let mut stats = StatsResponse {
        id: container.id.clone(),
        name,
        read: NEVER.to_owned(),
        preread: NEVER.to_owned(),
        ..StatsResponse::default()
    };
    let Some(pid) = pid else { return stats };
    let request = MetricsRequest { filters: vec![format!("id=={}", container.id)] };
    let Ok(answer) = daemon.supervisor.tasks().metrics(request).await else { return stats };
    let mut found = answer.into_inner().metrics.into_iter().filter(|metric| metric.id == container.id);
    let Some(data) = found.next().and_then(|metric| metric.data) else { return stats };
    now().clone_into(&mut stats.read);
    metrics::fill(&mut stats, &data);
    stats.cpu_stats.system_cpu_usage = host::cpu_time();
    stats.cpu_stats.online_cpus = crate::system::host::cpus();
    let memory = crate::system::host::memory();
    if stats.memory_stats.limit == 0 || stats.memory_stats.limit > memory {
        stats.memory_stats.limit = memory;
    }
    stats.networks = Some(host::networks(pid)).filter(|networks| !networks.is_empty());
    stats
}
