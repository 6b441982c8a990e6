//! Lines of progress: what pull, push, import, load and build stream.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::is_default;

/// One line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JsonMessage {
    /// Text for people, as it is.
    #[serde(skip_serializing_if = "is_default")]
    pub stream: String,
    /// What happens.
    #[serde(skip_serializing_if = "is_default")]
    pub status: String,
    /// How far it is.
    #[serde(rename = "progressDetail", skip_serializing_if = "is_default")]
    pub progress_detail: Option<ProgressDetail>,
    /// The same as a bar.
    #[serde(skip_serializing_if = "is_default")]
    pub progress: String,
    /// Part that it happens to.
    #[serde(skip_serializing_if = "is_default")]
    pub id: String,
    /// How it failed.
    #[serde(rename = "errorDetail", skip_serializing_if = "is_default")]
    pub error_detail: Option<ErrorDetail>,
    /// The same text again.
    #[serde(skip_serializing_if = "is_default")]
    pub error: String,
    /// A result for programs.
    #[serde(skip_serializing_if = "is_default")]
    pub aux: Option<Value>,
}

/// How far something is; `{}` when that is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProgressDetail {
    /// Done.
    #[serde(skip_serializing_if = "is_default")]
    pub current: i64,
    /// Of.
    #[serde(skip_serializing_if = "is_default")]
    pub total: i64,
}

/// How something failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorDetail {
    /// Exit code of a build's step.
    #[serde(skip_serializing_if = "is_default")]
    pub code: i64,
    /// What went wrong.
    pub message: String,
}

impl JsonMessage {
    /// A line about the whole.
    #[must_use]
    pub fn status(status: impl Into<String>) -> Self {
        Self { status: status.into(), ..Self::default() }
    }

    /// A line about one part, whose extent is not known.
    #[must_use]
    pub fn part(status: &str, id: &str) -> Self {
        let progress_detail = Some(ProgressDetail::default());
        Self { status: status.to_owned(), id: id.to_owned(), progress_detail, ..Self::default() }
    }

    /// A line about how far one part is, with its bar.
    #[must_use]
    pub fn position(status: &str, id: &str, current: i64, total: i64) -> Self {
        let progress_detail = Some(ProgressDetail { current, total });
        let progress = bar(current, total);
        Self { status: status.to_owned(), id: id.to_owned(), progress_detail, progress, ..Self::default() }
    }

    /// The last line of what failed.
    #[must_use]
    pub fn failure(message: &str) -> Self {
        let error_detail = Some(ErrorDetail { code: 0, message: message.to_owned() });
        Self { error: message.to_owned(), error_detail, ..Self::default() }
    }
}

/// `[===>   ]  1.2MB/3.4MB`, fifty wide, as Docker's daemon writes it for clients that draw none themselves.
fn bar(current: i64, total: i64) -> String {
    const WIDTH: i64 = 50;
    if total <= 0 {
        return size(current);
    }
    let done = usize::try_from(current.clamp(0, total).saturating_mul(WIDTH) / total).unwrap_or(0);
    let head = if done < 50 { ">" } else { "" };
    let rest = " ".repeat(50usize.saturating_sub(done + head.len()));
    format!("[{}{head}{rest}]  {:>8}/{}", "=".repeat(done), size(current), size(total))
}

/// Bytes for people: four significant digits, powers of a thousand.
#[must_use]
pub fn size(bytes: i64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    #[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = match value {
        value if value >= 1000.0 || unit == 0 => 0,
        value if value >= 100.0 => 1,
        value if value >= 10.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_look_as_docker_s() {
        let line = |message: &JsonMessage| serde_json::to_string(message).expect("serialises");
        assert_eq!(
            line(&JsonMessage::part("Pulling fs layer", "0123456789ab")),
            r#"{"status":"Pulling fs layer","progressDetail":{},"id":"0123456789ab"}"#
        );
        assert_eq!(line(&JsonMessage::failure("no")), r#"{"errorDetail":{"message":"no"},"error":"no"}"#);
        let half = JsonMessage::position("Downloading", "x", 500, 1000);
        assert_eq!(half.progress, format!("[{}>{}]      500B/1kB", "=".repeat(25), " ".repeat(24)));
    }

    #[test]
    fn sizes_have_four_digits() {
        assert_eq!(
            ["0B", "999B", "1kB", "1.235MB", "12.35GB"].map(str::to_owned),
            [0, 999, 1000, 1_234_567, 12_345_678_901].map(size)
        );
    }
}
