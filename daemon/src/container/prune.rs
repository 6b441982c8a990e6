//! `prune`: removes every container that does not run.

use std::sync::Arc;

use dhow_engine_api::container::PruneReport;

use super::state::Phase;
use super::{inspect, remove};
use crate::daemon::Daemon;
use crate::http::filter::Filters;

/// Names that `filters` may use.
pub(crate) const FILTERS: &[&str] = &["label", "label!", "until"];

/// Removes the containers that pass the filters and were made before `until`.
pub(crate) async fn prune(
    daemon: &Arc<Daemon>,
    filters: &Filters,
    until: Option<jiff::Timestamp>,
) -> PruneReport {
    let mut report = PruneReport { containers_deleted: Some(Vec::new()), space_reclaimed: 0 };
    for container in daemon.containers.all() {
        let record = {
            let state = container.state();
            if !matches!(state.phase, Phase::Idle) {
                continue;
            }
            state.record.clone()
        };
        let labels = record.config.labels.clone().unwrap_or_default();
        let old =
            until.is_none_or(|until| crate::time::parse(&record.created).is_some_and(|made| made < until));
        if !old || !filters.labels("label", &labels) || !filters.no_labels(&labels) {
            continue;
        }
        let written = inspect::sizes(daemon, &record).await.map_or(0, |(written, _)| written);
        match remove::remove(daemon, &container, remove::How::default()).await {
            Ok(()) => {
                report.containers_deleted.get_or_insert_default().push(record.id);
                report.space_reclaimed += u64::try_from(written).unwrap_or_default();
            }
            Err(error) => {
                tracing::warn!(container = %container.id, error = %dhow_proto::error::chain(&error), "not pruned");
            }
        }
    }
    report
}
