//! Health: a command run in a container again and again, whose exit code says whether the container is well.
//!
//! What the checks say is kept in memory: a new daemon begins anew, with `starting`.

use std::sync::Arc;
use std::time::Duration;

use dhow_engine_api::container::{ContainerConfig, Health, HealthConfig, HealthResult};
use dhow_engine_api::exec::ExecCreateRequest;
use dhow_proto::containerd::services::tasks::v1::KillRequest;

use super::exec::{self, Progress};
use super::frame;
use super::state::{Container, Phase};
use crate::daemon::Daemon;

const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: i64 = 3;
/// How many results are kept.
const KEPT: usize = 5;
/// How much of what a check says is kept.
const OUTPUT: usize = 4096;
/// The exit code of a check that did not end in time, or could not run.
const NO_ANSWER: i64 = -1;

/// How a container is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Plan {
    command: Vec<String>,
    interval: Duration,
    timeout: Duration,
    start_period: Duration,
    start_interval: Duration,
    retries: i64,
}

impl Plan {
    /// The plan of a container; `None` when it is not to be checked.
    fn of(config: &ContainerConfig) -> Option<Self> {
        let check = config.healthcheck.as_ref()?;
        let HealthConfig { interval, timeout, start_period, start_interval, retries, .. } = *check;
        let command = match check.test.as_deref()? {
            [kind, words @ ..] if kind == "CMD" && !words.is_empty() => words.to_vec(),
            [kind, line, ..] if kind == "CMD-SHELL" => {
                let shell =
                    config.shell.clone().unwrap_or_else(|| ["/bin/sh", "-c"].map(str::to_owned).to_vec());
                shell.into_iter().chain([line.clone()]).collect()
            }
            _ => return None,
        };
        let or = |nanoseconds: i64, default| match u64::try_from(nanoseconds) {
            Ok(0) | Err(_) => default,
            Ok(nanoseconds) => Duration::from_nanos(nanoseconds),
        };
        Some(Self {
            command,
            interval: or(interval, INTERVAL),
            timeout: or(timeout, TIMEOUT),
            start_period: or(start_period, Duration::ZERO),
            start_interval: or(start_interval, START_INTERVAL),
            retries: if retries > 0 { retries } else { RETRIES },
        })
    }

    /// The pause before the next check.
    fn pause(&self, health: &Health, up: Duration) -> Duration {
        if health.status == "starting" && up < self.start_period {
            self.start_interval
        } else {
            self.interval
        }
    }
}

/// Takes a result into account; whether the status changed.
fn note(health: &mut Health, plan: &Plan, up: Duration, result: HealthResult) -> bool {
    let before = health.status.clone();
    if result.exit_code == 0 {
        health.failing_streak = 0;
        "healthy".clone_into(&mut health.status);
    } else if !(health.status == "starting" && up < plan.start_period) {
        health.failing_streak += 1;
        if health.failing_streak >= plan.retries {
            "unhealthy".clone_into(&mut health.status);
        }
    }
    let log = health.log.get_or_insert_default();
    log.push(result);
    let old = log.len().saturating_sub(KEPT);
    log.drain(..old);
    before != health.status
}

/// Begins the checks of a container that was started.
pub(crate) fn watch(daemon: &Arc<Daemon>, container: &Arc<Container>) {
    let mut state = container.state();
    let Some(plan) = Plan::of(&state.record.config) else {
        state.health = None;
        return;
    };
    let health = Health { status: "starting".to_owned(), failing_streak: 0, log: Some(Vec::new()) };
    let pause = plan.pause(&health, Duration::ZERO);
    state.health = Some(health);
    let checks = tokio::spawn(run(Arc::clone(daemon), Arc::clone(container), plan, pause));
    if let Some(old) = state.checks.replace(checks.abort_handle()) {
        old.abort();
    }
}

/// Ends the checks of a container.
pub(crate) fn stop(container: &Container) {
    let mut state = container.state();
    if let Some(checks) = state.checks.take() {
        checks.abort();
        if let Some(health) = &mut state.health {
            "unhealthy".clone_into(&mut health.status);
        }
    }
}

async fn run(daemon: Arc<Daemon>, container: Arc<Container>, plan: Plan, mut pause: Duration) {
    loop {
        tokio::time::sleep(pause).await;
        if !matches!(container.state().phase, Phase::Running { paused: false, .. }) {
            continue;
        }
        let Some(result) = check(&daemon, &container, &plan).await else { continue };
        let changed = {
            let mut state = container.state();
            let up = crate::time::since(&state.record.history.started_at);
            let Some(health) = &mut state.health else { return };
            let changed = note(health, &plan, up, result);
            pause = plan.pause(health, up);
            changed.then(|| health.status.clone())
        };
        if let Some(status) = changed {
            container.tell_event(&daemon, &format!("health_status: {status}"), &[]);
        }
    }
}

/// Runs one check; `None` when the container is no place for one now.
async fn check(daemon: &Arc<Daemon>, container: &Arc<Container>, plan: &Plan) -> Option<HealthResult> {
    let request = ExecCreateRequest {
        cmd: Some(plan.command.clone()),
        attach_stdout: true,
        attach_stderr: true,
        ..ExecCreateRequest::default()
    };
    let start = crate::time::now();
    let id = exec::create(daemon, container, request).ok()?;
    let exec = daemon.execs.find(&id).ok()?;
    exec::begin(&exec).ok()?;
    let (ours, mut theirs) = tokio::io::duplex(64 << 10);
    let running = tokio::spawn({
        let (daemon, exec) = (Arc::clone(daemon), Arc::clone(&exec));
        async move { exec::attached(&daemon, &exec, None, ours).await }
    });
    let mut said = Vec::new();
    let answer = async {
        let mut output = Vec::new();
        drop(frame::copy_chosen(&mut theirs, &mut output, true, true).await);
        output
    };
    let code = match tokio::time::timeout(plan.timeout, answer).await {
        Ok(output) => {
            said = frame::payloads(&output);
            match *exec.progress.borrow() {
                Progress::Ended { code, .. } => code,
                Progress::Created | Progress::Starting | Progress::Running { .. } => NO_ANSWER,
            }
        }
        Err(_) => {
            let request =
                KillRequest { container_id: container.id.clone(), exec_id: id.clone(), signal: 9, all: true };
            drop(daemon.supervisor.tasks().kill(request).await);
            said.extend_from_slice(format!("Health check exceeded timeout ({:?})", plan.timeout).as_bytes());
            NO_ANSWER
        }
    };
    running.abort();
    said.truncate(OUTPUT);
    let output = String::from_utf8_lossy(&said).into_owned();
    Some(HealthResult { start, end: crate::time::now(), exit_code: code, output })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(test: &[&str], start_period: i64) -> Option<Plan> {
        let test = Some(test.iter().map(|word| (*word).to_owned()).collect());
        let healthcheck = Some(HealthConfig { test, start_period, ..HealthConfig::default() });
        Plan::of(&ContainerConfig { healthcheck, ..ContainerConfig::default() })
    }

    #[test]
    fn a_test_is_words_or_a_line_or_nothing() {
        assert_eq!(plan(&["CMD", "a", "b"], 0).expect("plan").command, ["a", "b"]);
        assert_eq!(plan(&["CMD-SHELL", "a || b"], 0).expect("plan").command, ["/bin/sh", "-c", "a || b"]);
        assert!(plan(&["NONE"], 0).is_none() && plan(&[], 0).is_none() && plan(&["CMD"], 0).is_none());
    }

    #[test]
    fn three_failures_in_a_row_are_one_too_many() {
        let plan = plan(&["CMD", "x"], 1_000_000_000).expect("plan");
        let mut health = Health { status: "starting".into(), ..Health::default() };
        let mut after = |exit_code, seconds| {
            let result = HealthResult { exit_code, ..HealthResult::default() };
            note(&mut health, &plan, Duration::from_secs(seconds), result);
            (health.status.clone(), health.failing_streak, health.log.as_ref().map_or(0, Vec::len))
        };
        assert_eq!(after(1, 0), ("starting".into(), 0, 1), "failures of the start do not count");
        assert_eq!(after(1, 2), ("starting".into(), 1, 2));
        assert_eq!(after(0, 3), ("healthy".into(), 0, 3));
        after(1, 4);
        assert_eq!(after(1, 5), ("healthy".into(), 2, 5));
        assert_eq!(after(-1, 6), ("unhealthy".into(), 3, 5));
        assert_eq!(after(0, 7), ("healthy".into(), 0, 5));
    }
}
