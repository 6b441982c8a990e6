//! Numbers and sizes, with the error texts of Go's flag package.

use crate::output::units::{duration, quote, ram_in_bytes};

/// A whole number.
pub(crate) fn integer(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("strconv.ParseInt: parsing {}: invalid syntax", quote(text)))
}

/// A whole number of at most 16 bits.
pub(crate) fn uint16(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("strconv.ParseUint: parsing {}: invalid syntax", quote(text)))
}

/// A size in bytes with an optional binary unit.
pub(crate) fn memory(text: &str) -> Result<i64, String> {
    ram_in_bytes(text)
}

/// A size, or -1 for no limit.
pub(crate) fn memory_swap(text: &str) -> Result<i64, String> {
    if text == "-1" { Ok(-1) } else { ram_in_bytes(text) }
}

/// A Go duration in nanoseconds.
pub(crate) fn nanoseconds(text: &str) -> Result<i64, String> {
    duration(text)
}

/// A number of processors in billionths; more digits than that are an error.
pub(crate) fn nano_cpus(text: &str) -> Result<i64, String> {
    let invalid = || format!("failed to parse {text} as a rational number");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 9 && fraction[9..].bytes().any(|digit| digit != b'0') {
        return Err("value is too precise".into());
    }
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = whole.strip_prefix('-').unwrap_or(whole);
    if !digits(unsigned) || !digits(fraction) || unsigned.len() + fraction.len() == 0 {
        return Err(invalid());
    }
    let whole_number: i64 = if unsigned.is_empty() { 0 } else { unsigned.parse().map_err(|_| invalid())? };
    let padded: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let nano = whole_number
        .checked_mul(1_000_000_000)
        .and_then(|nano| nano.checked_add(padded.parse().unwrap_or(0)))
        .ok_or_else(invalid)?;
    Ok(if whole.starts_with('-') { -nano } else { nano })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors() {
        assert_eq!(nano_cpus("1.5"), Ok(1_500_000_000));
        assert_eq!(nano_cpus(".5"), Ok(500_000_000));
        assert_eq!(nano_cpus("0.0000000001"), Err("value is too precise".into()));
        assert_eq!(nano_cpus("x"), Err("failed to parse x as a rational number".into()));
    }

    #[test]
    fn errors_are_gos() {
        assert_eq!(integer("x"), Err("strconv.ParseInt: parsing \"x\": invalid syntax".into()));
        assert_eq!(memory("x"), Err("invalid size: 'x'".into()));
        assert_eq!(memory_swap("-1"), Ok(-1));
    }
}
