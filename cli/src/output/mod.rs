//! What people and scripts read: tables, templates, JSON, sizes, progress.

pub(crate) mod format;
pub(crate) mod json;
pub(crate) mod natural;
pub(crate) mod progress;
pub(crate) mod table;
pub(crate) mod template;
pub(crate) mod time;
pub(crate) mod units;

use std::io::{self, Write};

use crate::error::Failure;

/// Writes `text` to standard output.
pub(crate) fn put(text: &str) -> Result<(), Failure> {
    put_bytes(text.as_bytes())
}

/// Writes a line to standard output.
pub(crate) fn put_line(text: &str) -> Result<(), Failure> {
    put(&format!("{text}\n"))
}

/// Writes `bytes` to standard output.
pub(crate) fn put_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::broken_pipe(),
        _ => Failure::io("write to standard output", &error),
    })
}

/// Writes a line to standard error; nobody can be told when that fails.
pub(crate) fn warn(text: &str) {
    drop(io::stderr().write_all(format!("{text}\n").as_bytes()));
}

/// Writes `bytes` to standard error.
pub(crate) fn warn_bytes(bytes: &[u8]) {
    drop(io::stderr().write_all(bytes));
}

/// The first twelve characters of an ID, without its algorithm.
pub(crate) fn short_id(id: &str) -> String {
    let digits = id.split_once(':').map_or(id, |(_, digits)| digits);
    digits.chars().take(12).collect()
}

/// `text` cut to `width` columns, with an ellipsis for what is missing.
pub(crate) fn ellipsis(text: &str, width: usize) -> String {
    if width == 0 {
        return String::new();
    }
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width - 1).chain(std::iter::once('…')).collect()
}
