//! Conditional references: an image or content needs a snapshot for as long as that was used lately.
//!
//! ```text
//! containerd.io/gc.cond.snapshot.SNAPSHOTTER[/ANY] = CONDITION[,CONDITION...]|KEY    on the image or content
//! containerd.io/gc.cond.value-usedat = RFC 3339 time                                 on the snapshot
//! ```
//! A condition is `usedat<AGE` or `usedat>AGE`, with an age in Go's words (`1h30m`); one that holds is enough.

use std::time::{Duration, SystemTime};

use super::node::{Node, Subject};
use crate::label::Labels;
use crate::metadata::{StoreError, View};
use crate::snapshot::SNAPSHOTS;

const CONDITION: &str = "containerd.io/gc.cond.snapshot";
const USED_AT: &str = "containerd.io/gc.cond.value-usedat";

/// What must be true of a snapshot for it to be needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) snapshot: Node,
    younger: bool,
    age: Duration,
}

impl Condition {
    /// Whether it holds at `now` for a snapshot that was used at `used`.
    fn holds(&self, used: SystemTime, now: SystemTime) -> bool {
        let age = now.duration_since(used).unwrap_or_default();
        if self.younger { age < self.age } else { age > self.age }
    }

    /// When it ceases to hold, if it ever does.
    pub(super) fn ends(&self, used: SystemTime) -> Option<SystemTime> {
        used.checked_add(self.age).filter(|_| self.younger)
    }
}

/// The conditions that `labels` set and that hold at `now`, each with the time its snapshot was used.
pub(super) fn holding(
    view: &impl View,
    namespace: &str,
    labels: &Labels,
    now: SystemTime,
) -> Result<Vec<(Condition, SystemTime)>, StoreError> {
    let mut holding = Vec::new();
    for condition in conditions(namespace, labels) {
        let Subject::Snapshot { snapshotter, key } = &condition.snapshot.subject else { continue };
        let snapshot = SNAPSHOTS.get(view, &[namespace, snapshotter, key])?;
        let used = snapshot.and_then(|snapshot| used_at(&snapshot.labels));
        if let Some(used) = used.filter(|used| condition.holds(*used, now)) {
            holding.push((condition, used));
        }
    }
    Ok(holding)
}

/// The conditions that `labels` set.
fn conditions(namespace: &str, labels: &Labels) -> Vec<Condition> {
    let named = labels.range(CONDITION.to_owned()..).take_while(|(name, _)| name.starts_with(CONDITION));
    let mut conditions = Vec::new();
    for (name, value) in named {
        let snapshotter = name[CONDITION.len()..].trim_start_matches(['.', '/']);
        let snapshotter = snapshotter.split('/').next().unwrap_or_default();
        let Some((all, key)) = value.split_once('|') else { continue };
        let subject = Subject::Snapshot { snapshotter: snapshotter.to_owned(), key: key.to_owned() };
        for text in all.split(',') {
            let parsed = text.strip_prefix("usedat").and_then(|text| {
                let younger = text.starts_with('<');
                let age = duration(text.strip_prefix(['<', '>'])?)?;
                Some(Condition { snapshot: Node::new(namespace, subject.clone()), younger, age })
            });
            conditions.extend(parsed);
        }
    }
    conditions
}

/// When the snapshot with these labels was used last, as far as they say.
fn used_at(labels: &Labels) -> Option<SystemTime> {
    labels.get(USED_AT)?.parse::<jiff::Timestamp>().ok().map(Into::into)
}

/// A duration as Go writes it.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    if rest == "0" {
        return Some(total);
    }
    while !rest.is_empty() {
        let end = rest.find(|character: char| character != '.' && !character.is_ascii_digit())?;
        let (number, unit) = rest.split_at(end);
        let length = unit.find(|character: char| character == '.' || character.is_ascii_digit());
        let (unit, after) = unit.split_at(length.unwrap_or(unit.len()));
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        total = total.checked_add(part)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        let cases = [
            ("24h", Some(86_400_000)),
            ("1h30m", Some(5_400_000)),
            ("1.5s250ms", Some(1_750)),
            ("0", Some(0)),
            ("", None),
            ("5", None),
            ("h", None),
            ("-1h", None),
            ("1d", None),
        ];
        for (text, expected) in cases {
            assert_eq!(duration(text), expected.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn a_condition_holds_by_age() {
        let labels = Labels::from([
            ("containerd.io/gc.cond.snapshot.overlayfs/a".to_owned(), "usedat<1h,usedat>9h|k|1".to_owned()),
            ("containerd.io/gc.cond.snapshot.native".to_owned(), "usedat=1h,size<4,usedat<x|k".to_owned()),
            ("containerd.io/gc.cond.snapshot.x".to_owned(), "usedat<1h".to_owned()),
        ]);
        let found = conditions("n", &labels);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].snapshot.to_string(), "snapshot n/overlayfs/k|1");
        let now = SystemTime::now();
        let ago = |hours: u64| now - Duration::from_secs(hours * 3600);
        let holds = |used| found.iter().any(|condition| condition.holds(used, now));
        assert!(holds(now) && !holds(ago(2)) && holds(ago(10)));
        assert_eq!(found[0].ends(now), Some(now + Duration::from_secs(3600)));
        assert_eq!(found[1].ends(now), None);
    }
}
