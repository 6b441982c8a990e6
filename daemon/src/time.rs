//! Points in time as the API writes them: RFC 3339 in UTC with as many digits as are not zero, as Go does it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// What the API writes for "never".
pub(crate) const NEVER: &str = "0001-01-01T00:00:00Z";

/// Now, as the API writes it.
pub(crate) fn now() -> String {
    Timestamp::now().to_string()
}

/// `time` as the API writes it.
pub(crate) fn format(time: SystemTime) -> String {
    Timestamp::try_from(time).map_or_else(|_| NEVER.to_owned(), |time| time.to_string())
}

/// A protobuf timestamp as the API writes it.
pub(crate) fn from_wire(time: Option<&prost_types::Timestamp>) -> String {
    time.and_then(|time| Timestamp::new(time.seconds, time.nanos).ok())
        .map_or_else(now, |time| time.to_string())
}

/// Reads what [`format()`] wrote, or any RFC 3339.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// Reads `since` and `until` of a request: seconds since 1970 with a fraction, or RFC 3339 (a date may stand alone).
pub(crate) fn parse_bound(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if let Ok(seconds) = seconds.parse() {
        let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
        return Timestamp::new(seconds, digits.parse().ok()?).ok();
    }
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// How long it was from one time to another; zero when that cannot be told.
pub(crate) fn between(from: &str, to: &str) -> Duration {
    let (Some(from), Some(to)) = (parse(from), parse(to)) else { return Duration::ZERO };
    Duration::try_from(from.duration_until(to)).unwrap_or_default()
}

/// Seconds since 1970.
pub(crate) fn unix(text: &str) -> i64 {
    parse(text).map_or(0, Timestamp::as_second)
}

/// How long ago `text` was; zero when it cannot be read or lies ahead.
pub(crate) fn since(text: &str) -> Duration {
    let then = parse(text).and_then(|time| Duration::try_from(time.as_duration()).ok()).unwrap_or_default();
    SystemTime::now().duration_since(UNIX_EPOCH + then).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_seconds_with_a_fraction_or_a_date() {
        let second = |text| parse_bound(text).map(|time| (time.as_second(), time.subsec_nanosecond()));
        assert_eq!(second("1700000000"), Some((1_700_000_000, 0)));
        assert_eq!(second("1700000000.5"), Some((1_700_000_000, 500_000_000)));
        assert_eq!(second("1700000000.000000001"), Some((1_700_000_000, 1)));
        assert_eq!(second("2026-11-21T20:52:06Z"), second("2026-11-21T22:52:06+02:00"));
        assert_eq!(second("2026-11-21"), second("2026-11-21T00:00:00Z"));
        assert_eq!(second("yesterday"), None);
    }

    #[test]
    fn zeros_at_the_end_are_left_out() {
        let time = UNIX_EPOCH + Duration::from_millis(1_700_000_000_500);
        assert_eq!(format(time), "2023-11-14T22:13:20.5Z");
        assert_eq!(format(UNIX_EPOCH), "1970-01-01T00:00:00Z");
    }
}
