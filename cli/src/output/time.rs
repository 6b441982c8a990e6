//! Times as Go prints them, and as `--since` and `--until` take them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::units;

/// Seconds since `created`.
pub(crate) fn age(created: i64) -> i64 {
    Timestamp::now().as_second() - created
}

/// `3 weeks ago`.
pub(crate) fn ago(created: i64) -> String {
    units::human_duration(age(created)) + " ago"
}

/// A Unix time as `time.Time.String` prints it: `2006-01-02 15:04:05 -0700 MST`.
pub(crate) fn go_string(seconds: i64) -> String {
    match Timestamp::from_second(seconds) {
        Ok(time) => time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string(),
        Err(_) => seconds.to_string(),
    }
}

/// An RFC 3339 time as `time.Time.String` prints it, its fraction included; what is no such time
/// stays as it is.
pub(crate) fn go_string_of(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(time) => time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S%.f %z %Z").to_string(),
        Err(_) => text.to_owned(),
    }
}

/// A Unix time in RFC 3339 with the local offset.
pub(crate) fn rfc3339(seconds: i64) -> String {
    match Timestamp::from_second(seconds) {
        Ok(time) => offset(time, "%Y-%m-%dT%H:%M:%S"),
        Err(_) => seconds.to_string(),
    }
}

/// The same with nanoseconds, all nine digits.
pub(crate) fn rfc3339_nano(nanoseconds: i64) -> String {
    match Timestamp::from_nanosecond(nanoseconds.into()) {
        Ok(time) => offset(time, "%Y-%m-%dT%H:%M:%S.%9f"),
        Err(_) => nanoseconds.to_string(),
    }
}

fn offset(time: Timestamp, format: &str) -> String {
    let zoned = time.to_zoned(TimeZone::system());
    let zone = if zoned.offset().is_zero() { "Z".to_owned() } else { zoned.strftime("%:z").to_string() };
    format!("{}{zone}", zoned.strftime(format))
}

/// An RFC 3339 time as C's `asctime` prints it; what is no such time stays as it is.
pub(crate) fn ansi_c(text: &str) -> String {
    match jiff::fmt::temporal::DateTimeParser::new().parse_datetime(text.trim_end_matches('Z')) {
        Ok(time) => time.strftime("%a %b %e %H:%M:%S %Y").to_string(),
        Err(_) => text.to_owned(),
    }
}

/// Reads an RFC 3339 time into seconds.
pub(crate) fn parse(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

/// What `--since` and `--until` may say (a duration before now, a date, a Unix time), as the API
/// takes it: seconds, with a fraction.
pub(crate) fn moment(text: &str) -> Result<String, String> {
    if let Ok(nanoseconds) = units::duration(text) {
        let then = Timestamp::now().as_nanosecond() - i128::from(nanoseconds);
        return Ok(format!("{}.{:09}", then.div_euclid(1_000_000_000), then.rem_euclid(1_000_000_000)));
    }
    let fraction = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some((seconds, rest)) = text.split_once('.')
        && fraction(seconds.trim_start_matches('-'))
        && fraction(rest)
    {
        return Ok(format!("{seconds}.{rest:0<9}"));
    }
    if text.parse::<i64>().is_ok() {
        return Ok(text.to_owned());
    }
    date(text).ok_or_else(|| format!("failed to parse value as time or duration: {}", units::quote(text)))
}

/// A date with as much of a time as was given, in local time unless it names an offset.
fn date(text: &str) -> Option<String> {
    let encode = |time: Timestamp| {
        let nanoseconds = time.as_nanosecond();
        format!("{}.{:09}", nanoseconds.div_euclid(1_000_000_000), nanoseconds.rem_euclid(1_000_000_000))
    };
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(encode(time));
    }
    let full = match text.len() {
        10 => format!("{text}T00:00:00"),
        13 => format!("{text}:00:00"),
        16 => format!("{text}:00"),
        _ => text.to_owned(),
    };
    let zoned = match full.strip_suffix('Z') {
        Some(utc) => utc.parse::<jiff::civil::DateTime>().ok()?.to_zoned(TimeZone::UTC),
        None => full.parse::<jiff::civil::DateTime>().ok()?.to_zoned(TimeZone::system()),
    };
    Some(encode(zoned.ok()?.timestamp()))
}

#[cfg(test)]
mod tests {
    use super::moment;

    #[test]
    fn moments() {
        assert_eq!(moment("1700000000").as_deref(), Ok("1700000000"));
        assert_eq!(moment("1700000000.5").as_deref(), Ok("1700000000.500000000"));
        assert_eq!(moment("2023-11-14T22:13:20Z").as_deref(), Ok("1700000000.000000000"));
        assert_eq!(moment("2023-11-14T22:13:20.5+00:00").as_deref(), Ok("1700000000.500000000"));
        assert!(moment("10m").is_ok());
        assert!(moment("yesterday").is_err());
    }
}
