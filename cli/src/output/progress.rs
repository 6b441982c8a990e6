//! Shows the messages of a long request: a line a layer that changes in place on a terminal, only
//! the lasting lines otherwise.

use std::collections::HashMap;
use std::io::Write;

use serde_json::Value;

use super::units::human_size;
use crate::client::{ClientError, JsonLines};
use crate::error::Failure;
use crate::terminal;

/// Where messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sink {
    Stdout,
    Stderr,
    /// They are read, but not shown.
    Nowhere,
}

/// Columns from which bars are drawn.
const BAR_COLUMNS: u32 = 110;
/// Width taken when the output is no terminal.
const DEFAULT_COLUMNS: u32 = 200;

/// Shows all messages; `on_aux` gets those that are results. Ends with the error of the stream.
pub(crate) async fn show(
    mut messages: JsonLines,
    sink: Sink,
    mut on_aux: impl FnMut(&Value),
) -> Result<(), Failure> {
    let mut screen = Screen::new(sink);
    while let Some(message) = messages.next::<Value>().await? {
        if let Some(aux) = message.get("aux").filter(|aux| !aux.is_null()) {
            on_aux(aux);
            continue;
        }
        if let Some(error) = reported(&message) {
            return Err(error.into());
        }
        let text = screen.render(&message);
        screen.write(&text)?;
    }
    Ok(())
}

/// The text of all messages, shown on standard error when the stream ends with an error.
pub(crate) async fn collect(mut messages: JsonLines) -> Result<String, Failure> {
    let mut whole = String::new();
    while let Some(message) = messages.next::<Value>().await? {
        if let Some(error) = reported(&message) {
            super::warn_bytes(whole.as_bytes());
            return Err(error.into());
        }
        whole.push_str(text(&message, "stream"));
    }
    Ok(whole)
}

fn reported(message: &Value) -> Option<ClientError> {
    let detail = message.get("errorDetail").filter(|detail| !detail.is_null());
    let plain = text(message, "error");
    if detail.is_none() && plain.is_empty() {
        return None;
    }
    let said = detail.map_or("", |detail| text(detail, "message"));
    let code = detail.and_then(|detail| detail.get("code")).and_then(Value::as_i64);
    let message = if said.is_empty() { plain } else { said };
    Some(ClientError::Reported { code: code.filter(|code| *code != 0), message: message.to_owned() })
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

struct Screen {
    sink: Sink,
    terminal: bool,
    columns: u32,
    /// Which line each ID has.
    lines: HashMap<String, usize>,
}

impl Screen {
    fn new(sink: Sink) -> Self {
        let (terminal, columns) = match sink {
            Sink::Stdout => (terminal::stdout_is_terminal(), terminal::size()[1]),
            Sink::Stderr => (terminal::stderr_is_terminal(), terminal::stderr_columns()),
            Sink::Nowhere => (false, 0),
        };
        let columns = if columns == 0 { DEFAULT_COLUMNS } else { columns };
        Self { sink, terminal, columns, lines: HashMap::new() }
    }

    /// What the message adds to the screen.
    fn render(&mut self, message: &Value) -> String {
        let mut out = String::new();
        let id = text(message, "id");
        let detail = message.get("progressDetail").filter(|detail| detail.is_object());
        let mut below = 0;
        if !id.is_empty() && detail.is_some() {
            let next = self.lines.len();
            let line = *self.lines.entry(id.to_owned()).or_insert(next);
            if line == next && self.terminal {
                out.push('\n');
            }
            below = self.lines.len() - line;
            if self.terminal {
                out.push_str(&format!("\x1b[{below}A"));
            }
        } else {
            self.lines.clear();
        }
        self.line(message, id, detail, &mut out);
        if self.terminal && below > 0 {
            out.push_str(&format!("\x1b[{below}B"));
        }
        out
    }

    fn line(&self, message: &Value, id: &str, detail: Option<&Value>, out: &mut String) {
        let number =
            |key: &str| detail.and_then(|detail| detail.get(key)).and_then(Value::as_i64).unwrap_or(0);
        let (stream, status) = (text(message, "stream"), text(message, "status"));
        let moving = self.terminal && stream.is_empty() && detail.is_some();
        if moving {
            out.push_str("\x1b[2K\r");
        } else if number("current") > 0 || number("total") > 0 {
            return;
        }
        if !id.is_empty() {
            out.push_str(&format!("{id}: "));
        }
        if moving {
            let bar = bar(number("current"), number("total"), detail, self.columns);
            out.push_str(&format!("{status} {bar}\r"));
        } else if !stream.is_empty() {
            out.push_str(stream);
        } else {
            out.push_str(status);
            out.push('\n');
        }
    }

    fn write(&self, out: &str) -> Result<(), Failure> {
        match self.sink {
            Sink::Stdout => super::put(out),
            Sink::Stderr => {
                drop(std::io::stderr().write_all(out.as_bytes()));
                Ok(())
            }
            Sink::Nowhere => Ok(()),
        }
    }
}

fn bar(current: i64, total: i64, detail: Option<&Value>, columns: u32) -> String {
    let units = detail.map_or("", |detail| text(detail, "units"));
    let size = |value: i64| human_size(value as f64);
    if current <= 0 && total <= 0 {
        return String::new();
    }
    if total <= 0 {
        return if units.is_empty() { format!("{:>8}", size(current)) } else { format!("{current} {units}") };
    }
    let filled = usize::try_from((current.saturating_mul(100) / total) / 2).unwrap_or(0).min(50);
    let mut text = String::new();
    if columns > BAR_COLUMNS {
        text.push_str(&format!("[{}>{}] ", "=".repeat(filled), " ".repeat(50 - filled)));
    }
    let hidden = detail.and_then(|detail| detail.get("hidecounts")).and_then(Value::as_bool) == Some(true);
    text.push_str(&match (hidden, units.is_empty(), current > total) {
        (true, ..) => String::new(),
        (_, true, true) => format!("{:>8}", size(current)),
        (_, true, false) => format!("{:>8}/{}", size(current), size(total)),
        (_, false, true) => format!("{current} {units}"),
        (_, false, false) => format!("{current}/{total} {units}"),
    });
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Screen, Sink, bar};
    use std::collections::HashMap;

    fn screen(terminal: bool, messages: &[Value]) -> String {
        let mut screen = Screen { sink: Sink::Nowhere, terminal, columns: 80, lines: HashMap::new() };
        messages.iter().map(|message| screen.render(message)).collect()
    }

    #[test]
    fn layers_keep_their_lines() {
        let layer = |id: &str, status: &str, current: i64, total: i64| {
            let detail = if total == 0 { json!({}) } else { json!({"current": current, "total": total}) };
            json!({"id": id, "status": status, "progressDetail": detail})
        };
        let messages = [
            json!({"id": "1", "status": "Pulling from bb"}),
            layer("a", "Pulling fs layer", 0, 0),
            layer("b", "Pulling fs layer", 0, 0),
            layer("a", "Downloading", 500, 1000),
            json!({"status": "Digest: x"}),
        ];
        assert_eq!(
            screen(true, &messages),
            "1: Pulling from bb\n\
             \n\x1b[1A\x1b[2K\ra: Pulling fs layer \r\x1b[1B\
             \n\x1b[1A\x1b[2K\rb: Pulling fs layer \r\x1b[1B\
             \x1b[2A\x1b[2K\ra: Downloading     500B/1kB\r\x1b[2B\
             Digest: x\n"
        );
        assert_eq!(
            screen(false, &messages),
            "1: Pulling from bb\na: Pulling fs layer\nb: Pulling fs layer\nDigest: x\n"
        );
    }

    #[test]
    fn bars() {
        assert_eq!(bar(0, 0, None, 200), "");
        assert_eq!(bar(1000, 0, None, 200), "     1kB");
        let drawn = bar(500, 1000, None, 200);
        assert_eq!(drawn, format!("[{}>{}]     500B/1kB", "=".repeat(25), " ".repeat(25)));
        assert_eq!(bar(500, 1000, None, 80), "    500B/1kB");
    }
}
