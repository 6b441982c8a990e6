//! `top`: the processes of a container as the host's `ps` shows them.

use std::sync::Arc;

use dhow_engine_api::container::TopResponse;
use dhow_proto::containerd::services::tasks::v1::ListPidsRequest;
use dhow_proto::error::Kind;
use tokio::process::Command;

use super::failure::StateError;
use super::state::{Container, Phase};
use crate::daemon::Daemon;
use crate::error::Failure;

/// Why processes cannot be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TopError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error("list the processes of container {0}")]
    Pids(String, #[source] Box<tonic::Status>),
    #[error("invalid ps arguments: {0:?}")]
    Arguments(String),
    #[error("run ps: install procps")]
    NoPs(#[source] std::io::Error),
    #[error("ps: {0}")]
    Ps(String),
    #[error("ps printed no PID column: leave PID in the output format")]
    NoPid,
}

impl Failure for TopError {
    fn kind(&self) -> Kind {
        match self {
            Self::State(error) => error.kind(),
            Self::Arguments(_) | Self::Ps(_) | Self::NoPid => Kind::InvalidArgument,
            Self::Pids(..) | Self::NoPs(_) => Kind::Internal,
        }
    }
}

/// Shows the processes; `arguments` are those of `ps`.
pub(crate) async fn top(
    daemon: &Daemon,
    container: &Arc<Container>,
    arguments: &str,
) -> Result<TopResponse, TopError> {
    match container.state().phase {
        Phase::Running { .. } => {}
        Phase::Restarting { .. } => return Err(StateError::Restarting(container.id.clone()).into()),
        Phase::Idle | Phase::Removing => return Err(StateError::NotRunning(container.id.clone()).into()),
    }
    // Only options: a word that is none could be another file or command to some ps.
    let arguments = if arguments.is_empty() { "-ef" } else { arguments };
    if arguments.chars().any(|letter| letter.is_control()) {
        return Err(TopError::Arguments(arguments.to_owned()));
    }
    let request = ListPidsRequest { container_id: container.id.clone() };
    let pids = daemon.supervisor.tasks().list_pids(request).await;
    let pids = pids.map_err(|status| TopError::Pids(container.id.clone(), Box::new(status)))?.into_inner();
    let pids: Vec<u32> = pids.processes.into_iter().map(|process| process.pid).collect();
    let output =
        Command::new("ps").args(arguments.split_whitespace()).output().await.map_err(TopError::NoPs)?;
    if !output.status.success() {
        return Err(TopError::Ps(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let table = table(&String::from_utf8_lossy(&output.stdout), &pids).ok_or(TopError::NoPid)?;
    container.tell_event(daemon, "top", &[]);
    Ok(table)
}

/// The rows of a table of ps whose process is ours; the last column may hold spaces.
fn table(text: &str, pids: &[u32]) -> Option<TopResponse> {
    let mut lines = text.lines();
    let titles: Vec<String> = lines.next()?.split_whitespace().map(str::to_owned).collect();
    let pid = titles.iter().position(|title| title == "PID")?;
    let mut processes = Vec::new();
    for line in lines {
        let row = row(line, titles.len());
        if row.get(pid).and_then(|text| text.parse().ok()).is_some_and(|pid: u32| pids.contains(&pid)) {
            processes.push(row);
        }
    }
    Some(TopResponse { titles, processes })
}

fn row(line: &str, columns: usize) -> Vec<String> {
    let mut rest = line.trim_start();
    let mut row = Vec::new();
    while row.len() + 1 < columns && !rest.is_empty() {
        let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        row.push(word.to_owned());
        rest = after.trim_start();
    }
    row.push(rest.trim_end().to_owned());
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_rows_are_shown_and_commands_stay_whole() {
        let text = "UID   PID  PPID CMD\nroot    1     0 init  splash\nroot   42     1 sleep 300 -x\n";
        let table = table(text, &[42]).expect("table");
        assert_eq!(table.titles, ["UID", "PID", "PPID", "CMD"]);
        assert_eq!(table.processes, [["root", "42", "1", "sleep 300 -x"]]);
        assert!(super::table("USER CMD\nroot a\n", &[1]).is_none());
    }
}
