//! What many tasks say at once.

use std::sync::Arc;
use std::time::SystemTime;

use dhow_proto::containerd::task::v3::{StateResponse, StatsRequest, StatsResponse};
use dhow_proto::containerd::types::Metric;
use dhow_proto::error::{Kind, chain};
use futures_util::future::join_all;

use super::manager::Manager;
use super::shim::{STATE, Task};
use crate::fault::Fault;
use crate::filter::{Adaptor, Filter};
use crate::namespace::Namespace;

impl Adaptor for Task {
    fn field(&self, path: &[&str]) -> Option<String> {
        match path {
            ["id", ..] => Some(self.id.clone()),
            ["namespace", ..] => Some(self.namespace.to_string()),
            _ => None,
        }
    }
}

impl Manager {
    /// The states of a namespace's tasks. One that has just gone is left out; of one whose shim does not answer, it is
    /// said that its state is unknown: its container may well run.
    pub(crate) async fn list(&self, namespace: &Namespace) -> Vec<(Arc<Task>, StateResponse)> {
        let states = self.tasks(namespace).into_iter().map(|task| async move {
            match task.state_in_list().await {
                Ok(state) => Some((task, state)),
                Err(error) if error.kind() == Kind::NotFound => None,
                Err(error) => {
                    tracing::warn!(task = %task.id, error = %chain(&error), "ask for state");
                    let state = task.unknown_state();
                    Some((task, state))
                }
            }
        });
        join_all(states).await.into_iter().flatten().collect()
    }

    /// What the tasks that match `filter` use.
    pub(crate) async fn metrics(&self, namespace: &Namespace, filter: &Filter) -> Vec<Metric> {
        let tasks = self.tasks(namespace).into_iter().filter(|task| filter.matches(&**task));
        let metrics = tasks.map(|task| async move {
            let timestamp = Some(SystemTime::now().into());
            let request = StatsRequest { id: task.id.clone() };
            let stats: Result<StatsResponse, _> = task.call_within("Stats", &request, STATE).await;
            let data = stats.ok()?.stats;
            Some(Metric { timestamp, id: task.id.clone(), data })
        });
        join_all(metrics).await.into_iter().flatten().collect()
    }
}
