//! Log lines as logrus writes them, since shims and engines read runc's: text or JSON, to stderr or to `--log`.
//!
//! One process-wide destination, set once by `main` before anything can fail.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::OnceLock;

use dhow_linux::file::PathError;

mod time;

pub(crate) use time::rfc3339;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Format {
    /// `time="…" level=error msg="…"`.
    #[default]
    Text,
    /// One object a line.
    Json,
}

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Debug,
    Warning,
    Error,
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

#[derive(Debug)]
struct Logger {
    file: Option<File>,
    format: Format,
    debug: bool,
}

static LOGGER: OnceLock<Logger> = OnceLock::new();

/// Sets the destination; `path` is opened for appending. Lines before this go nowhere but stderr.
pub(crate) fn start(path: Option<&Path>, format: Format, debug: bool) -> Result<(), PathError> {
    let open = |path: &Path| {
        let opened = File::options().create(true).append(true).custom_sync().open(path);
        opened.map_err(PathError::at("open", path))
    };
    let file = path.map(open).transpose()?;
    drop(LOGGER.set(Logger { file, format, debug }));
    Ok(())
}

/// Whether lines go to a file, so that stderr needs a copy of the last error.
pub(crate) fn to_file() -> bool {
    LOGGER.get().is_some_and(|logger| logger.file.is_some())
}

/// Whether debug lines are wanted.
fn debugs() -> bool {
    LOGGER.get().is_some_and(|logger| logger.debug)
}

/// Somebody must act.
pub(crate) fn error(message: &str) {
    write(Level::Error, message);
}

/// It works, but not as asked.
pub(crate) fn warn(message: &str) {
    write(Level::Warning, message);
}

/// A decision, for who looks for one.
pub(crate) fn debug(message: &str) {
    if debugs() {
        write(Level::Debug, message);
    }
}

/// Times a step until the result is dropped (`--trace`).
pub(crate) fn step(name: &str) -> dhow_linux::trace::Span {
    dhow_linux::trace::span("runtime", name)
}

/// Writes one line. A log that cannot be written is no reason to fail a container.
pub(crate) fn write(level: Level, message: &str) {
    let now = time::now();
    match LOGGER.get() {
        Some(Logger { file: Some(file), format, .. }) => {
            drop((&*file).write_all(line(*format, false, level, message, &now).as_bytes()));
        }
        logger => {
            let format = logger.map_or(Format::Text, |logger| logger.format);
            let stderr = io::stderr();
            let terminal = stderr.is_terminal();
            drop(stderr.lock().write_all(line(format, terminal, level, message, &now).as_bytes()));
        }
    }
}

fn line(format: Format, terminal: bool, level: Level, message: &str, time: &str) -> String {
    let name = level.name();
    match format {
        Format::Json => {
            let message = serde_json::Value::from(message);
            format!("{{\"level\":\"{name}\",\"msg\":{message},\"time\":\"{time}\"}}\n")
        }
        // logrus leaves the time out on a terminal: it shows the seconds since its start there.
        Format::Text if terminal => format!("{}[0000] {message} \n", &name.to_uppercase()[..4]),
        Format::Text => format!("time=\"{time}\" level={name} msg={}\n", quoted(message)),
    }
}

/// Quotes as logrus does: only when a character needs it.
fn quoted(message: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/@^+".contains(&byte);
    if !message.is_empty() && message.bytes().all(plain) {
        return message.to_owned();
    }
    let mut text = String::with_capacity(message.len() + 2);
    text.push('"');
    for character in message.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            '\r' => text.push_str("\\r"),
            control if control.is_control() => text.push_str(&format!("\\x{:02x}", control as u32)),
            other => text.push(other),
        }
    }
    text.push('"');
    text
}

/// The flag that runc opens its log with: a line is on disk before the process can die.
trait CustomSync {
    fn custom_sync(&mut self) -> &mut Self;
}

impl CustomSync for std::fs::OpenOptions {
    fn custom_sync(&mut self) -> &mut Self {
        use std::os::unix::fs::OpenOptionsExt;
        self.custom_flags(rustix::fs::OFlags::SYNC.bits().cast_signed()).mode(0o644)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_lines_quote_only_when_needed() {
        let text = |message| line(Format::Text, false, Level::Error, message, "T");
        assert_eq!(text("plain"), "time=\"T\" level=error msg=plain\n");
        assert_eq!(text("a \"b\"\n"), "time=\"T\" level=error msg=\"a \\\"b\\\"\\n\"\n");
    }

    #[test]
    fn json_lines_are_one_object() {
        let line = line(Format::Json, false, Level::Warning, "a \"b\"", "T");
        assert_eq!(line, "{\"level\":\"warning\",\"msg\":\"a \\\"b\\\"\",\"time\":\"T\"}\n");
    }
}
