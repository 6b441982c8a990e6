//! Pax extended headers: `LENGTH KEY=VALUE\n` records, where a value may hold any byte.

use std::collections::BTreeMap;

use super::Timestamp;

/// Records of one or several extended headers, the later winning.
pub(super) type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// Adds the records of `data` to `records`; an empty value removes a key. `None` when `data` is malformed.
pub(super) fn parse(mut data: &[u8], records: &mut Records, sparse: &mut Vec<u64>) -> Option<()> {
    while !data.is_empty() {
        let space = data.iter().take(20).position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(&data[..space]).ok()?.parse().ok()?;
        let record = data.get(space + 1..length)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        match key {
            // Version 0.0 of sparse files repeats these two keys, one pair a segment.
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => sparse.push(number(value)?),
            _ if value.is_empty() => drop(records.remove(key)),
            _ => drop(records.insert(key.to_vec(), value.to_vec())),
        }
        data = &data[length..];
    }
    Some(())
}

/// A decimal number.
pub(super) fn number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// `[-]SECONDS[.FRACTION]`; digits past the ninth are cut off.
pub(super) fn timestamp(value: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(value).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanoseconds: u32 = format!("{fraction:0<9}")[..9].parse().ok()?;
    if !text.starts_with('-') || nanoseconds == 0 {
        return Some(Timestamp { seconds, nanoseconds });
    }
    Some(Timestamp { seconds: seconds.checked_sub(1)?, nanoseconds: 1_000_000_000 - nanoseconds })
}

/// One record, with the length that counts itself.
pub(super) fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    let mut record = Vec::with_capacity(length);
    record.extend_from_slice(length.to_string().as_bytes());
    record.push(b' ');
    record.extend_from_slice(key);
    record.push(b'=');
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}

impl Timestamp {
    /// The decimal form of a pax record.
    pub(super) fn to_pax(self) -> String {
        match self.nanoseconds {
            0 => self.seconds.to_string(),
            nanoseconds if self.seconds >= 0 => format!("{}.{nanoseconds:09}", self.seconds),
            nanoseconds => {
                let (seconds, fraction) = (self.seconds + 1, 1_000_000_000 - nanoseconds);
                format!("-{}.{fraction:09}", seconds.unsigned_abs())
            }
        }
    }
}
