//! Sizes and durations for people: Docker's decimal and binary sizes, its rough durations, and
//! the parsers of what people type.

/// Decimal units of [`human_size`].
const DECIMAL: [&str; 9] = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
/// Binary units of [`bytes_size`].
const BINARY: [&str; 9] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"];

/// `value` with at most `precision` significant digits, as C's `%.*g` prints it.
pub(crate) fn significant(value: f64, precision: usize) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 { "0".into() } else { value.to_string() };
    }
    let scientific = format!("{:.*e}", precision.saturating_sub(1), value);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let limit = i32::try_from(precision).unwrap_or(i32::MAX);
    if exponent < -4 || exponent >= limit {
        let mantissa = trim_zeros(mantissa);
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let decimals = usize::try_from(limit - 1 - exponent).unwrap_or(0);
    trim_zeros(&format!("{value:.decimals$}")).to_owned()
}

/// `text` without the zeros that end its fraction.
fn trim_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

fn scaled(mut size: f64, base: f64, units: &[&'static str]) -> (f64, &'static str) {
    let mut unit = 0;
    while size >= base && unit < units.len() - 1 {
        size /= base;
        unit += 1;
    }
    (size, units[unit])
}

/// A size with a decimal unit and `precision` significant digits (`1.24MB`).
pub(crate) fn human_size_with(size: f64, precision: usize) -> String {
    let (value, unit) = scaled(size, 1000.0, &DECIMAL);
    format!("{}{unit}", significant(value, precision))
}

/// A size with a decimal unit and four significant digits, as progress lines show it.
pub(crate) fn human_size(size: f64) -> String {
    human_size_with(size, 4)
}

/// A size with a binary unit (`1.195GiB`), as memory is shown.
pub(crate) fn bytes_size(size: f64) -> String {
    let (value, unit) = scaled(size, 1024.0, &BINARY);
    format!("{}{unit}", significant(value, 4))
}

/// A rough duration in words (`About an hour`, `3 weeks`).
pub(crate) fn human_duration(seconds: i64) -> String {
    let minutes = seconds / 60;
    let hours = (seconds as f64 / 3600.0).round() as i64;
    match (seconds, minutes, hours) {
        (s, _, _) if s < 1 => "Less than a second".into(),
        (1, _, _) => "1 second".into(),
        (s, _, _) if s < 60 => format!("{s} seconds"),
        (_, 1, _) => "About a minute".into(),
        (_, m, _) if m < 60 => format!("{m} minutes"),
        (_, _, 1) => "About an hour".into(),
        (_, _, h) if h < 48 => format!("{h} hours"),
        (_, _, h) if h < 24 * 7 * 2 => format!("{} days", h / 24),
        (_, _, h) if h < 24 * 30 * 2 => format!("{} weeks", h / 24 / 7),
        (_, _, h) if h < 24 * 365 * 2 => format!("{} months", h / 24 / 30),
        _ => format!("{} years", seconds / (3600 * 24 * 365)),
    }
}

/// Reads a size in binary multiples: `512`, `64k`, `1.5g`, `2GiB`. Errors are Docker's texts.
pub(crate) fn ram_in_bytes(text: &str) -> Result<i64, String> {
    parse_size(text, 1024.0)
}

fn parse_size(text: &str, base: f64) -> Result<i64, String> {
    let invalid = || format!("invalid size: '{text}'");
    let end = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ').ok_or_else(invalid)?;
    let (number, suffix) = match text.as_bytes()[end] {
        b' ' => (&text[..end], &text[end + 1..]),
        _ => text.split_at(end + 1),
    };
    let number: f64 = number.parse().map_err(|_| invalid())?;
    if number < 0.0 {
        return Err(invalid());
    }
    let suffix = suffix.to_ascii_lowercase();
    let scale = match suffix.as_bytes() {
        [] | [b'b'] => 0,
        [unit] | [unit, b'b'] | [unit, b'i', b'b'] => match b"kmgtp".iter().position(|known| known == unit) {
            Some(index) => index + 1,
            None => return Err(format!("invalid suffix: '{suffix}'")),
        },
        _ => return Err(format!("invalid suffix: '{suffix}'")),
    };
    Ok((number * base.powi(i32::try_from(scale).unwrap_or(0))) as i64)
}

/// Reads a Go duration (`1h2m3.5s`, `300ms`) into nanoseconds. The error is Go's text.
pub(crate) fn duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", quote(text));
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            "" => return Err(format!("time: missing unit in duration {}", quote(text))),
            unit => return Err(format!("time: unknown unit {} in duration {}", quote(unit), quote(text))),
        };
        total += number * unit;
        rest = &rest[letters..];
    }
    let total = total.round() as i64;
    Ok(if negative { -total } else { total })
}

/// `text` in double quotes with Go's escapes.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0b' => quoted.push_str("\\v"),
            '\x0c' => quoted.push_str("\\f"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                quoted.push_str(&format!("\\x{:02x}", c as u32));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_dockers_digits() {
        assert_eq!(human_size_with(1_240_000.0, 3), "1.24MB");
        assert_eq!(human_size_with(0.0, 3), "0B");
        assert_eq!(human_size(1_999_999.0), "2MB");
        assert_eq!(human_size_with(999_600.0, 3), "1e+03kB");
        assert_eq!(bytes_size(1024.0 * 1024.0 * 1.5), "1.5MiB");
        assert_eq!(bytes_size(1_282_600_960.0), "1.195GiB");
        assert_eq!(human_size_with(45.0, 3), "45B");
        assert_eq!(human_size_with(123_456.0, 3), "123kB");
    }

    #[test]
    fn durations_are_rough() {
        for (seconds, words) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (61, "About a minute"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (3 * 3600, "3 hours"),
            (3 * 86400, "3 days"),
            (15 * 86400, "2 weeks"),
            (70 * 86400, "2 months"),
            (800 * 86400, "2 years"),
        ] {
            assert_eq!(human_duration(seconds), words);
        }
    }

    #[test]
    fn typed_sizes() {
        assert_eq!(ram_in_bytes("32"), Ok(32));
        assert_eq!(ram_in_bytes("32kb"), Ok(32 * 1024));
        assert_eq!(ram_in_bytes("1.5g"), Ok(1536 * 1024 * 1024));
        assert_eq!(ram_in_bytes("32 MiB"), Ok(32 << 20));
        assert_eq!(ram_in_bytes("x"), Err("invalid size: 'x'".into()));
        assert_eq!(ram_in_bytes("32z"), Err("invalid suffix: 'z'".into()));
    }

    #[test]
    fn typed_durations() {
        assert_eq!(duration("1m30s"), Ok(90_000_000_000));
        assert_eq!(duration("-1.5h"), Ok(-5_400_000_000_000));
        assert_eq!(duration("10"), Err("time: missing unit in duration \"10\"".into()));
        assert_eq!(duration("x"), Err("time: invalid duration \"x\"".into()));
    }

    #[test]
    fn quoting() {
        assert_eq!(quote("sh -c 'a \"b\"\n'…"), "\"sh -c 'a \\\"b\\\"\\n'…\"");
    }
}
