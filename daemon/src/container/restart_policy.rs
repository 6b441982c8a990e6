//! What follows the end of a container: nothing, or another start after a pause.

use std::time::Duration;

use dhow_engine_api::container::RestartPolicy;

/// The first pause; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A container that was up this long starts over with the first pause.
const STEADY: Duration = Duration::from_secs(10);

/// The end of a container, as far as its policy cares.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) exit_code: i64,
    /// A person stopped it at some time.
    pub(crate) stopped_by_hand: bool,
    /// How often the policy acted.
    pub(crate) restarts: i64,
}

/// Whether the policy starts it again.
pub(crate) fn restarts(policy: &RestartPolicy, ended: Ended) -> bool {
    match policy.name.as_str() {
        "always" => true,
        "unless-stopped" => !ended.stopped_by_hand,
        "on-failure" => {
            let limit = policy.maximum_retry_count;
            ended.exit_code != 0 && (limit == 0 || ended.restarts < limit)
        }
        _ => false,
    }
}

/// The pause before the next start, from the last one (`None` before the first) and how long it was up.
pub(crate) fn pause(last: Option<Duration>, up: Duration) -> Duration {
    match last {
        Some(last) if up < STEADY => (last * 2).min(LONGEST_PAUSE),
        _ => FIRST_PAUSE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(name: &str, maximum_retry_count: i64) -> RestartPolicy {
        RestartPolicy { name: name.to_owned(), maximum_retry_count }
    }

    #[test]
    fn each_policy_keeps_its_word() {
        let ended = |exit_code, stopped_by_hand, restarts| Ended { exit_code, stopped_by_hand, restarts };
        assert!(
            !restarts(&policy("", 0), ended(1, false, 0)) && !restarts(&policy("no", 0), ended(1, false, 0))
        );
        assert!(restarts(&policy("always", 0), ended(0, true, 99)));
        assert!(restarts(&policy("unless-stopped", 0), ended(0, false, 99)));
        assert!(!restarts(&policy("unless-stopped", 0), ended(1, true, 0)));
        assert!(!restarts(&policy("on-failure", 0), ended(0, false, 0)));
        assert!(restarts(&policy("on-failure", 0), ended(1, false, 99)));
        assert!(restarts(&policy("on-failure", 2), ended(1, false, 1)));
        assert!(!restarts(&policy("on-failure", 2), ended(1, false, 2)));
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_start_over_after_a_steady_run() {
        let mut last = None;
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let next = pause(last, Duration::from_secs(1));
            pauses.push(next.as_millis());
            last = Some(next);
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]);
        assert_eq!(pause(last, Duration::from_secs(10)), FIRST_PAUSE);
    }
}
