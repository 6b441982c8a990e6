//! Times for people: `Up 2 hours (healthy)`, `Exited (137) About a minute ago`.

use std::time::Duration;

use super::state::{Phase, State};
use crate::time;

/// The status of a container as lists show it.
pub(crate) fn status_line(state: &State) -> String {
    let history = &state.record.history;
    let ago = || words(time::since(&history.finished_at));
    match state.phase {
        Phase::Running { paused: true, .. } => {
            format!("Up {} (Paused)", words(time::since(&history.started_at)))
        }
        Phase::Running { .. } => {
            let up = format!("Up {}", words(time::since(&history.started_at)));
            match state.health.as_ref().map(|health| health.status.as_str()) {
                None | Some("none") => up,
                Some("starting") => format!("{up} (health: starting)"),
                Some(status) => format!("{up} ({status})"),
            }
        }
        Phase::Restarting { .. } => format!("Restarting ({}) {} ago", history.exit_code, ago()),
        Phase::Removing => "Removal In Progress".to_owned(),
        Phase::Idle if history.dead => "Dead".to_owned(),
        Phase::Idle if history.was_started() => format!("Exited ({}) {} ago", history.exit_code, ago()),
        Phase::Idle => "Created".to_owned(),
    }
}

/// A duration in the words of Docker.
pub(crate) fn words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let minutes = seconds / 60;
    let hours = (duration.as_secs_f64() / 3600.0).round() as u64;
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", hours / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_as_docker_tells_them() {
        let told = |seconds| words(Duration::from_secs(seconds));
        for (seconds, text) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (3600 * 47, "47 hours"),
            (3600 * 48, "2 days"),
            (3600 * 24 * 14, "2 weeks"),
            (3600 * 24 * 60, "2 months"),
            (3600 * 24 * 365 * 2, "2 years"),
        ] {
            assert_eq!(told(seconds), text, "{seconds}");
        }
    }
}
