//! Wall-clock time in the forms that leave the shim: protobuf and Go's RFC 3339 with nanoseconds.

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost_types::Timestamp;

/// Now, as protobuf has it.
pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

/// Appends `time` as Go's `time.RFC3339Nano` in UTC writes it: zeros at the end of the fraction are left out.
pub(crate) fn write_rfc3339_nano(output: &mut Vec<u8>, time: SystemTime) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let written = write!(output, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    debug_assert!(written.is_ok(), "writing to memory cannot fail");
    let mut fraction = format!(".{:09}", since.subsec_nanos());
    fraction.truncate(fraction.trim_end_matches('0').trim_end_matches('.').len());
    output.extend_from_slice(fraction.as_bytes());
    output.push(b'Z');
}

/// Year, month and day of a day since 1970, in the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // Counted from 1 March of year 0, so that a leap day ends its year; 400 years are 146,097 days.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(seconds: u64, nanos: u32) -> String {
        let mut output = Vec::new();
        write_rfc3339_nano(&mut output, UNIX_EPOCH + Duration::new(seconds, nanos));
        String::from_utf8(output).expect("ASCII")
    }

    #[test]
    fn times_are_written_as_go_writes_them() {
        assert_eq!(text(0, 0), "1970-01-01T00:00:00Z");
        assert_eq!(text(951_826_154, 120_000_000), "2000-02-29T12:09:14.12Z");
        assert_eq!(text(1_700_000_000, 1), "2023-11-14T22:13:20.000000001Z");
        assert_eq!(text(4_102_444_799, 999_999_999), "2099-12-31T23:59:59.999999999Z");
    }

    #[test]
    fn every_day_agrees_with_protobuf() {
        for day in 0..60_000 {
            let seconds = day * 86_400 + 5;
            let expected = Timestamp { seconds: i64::try_from(seconds).expect("fits"), nanos: 0 }.to_string();
            assert_eq!(text(seconds, 0), expected);
        }
    }
}
