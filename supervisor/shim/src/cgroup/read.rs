//! The forms of cgroup files: one number, or a number for each key.

use std::collections::BTreeMap;
use std::path::Path;

use dhow_linux::file::read_limited;

/// The most that is read of one file.
const LIMIT: u64 = 1 << 20;

/// The text of a file; empty when it is not there.
pub(super) fn text_at(path: &Path) -> String {
    read_limited(path, LIMIT).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// The number in a file; `None` when there is none, such as `max`.
pub(super) fn number_at(path: &Path) -> Option<u64> {
    text_at(path).trim().parse().ok()
}

/// A file of lines `key number`.
pub(super) fn keyed(path: &Path) -> BTreeMap<String, u64> {
    let pair = |line: &str| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_owned(), value.trim().parse().ok()?))
    };
    text_at(path).lines().filter_map(pair).collect()
}

/// The value of `key`, or 0.
pub(super) fn value(map: &BTreeMap<String, u64>, key: &str) -> u64 {
    map.get(key).copied().unwrap_or(0)
}
