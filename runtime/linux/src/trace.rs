//! Start-up waterfalls: what each layer did when, on one clock, in one file.
//!
//! With `DHOW_TRACE=FILE` in its environment (children inherit it) every layer appends a line of JSON for each step:
//! `{"layer":"runtime","step":"clone","start_us":1767225600000000,"us":812}`, times in microseconds since the epoch.
//! Without it a span costs one load. Appending one short line is atomic (`O_APPEND`), so no layer waits for another.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The variable that names the file.
pub const VARIABLE: &str = "DHOW_TRACE";

static FILE: OnceLock<Option<File>> = OnceLock::new();

fn file() -> Option<&'static File> {
    FILE.get_or_init(|| open(std::env::var_os(VARIABLE)?.as_ref()).ok()).as_ref()
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// Writes to `path` whatever the environment says; before the first span.
///
/// # Errors
/// When the file cannot be opened for appending.
pub fn start(path: &Path) -> io::Result<()> {
    let file = open(path)?;
    drop(FILE.set(Some(file)));
    Ok(())
}

/// A step that is under way; dropping it writes its line.
#[derive(Debug)]
pub struct Span {
    layer: &'static str,
    step: String,
    start: Option<(Duration, Instant)>,
}

/// Starts a step of a layer.
#[must_use]
pub fn span(layer: &'static str, step: &str) -> Span {
    if file().is_none() {
        return Span { layer, step: String::new(), start: None };
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Span { layer, step: step.to_owned(), start: Some((now, Instant::now())) }
}

impl Drop for Span {
    fn drop(&mut self) {
        let (Some((start, clock)), Some(mut file)) = (self.start, file()) else { return };
        let step: String = self.step.chars().filter(|c| !c.is_control() && *c != '"' && *c != '\\').collect();
        let line = format!(
            "{{\"layer\":\"{}\",\"step\":\"{step}\",\"start_us\":{},\"us\":{}}}\n",
            self.layer,
            start.as_micros(),
            clock.elapsed().as_micros()
        );
        // A trace that cannot be written must not change what it observes.
        drop(file.write_all(line.as_bytes()));
    }
}
